/* SPDX-License-Identifier: Apache-2.0 */
/* A program that has a device under /dev/vfio (AssignedProgramTest.java): what is written to offset 0 of BAR 2 is an address
 * to which the device writes eight bytes 0x77, and then it raises vector 0. One word of the command line is one thing to do;
 * each says on standard output what it saw. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR(n) _IO(';', n)
#define PAGE 4096ul
#define DEVICE "/dev/vfio/devices/vfio0"
#define BAR (2ull << 40)

static int device, iommu, line;
static uint32_t space;

static int bind_device(void)
{
	struct { uint32_t argsz, flags; int32_t fd; uint32_t id; } b = { 16, 0, iommu, 0 };
	return ioctl(device, NR(118), &b) ? -errno : 0;
}

static int attach(void)
{
	struct { uint32_t argsz, flags, id; } a = { 12, 0, space };
	return ioctl(device, NR(119), &a) ? -errno : 0;
}

static int arm(int fd)
{
	struct { uint32_t argsz, flags, index, start, count; int32_t fd; } s = { 24, 0x24, 2, 0, 1, fd };
	return ioctl(device, NR(110), &s) ? -errno : 0;
}

static int map_file(int fd, uint64_t start, uint64_t length, uint64_t iova)
{
	struct { uint32_t size, flags, ioas; int32_t fd; uint64_t start, length, iova; } m = { 40, 7, space, fd, start, length, iova };
	return ioctl(iommu, NR(0x8f), &m) ? -errno : 0;
}

static int map(void *at, uint64_t length, uint64_t iova)
{
	struct { uint32_t size, flags, ioas, reserved; uint64_t va, length, iova; } m = { 40, 7, space, 0, (uint64_t)at, length, iova };
	return ioctl(iommu, NR(0x85), &m) ? -errno : 0;
}

static int unmap(uint64_t iova, uint64_t length)
{
	struct { uint32_t size, ioas; uint64_t iova, length; } u = { 24, space, iova, length };
	return ioctl(iommu, NR(0x86), &u) ? -errno : 0;
}

static int begin(void)
{
	struct { uint32_t size, flags, id; } a = { 12, 0, 0 };
	device = open(DEVICE, O_RDWR);
	iommu = open("/dev/iommu", O_RDWR);
	line = eventfd(0, 0);
	if (device < 0 || iommu < 0 || bind_device() || ioctl(iommu, NR(0x81), &a))
		return -1;
	space = a.id;
	return attach() || arm(line) ? -1 : 0;
}

static void ring(uint64_t iova)
{
	if (pwrite(device, &iova, 8, BAR) != 8)
		printf("pwrite: %d\n", errno);
}

static uint64_t heard(void)
{
	uint64_t n = 0;
	return read(line, &n, 8) == 8 ? n : 0;
}

static int is_written(const uint8_t *at)
{
	for (int i = 0; i < 8; i++)
		if (at[i] != 0x77)
			return 0;
	return 1;
}

static void drive(void)
{
	int fd = memfd_create("ram", 0);
	uint8_t *shared, *private;
	if (begin() || ftruncate(fd, 16 * PAGE))
		return (void)printf("no device: %d\n", errno);
	shared = mmap(0, 16 * PAGE, 3, MAP_SHARED, fd, 0);
	private = mmap(0, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("map by descriptor: %d\n", map_file(fd, 4 * PAGE, 2 * PAGE, 0x100000));
	ring(0x100010);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(shared + 4 * PAGE + 0x10));
	printf("map by address: %d\n", map(shared + 8 * PAGE, PAGE, 0x200000));
	ring(0x200020);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(shared + 8 * PAGE + 0x20));
	printf("map of private memory: %d\n", map(private, PAGE, 0x300000));
	ring(0x300000);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(private));
	memset(shared, 0, 16 * PAGE);
	printf("unmap: %d\n", unmap(0x100000, 2 * PAGE));
	ring(0x100010);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(shared + 4 * PAGE + 0x10));
}

/* A counter that blocks goes on doing so, and one that is full keeps nobody. */
static void flags(void)
{
	uint64_t full = -2ull;
	if (begin())
		return (void)printf("no device: %d\n", errno);
	printf("blocking: %d\n", !(fcntl(line, F_GETFL) & O_NONBLOCK));
	if (write(line, &full, 8) != 8)
		return;
	ring(0);
	ring(0);
	printf("served: %d\n", getpid() > 0 && attach() == 0);
}

