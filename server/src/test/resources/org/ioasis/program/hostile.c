/* SPDX-License-Identifier: Apache-2.0 */
/* A program that means no good, on a /dev/iommu with the mock (HostileProgramTest.java). One word of the command line is one
 * thing to do; each says on standard output what it saw. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR(n) _IO(';', n)
#define PAGE 4096ul
#define APERTURE (1ul << 24)
#define RW_FIXED 7

struct ioas { uint32_t size, flags, id; };
struct destroy { uint32_t size, id; };
struct map { uint32_t size, flags, ioas, reserved; uint64_t va, length, iova; };
struct unmap { uint32_t size, ioas; uint64_t iova, length; };
struct test { uint32_t size, op, id, reserved; union { struct { uint32_t stdev, hwpt, idev, flags; } domain;
	struct { uint32_t fd, flags; } access; struct { uint32_t flags, out; uint64_t iova, length, va; } pin; uint64_t words[7]; }; };

static int fd = -1;

static int dev(void)
{
	if (fd < 0)
		fd = open("/dev/iommu", O_RDWR);
	return fd;
}

static uint32_t ioas(int on)
{
	struct ioas a = { sizeof a, 0, 0 };
	return ioctl(on, NR(0x81), &a) ? 0 : a.id;
}

static int map(int on, uint32_t id, void *va, uint64_t length, uint64_t iova)
{
	struct map m = { sizeof m, RW_FIXED, id, 0, (uint64_t)va, length, iova };
	return ioctl(on, NR(0x85), &m) ? -errno : 0;
}

static int64_t unmap(int on, uint32_t id, uint64_t iova, uint64_t length)
{
	struct unmap u = { sizeof u, id, iova, length };
	return ioctl(on, NR(0x86), &u) ? -errno : (int64_t)u.length;
}

static uint32_t domain(int on, uint32_t id)
{
	struct test t = { sizeof t, 2, id, 0, { { 0 } } };
	return ioctl(on, NR(0xa0), &t) ? 0 : t.domain.stdev;
}

static int pin(int on, uint32_t id, void *va, uint64_t iova, uint64_t length)
{
	struct test t = { sizeof t, 5, id, 0, { { 0 } } };
	t.access.flags = 1;
	if (ioctl(on, NR(0xa0), &t))
		return -1;
	struct test p = { sizeof p, 7, t.access.fd, 0, { { 0 } } };
	p.pin.iova = iova; p.pin.length = length; p.pin.va = (uint64_t)va;
	return ioctl(on, NR(0xa0), &p) ? -1 : (int)t.access.fd;
}

static void *memory(size_t length, int kind)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
}

static void said(const char *what, long r)
{
	printf("%s: %ld\n", what, r);
	fflush(stdout);
}

/* All of it: two page tables, private and shared memory, held pages; true if each call was answered as it should be. */
static int use(int on)
{
	uint32_t id = ioas(on);
	char *own = memory(16 * PAGE, MAP_PRIVATE), *shared = memory(16 * PAGE, MAP_SHARED);
	int ok = id && domain(on, id) && !map(on, id, own, 16 * PAGE, APERTURE) && !map(on, id, shared, 16 * PAGE, 2 * APERTURE);
	ok = ok && pin(on, id, shared, 2 * APERTURE, 4 * PAGE) > 0 && domain(on, id);
	ok = ok && unmap(on, id, APERTURE, 16 * PAGE) == 16 * (int64_t)PAGE;
	munmap(own, 16 * PAGE); munmap(shared, 16 * PAGE);
	return ok;
}

static void do_good(void)
{
	said("served", use(dev()));
}