/* Files that are opened at their paths are what stat(2) and sysfs say. */
static void paths(void)
{
	struct stat s;
	char text[64] = "", group[64] = "";
	int fd;
	printf("device: %d\n", !stat(DEVICE, &s) && S_ISCHR(s.st_mode));
	printf("group: %d\n", !stat("/dev/vfio/0", &s) && S_ISCHR(s.st_mode));
	printf("folder: %d\n", !stat("/sys/bus/pci/devices/10a5:00:00.0", &s) && S_ISDIR(s.st_mode));
	printf("link: %d\n", !lstat("/sys/bus/pci/devices/10a5:00:00.0/iommu_group", &s) && S_ISLNK(s.st_mode));
	printf("nothing: %d\n", stat("/sys/bus/pci/devices/10a5:00:00.0/nothing", &s) ? errno : 0);
	printf("nothing of the kernel's: %d", stat("/usr/include/stdio.h", &s) ? errno : 0);
	printf(" %d", access("/usr/include/stdio.h", R_OK) ? errno : 0);
	printf(" %d", readlink("/usr/include/stdio.h", group, 20) < 0 ? errno : 0);
	printf(" %d\n", open("/usr/include/linux", O_RDONLY | O_DIRECTORY) < 0 ? errno : 0);
	fd = open("/sys/bus/pci/devices/10a5:00:00.0/vfio-dev/vfio0/dev", O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
		text[strcspn(text, "\n")] = 0;
	fd = open(DEVICE, O_RDWR);
	printf("number: %d\n", !fstat(fd, &s) && atoi(text) == (int)(s.st_rdev >> 8));
	printf("target: %ld %s\n", (long)readlink("/sys/bus/pci/devices/10a5:00:00.0/iommu_group", group, 20), group);
	printf("no link: %d\n", readlink(DEVICE, group, 20) < 0 ? errno : 0);
}

/* Children that end at some step of the way, with everything open. */
static void die(void)
{
	int died = 0;
	for (int step = 0; step < 60; step++) {
		pid_t child = fork();
		if (child == 0) {
			int fd = memfd_create("ram", 0);
			if (begin() || ftruncate(fd, 16 * PAGE) || map_file(fd, 0, 16 * PAGE, 0))
				_exit(1);
			for (int i = 0; i < step; i++)
				ring(i * 64);
			if (step % 3 == 0)
				kill(getpid(), SIGKILL);
			if (step % 3 == 1)
				close(iommu);
			_exit(7);
		}
		int status;
		waitpid(child, &status, 0);
		died += WIFSIGNALED(status) || WEXITSTATUS(status) == 7;
	}
	printf("died: %d\n", died);
	printf("served: %d\n", begin() == 0);
}

static void thousand(void)
{
	int opened = 0, bound = 0;
	for (int i = 0; i < 1000; i++) {
		device = open(DEVICE, O_RDWR);
		iommu = i % 2 ? iommu : open("/dev/iommu", O_RDWR);
		if (device < 0 || iommu < 0)
			break;
		opened++;
		bound += bind_device() == 0;
		if (i % 2) {
			close(iommu);
			close(device);
		}
	}
	printf("opened: %d\n", opened > 100);
	printf("bound: %d\n", bound > 0);
}

/* The file that a device writes to is cut short under it. */
static void cut(void)
{
	int fd = memfd_create("ram", 0);
	if (begin() || ftruncate(fd, 16 * PAGE) || map_file(fd, 0, 16 * PAGE, 0))
		return (void)printf("no device: %d\n", errno);
	if (ftruncate(fd, 0))
		return;
	ring(0x10);
	printf("unmap: %d\n", unmap(0, 16 * PAGE));
	if (ftruncate(fd, 16 * PAGE))
		return;
	printf("map: %d\n", map_file(fd, 0, 16 * PAGE, 0));
	ring(0x10);
	uint8_t *shared = mmap(0, PAGE, 3, MAP_SHARED, fd, 0);
	printf("written: %d\n", is_written(shared + 0x10));
}

struct region { uint32_t argsz, flags, index, cap; uint64_t size, offset; };

static struct region region(int fd, int index)
{
	struct region r = { sizeof r, 0, index, 0, 0, 0 };
	return ioctl(fd, NR(108), &r) ? (struct region){ 0 } : r;
}

static void try_map(const char *what, int fd, uint64_t offset, uint64_t length, int flags)
{
	void *at = mmap(0, length, 3, flags, fd, offset);
	printf("%s: %d\n", what, at == MAP_FAILED ? errno : 0);
	if (at != MAP_FAILED)
		munmap(at, length);
}

/* A BAR that is memory, of the second device: mapped, read and written, and no memory to be mapped for DMA. */
static void bar(void)
{
	uint64_t word = 0;
	if (begin())
		return (void)printf("no device: %d\n", errno);
	device = open("/dev/vfio/devices/vfio1", O_RDWR);
	try_map("not bound", device, BAR, PAGE, MAP_SHARED);
	if (bind_device() || attach())
		return (void)printf("no second device: %d\n", errno);
	struct region r = region(device, 2);
	printf("flags: %u, size: %lu, at: %d\n", r.flags, (unsigned long)r.size, r.offset == BAR);
	printf("flags of others: %u %u %u\n", region(device, 0).flags, region(device, 1).flags, region(device, 7).flags);
	try_map("too long", device, r.offset, r.size + PAGE, MAP_SHARED);
	try_map("behind", device, r.offset + r.size, PAGE, MAP_SHARED);
	try_map("another region", device, 0, PAGE, MAP_SHARED);
	try_map("private", device, r.offset, PAGE, MAP_PRIVATE);
	try_map("a part", device, r.offset + PAGE, PAGE, MAP_SHARED);
	uint64_t *at = mmap(0, r.size, 3, MAP_SHARED, device, r.offset);
	if (at == MAP_FAILED)
		return (void)printf("mmap: %d\n", errno);
	at[1] = 42;
	printf("read: %d\n", pread(device, &word, 8, r.offset + 8) == 8 && word == 42);
	word = 43;
	printf("written: %d\n", pwrite(device, &word, 8, r.offset + PAGE) == 8 && at[PAGE / 8] == 43);
	printf("map for DMA: %d\n", map(at, PAGE, 0x100000));
	printf("map of the file: %d\n", map_file(device, r.offset, PAGE, 0x100000));
	printf("reset: %d", ioctl(device, NR(111)));
	printf(", %lu\n", (unsigned long)at[1]);
	at[1] = 44;
	close(device);
	printf("as long as it is mapped: %lu\n", (unsigned long)at[1]);
	device = open("/dev/vfio/devices/vfio1", O_RDWR);
	printf("in use: %d\n", bind_device());
	munmap(at, r.size);
	printf("free: %d\n", bind_device());
	printf("the next finds: %d", pread(device, &word, 8, r.offset + 8) == 8 ? (int)word : -1);
	at = mmap(0, r.size, 3, MAP_SHARED, device, r.offset);
	printf(" %lu\n", at == MAP_FAILED ? -1ul : (unsigned long)at[1]);
}

static int dma_map(int container, void *at, uint64_t length, uint64_t iova)
{
	struct { uint32_t argsz, flags; uint64_t va, iova, size; } m = { 32, 3, (uint64_t)at, iova, length };
	return ioctl(container, NR(113), &m) ? -errno : 0;
}

static long dma_unmap(int container, uint64_t iova, uint64_t length)
{
	struct { uint32_t argsz, flags; uint64_t iova, size; } u = { 24, 0, iova, length };
	return ioctl(container, NR(114), &u) ? -errno : (long)u.size;
}

/* Two groups in a container of type 1: the first device writes to the BAR of the second, as long as that is mapped. */
static void peer(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	int first = open("/dev/vfio/0", O_RDWR), second = open("/dev/vfio/1", O_RDWR);
	if (ioctl(first, NR(104), &container) || ioctl(second, NR(104), &container) || ioctl(container, NR(102), 3))
		return (void)printf("no container: %d\n", errno);
	device = ioctl(first, NR(106), "10a5:00:00.0");
	int other = ioctl(second, NR(106), "10a5:00:01.0");
	line = eventfd(0, 0);
	struct region r = region(other, 2);
	uint8_t *at = mmap(0, r.size, 3, MAP_SHARED, other, r.offset);
	if (device < 0 || at == MAP_FAILED || arm(line))
		return (void)printf("no devices: %d\n", errno);
	printf("map: %d\n", dma_map(container, at + PAGE, r.size - PAGE, 0x100000));
	ring(0x100010);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(at + PAGE + 0x10));
	printf("unmap: %d\n", dma_unmap(container, 0x100000, r.size - PAGE) == (long)(r.size - PAGE));
	ring(0x100020);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(at + PAGE + 0x20));
	printf("map: %d\n", dma_map(container, at, r.size, 0x200000));
	munmap(at, r.size);
	close(other);
	ring(0x200000);
	printf("interrupts: %d, as the device has gone: %d\n", (int)heard(), (int)pread(other, &first, 4, r.offset));
}