static void do_pointers(void)
{
	char *page = memory(2 * PAGE, MAP_PRIVATE);
	int efault = 0, calls = 0, before = ioas(dev());
	munmap(page + PAGE, PAGE);
	for (int nr = 0x80; nr <= 0xa0; nr++) {
		if (nr > 0x95 && nr < 0xa0)
			continue;
		/* nowhere, in the kernel, and a size that reaches over the end of what is mapped */
		*(uint32_t *)(page + PAGE - 8) = 72; *(uint32_t *)(page + PAGE - 4) = 0;
		char *bad[] = { NULL, (char *)-4096L, (char *)0x8000000000000000ul, page + PAGE - 8 };
		for (int i = 0; i < 4; i++, calls++)
			efault += ioctl(dev(), NR(nr), bad[i]) == -1 && errno == EFAULT;
	}
	said("not refused", calls - efault);
	/* an answer that cannot be written leaves no object: the next id is the next one */
	struct ioas *a = (struct ioas *)page;
	*a = (struct ioas){ sizeof *a, 0, 0 };
	mprotect(page, PAGE, PROT_READ);
	said("read-only", ioctl(dev(), NR(0x81), page) ? errno == EFAULT : -1);
	said("ids lost", (int)ioas(dev()) - before - 1);
	/* memory that is none, mapped with and without a page table */
	int id = ioas(dev()), n = 0;
	n += map(dev(), id, NULL, PAGE, APERTURE) == 0; /* nobody looks yet */
	n += domain(dev(), id) == 0 && errno == EFAULT;
	n += unmap(dev(), id, APERTURE, PAGE) == (int64_t)PAGE && domain(dev(), id) != 0;
	n += map(dev(), id, NULL, PAGE, APERTURE) == -EFAULT;
	n += map(dev(), id, page, PAGE, APERTURE) == -EFAULT; /* not writable */
	n += map(dev(), id, (void *)-PAGE, PAGE, APERTURE) < 0;
	said("memory that is none", n);
}

static volatile int stop;
static char *volatile region;

static void *remaps(void *unused)
{
	while (!stop) {
		munmap(region, 8 * PAGE);
		mmap(region, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS | (rand() & 1 ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	}
	return unused;
}

static void do_unmapping(void)
{
	pthread_t t;
	int other = 0;
	uint32_t id = ioas(dev()), lazy = ioas(dev());
	domain(dev(), id);
	region = memory(8 * PAGE, MAP_PRIVATE);
	pthread_create(&t, NULL, remaps, NULL);
	for (int i = 0; i < 1500; i++) {
		int r = map(dev(), id, region, 8 * PAGE, APERTURE);
		other += r != 0 && r != -EFAULT;
		other += map(dev(), lazy, region, 8 * PAGE, APERTURE) != 0;
		int access = pin(dev(), lazy, region, APERTURE, 8 * PAGE);
		if (!r)
			other += unmap(dev(), id, APERTURE, 8 * PAGE) != 8 * (int64_t)PAGE;
		other += unmap(dev(), lazy, APERTURE, 8 * PAGE) != 8 * (int64_t)PAGE;
		if (access > 0)
			close(access);
		else /* the access itself came, but not the pages */
			for (int n = 700; n < 720; n++)
				if (n != fd)
					close(n);
		/* the structure itself lies there too */
		ioctl(dev(), NR(0x81), region + PAGE - 4);
	}
	stop = 1;
	pthread_join(t, NULL);
	said("neither done nor EFAULT", other);
	said("served", use(dev()));
}

static void *changes(void *words)
{
	volatile uint32_t *w = words;
	for (uint32_t i = 1; !stop; i = i * 1664525 + 1013904223)
		w[i >> 28 & 15] = i >> 27 & 1 ? i >> 20 & 127 : i;
	return NULL;
}

static void do_changing(void)
{
	pthread_t t;
	uint32_t *w = memory(PAGE, MAP_SHARED);
	dev();
	pthread_create(&t, NULL, changes, w);
	for (int i = 0; i < 6000; i++) {
		int nr = 0x80 + i % 0x16;
		w[0] = 16 + i % 64;
		ioctl(dev(), NR(i % 23 ? nr : 0xa0), w);
	}
	stop = 1;
	pthread_join(t, NULL);
	said("served", use(dev()));
}

static void *closes(void *number)
{
	usleep(rand() % 400);
	close(*(int *)number);
	return NULL;
}

static void do_closing(void)
{
	char *m = memory(64 * PAGE, MAP_PRIVATE);
	for (int i = 0; i < 300; i++) {
		pthread_t t;
		int f = open("/dev/iommu", O_RDWR), copy = f;
		pthread_create(&t, NULL, closes, &copy);
		uint32_t id = ioas(f);
		domain(f, id);
		map(f, id, m, 64 * PAGE, APERTURE);
		pin(f, id, m, APERTURE, PAGE);
		pthread_join(t, NULL);
	}
	for (int n = 700; n < 1000; n++)
		close(n); /* accesses whose context is gone */
	said("served", use(dev()));
}

/* In a child: it ends with its parent, and with one that has ended before it could say so. */
static void end_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void do_killed(void)
{
	int status, killed = 0;
	for (int i = 0; i < 150; i++) {
		pid_t parent = getpid(), pid = fork();
		if (!pid)
			for (end_with(parent);;) {
				int f = open("/dev/iommu", O_RDWR);
				use(f);
				if (i & 1)
					close(f);
			}
		usleep(i * 150);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		killed += WIFSIGNALED(status);
	}
	said("killed", killed);
	said("served", use(dev()));
}

/* Pages that are held are charged to this process and its children from here on. */
static int charged(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { 0 } };
	if (syscall(SYS_capget, &h, d))
		return 0;
	d[0].effective &= ~(1u << CAP_IPC_LOCK);
	return !syscall(SYS_capset, &h, d);
}

static long kilobytes(const char *what)
{
	char line[256];
	long n = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, what, strlen(what)))
			n = atol(line + strlen(what));
	if (f)
		fclose(f);
	return n;
}