/* A child calls itself what the kernel writes of its parent, and maps what only the parent has. */
static void names(void)
{
	int fd = memfd_create("a\rb", 0), status = 0;
	if (ftruncate(fd, PAGE))
		return;
	uint8_t *shared = mmap(0, PAGE, 3, MAP_SHARED, fd, 0);
	pid_t child = fork();
	if (child == 0) {
		char name[16];
		snprintf(name, sizeof name, "\rTgid:\t%d", getppid());
		if (prctl(PR_SET_NAME, name) || munmap(shared, PAGE) || close(fd) || begin())
			_exit(1);
		status = map(shared, PAGE, 0x100000);
		ring(0x100010);
		_exit(-status);
	}
	waitpid(child, &status, 0);
	printf("memory of the parent: %d, written: %d\n", WIFEXITED(status) ? -WEXITSTATUS(status) : 1, is_written(shared + 0x10));
	if (begin())
		return (void)printf("no device: %d\n", errno);
	printf("memory behind a name: %d\n", map((void *)((uint64_t)&status & -PAGE), PAGE, 0x200000));
	printf("memory with a name: %d\n", map(shared, PAGE, 0x100000));
	ring(0x100010);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(shared + 0x10));
}

/* What stands in for a device is a file of the kernel's, and the program's to spoil. */
static void spoil(void)
{
	uint64_t word = 0;
	char path[40];
	if (begin())
		return (void)printf("no device: %d\n", errno);
	int doorbell = device;
	device = open("/dev/vfio/devices/vfio1", O_RDWR);
	if (bind_device() || attach())
		return (void)printf("no second device: %d\n", errno);
	struct region r = region(device, 2);
	uint8_t *at = mmap(0, r.size, 3, MAP_SHARED, device, r.offset);
	uint8_t *more = at == MAP_FAILED ? at : mremap(at, r.size, 2 * r.size, MREMAP_MAYMOVE);
	if (more == MAP_FAILED)
		return (void)printf("mmap: %d\n", errno);
	printf("map for DMA: %d %d\n", map(more, PAGE, 0x100000), map(more + r.size, PAGE, 0x100000));
	printf("cut: %d", ftruncate(device, 0));
	printf(" %d", pread(device, &word, 8, r.offset) < 0 ? errno : 0);
	printf(" %d", pwrite(device, &word, 8, r.offset) < 0 ? errno : 0);
	printf(" %d\n", ioctl(device, NR(111)) ? errno : 0);
	munmap(more, 2 * r.size);
	close(device);
	device = open("/dev/vfio/devices/vfio1", O_RDWR);
	printf("free: %d", bind_device());
	printf(", %d\n", pread(device, &word, 8, r.offset) == 8 ? (int)word : -1);
	at = mmap(0, r.size, 3, MAP_SHARED, device, r.offset);
	if (at == MAP_FAILED)
		return (void)printf("mmap: %d\n", errno);
	memset(at, 0x55, r.size);
	/* Looks like the last close. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", device);
	close(open(path, O_RDWR));
	printf("closed: %d", region(device, 2).size == 0);
	device = open("/dev/vfio/devices/vfio1", O_RDWR);
	printf(", free: %d", bind_device());
	memset(at, 0x66, r.size);
	printf(", %d\n", pread(device, &word, 8, r.offset) == 8 ? (int)word : -1);
	device = doorbell;
	ring(0x100010);
	printf("interrupts: %d, written: %d\n", (int)heard(), is_written(at + 0x10));
}

int main(int count, char **words)
{
	struct { const char *name; void (*run)(void); } all[] = {
		{ "drive", drive }, { "flags", flags }, { "paths", paths }, { "die", die }, { "thousand", thousand }, { "cut", cut },
		{ "bar", bar }, { "peer", peer }, { "names", names }, { "spoil", spoil },
	};
	for (int i = 0; i < 10; i++)
		if (count > 1 && !strcmp(words[1], all[i].name))
			all[i].run();
	fflush(stdout);
	return 0;
}