static void do_charged(void)
{
	int status, killed = 0, id = ioas(dev());
	char *m = memory(16 * PAGE, MAP_SHARED);
	said("charged", charged() && domain(dev(), id) && !map(dev(), id, m, 16 * PAGE, APERTURE));
	said("kilobytes", kilobytes("VmPin:"));
	for (int i = 0; i < 60; i++) {
		pid_t parent = getpid(), pid = fork();
		if (!pid)
			for (end_with(parent);;) {
				int f = open("/dev/iommu", O_RDWR);
				/* RLIMIT_MODE: to the process and not to the user, if we may say so */
				struct { uint32_t size, option; uint16_t op, reserved; uint32_t object; uint64_t value; } o = { 24, 0, 0, 0, 0, i % 3 == 1 };
				ioctl(f, NR(0x87), &o);
				use(f);
				/* in a context that outlives it */
				if (i % 3 == 2)
					map(dev(), id, m, 4 * PAGE, 2 * APERTURE + i * 4 * PAGE);
				if (i & 1)
					close(f);
			}
		usleep(i * 300);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		killed += WIFSIGNALED(status);
	}
	said("killed", killed);
	unmap(dev(), id, 0, -1ul);
	said("kilobytes", kilobytes("VmPin:"));
}

static void do_objects(void)
{
	int n = 0;
	char *m = memory(PAGE, MAP_SHARED);
	for (int i = 0; i < 10000; i++) {
		uint32_t id = ioas(dev());
		n += id && !map(dev(), id, m, PAGE, APERTURE);
	}
	said("objects", n);
	/* and is gone without a word */
}

static void do_children(void)
{
	int ok = 0, status, id = ioas(dev());
	char *m = memory(128 * PAGE, MAP_SHARED);
	domain(dev(), id);
	for (int i = 0; i < 100; i++)
		if (!fork()) {
			int mine = open("/dev/iommu", O_RDWR);
			/* in a context of its own, and in that of all of them */
			_exit(use(mine) && !map(fd, id, m + i * PAGE, PAGE, APERTURE + i * PAGE) ? 0 : 1);
		}
	while (wait(&status) > 0)
		ok += status == 0;
	said("children", ok);
	said("mapped by all", unmap(fd, id, APERTURE, 100 * PAGE) / PAGE);
}

/* A file that only its contents make ours is one like any other, whatever its number. */
static void do_contents(void)
{
	char name[64], text[8] = "";
	snprintf(name, sizeof name, "/proc/self/task/%d/fail-nth", (int)getpid());
	int own = open(name, O_RDWR), low = dup(own), high = fcntl(own, F_DUPFD, 750);
	said("written", write(own, "0", 1));
	said("in a copy", pread(low, text, sizeof text, 0) > 0 && text[0] == '0');
	said("in a copy of a high number", pread(high, text, sizeof text, 0) > 0 && text[0] == '0');
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } all[] = {
		{ "good", do_good }, { "pointers", do_pointers }, { "unmapping", do_unmapping }, { "changing", do_changing },
		{ "closing", do_closing }, { "killed", do_killed }, { "objects", do_objects }, { "children", do_children },
		{ "contents", do_contents }, { "charged", do_charged },
	};
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof all / sizeof *all; k++)
			if (!strcmp(argv[i], all[k].name))
				all[k].run();
	return 0;
}
