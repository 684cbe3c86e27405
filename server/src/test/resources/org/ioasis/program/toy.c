/* SPDX-License-Identifier: Apache-2.0 */
/* An ordinary program that uses the toy device of ToyDevice.java at /dev/iommu. One word of the command line is one thing
 * to do; each says on standard output what it saw. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ECHO _IO(';', 0x80)   /* u32 x: becomes x + 1 */
#define ID _IO(';', 0x81)     /* returns the number of the open file */
#define EVENTS _IO(';', 0x82) /* returns a descriptor of events */
#define ADD _IO(';', 0x83)    /* adds an event to it */
#define REFUSE _IO(';', 0x84) /* always EBUSY */
#define BREAK _IO(';', 0x85)  /* our own bug */
#define SLOW _IO(';', 0x86)   /* reads its argument for a long time */
#define OPEN_FILES _IO(';', 0x87)
#define MAPPED _IO(';', 0x88) /* whether the page that can be mapped is */
#define WINDOW _IO(';', 0x89) /* fills that page anew; returns what was in it */

static int fd = -1;

static int dev(void)
{
	if (fd < 0)
		fd = open("/dev/iommu", O_RDWR);
	return fd;
}

static void said(const char *what, long r)
{
	if (r < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, r);
	fflush(stdout);
}

static void *change(void *word)
{
	for (uint32_t i = 0;; i++)
		*(volatile uint32_t *)word = i;
	return NULL;
}

static void do_open(void) { printf("in our range: %d\n", dev() >= 700 && dev() <= 1000); }

static void do_echo(void)
{
	uint32_t x[2] = { 41, 17 };
	long r = ioctl(dev(), ECHO, x);
	said("echo", r < 0 ? r : x[0]);
}

static void do_pointers(void)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);
	said("null", ioctl(dev(), ECHO, NULL));
	said("kernel", ioctl(dev(), ECHO, (void *)-8L));
	said("over the end", ioctl(dev(), ECHO, page + 4094));
	mprotect(page, 4096, PROT_READ);
	said("read-only", ioctl(dev(), ECHO, page));
}

static void do_unknown(void)
{
	said("unknown", ioctl(dev(), _IO(';', 0x7f), 0));
	said("other type", ioctl(dev(), TIOCGWINSZ, 0));
	said("refused", ioctl(dev(), REFUSE, 0));
}

static void do_io(void)
{
	char b[8];
	struct iovec v = { b, 8 };
	said("read", read(dev(), b, 8));
	said("write", write(dev(), b, 8));
	said("readv", readv(dev(), &v, 1));
	said("mmap bad", (long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, dev(), 0));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, dev(), 4096);
	said("mmap good", p == MAP_FAILED ? -1 : 0);
	p[0] = 'x';
}

static void do_dup(void)
{
	int copy = dup(dev()), other = fcntl(dev(), F_DUPFD_CLOEXEC, 3), low = dup2(dev(), 5);
	said("same by dup", ioctl(copy, ID, 0) == ioctl(dev(), ID, 0));
	said("same by fcntl", ioctl(other, ID, 0) == ioctl(dev(), ID, 0));
	said("close-on-exec", fcntl(other, F_GETFD));
	said("same by dup2", ioctl(low, ID, 0) == ioctl(dev(), ID, 0));
	char b;
	said("read of a copy", read(copy, &b, 1));
	int again = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	said("another open", ioctl(again, ID, 0) != ioctl(dev(), ID, 0));
	said("close-on-exec", fcntl(again, F_GETFD));
}

static void do_close(void)
{
	int a = open("/dev/iommu", O_RDWR), b = dup(a);
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, a, 4096);
	said("open", ioctl(dev(), OPEN_FILES, 0));
	close(a);
	said("a copy is left", ioctl(dev(), OPEN_FILES, 0));
	close(b);
	said("a mapping is left", ioctl(dev(), OPEN_FILES, 0));
	munmap(p, 4096);
	said("nothing is left", ioctl(dev(), OPEN_FILES, 0));
}

static void do_fork(void)
{
	int mine = ioctl(dev(), ID, 0);
	pid_t pid = fork();
	if (!pid) {
		uint32_t x = 1;
		int r = ioctl(fd, ECHO, &x);
		_exit(r == 0 && x == 2 && ioctl(fd, ID, 0) == mine && open("/dev/iommu", O_RDWR) >= 700 ? 33 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	said("child", WEXITSTATUS(status));
	said("open", ioctl(fd, OPEN_FILES, 0));
}

static void do_children(void)
{
	int ok = 0, status;
	dev();
	for (int i = 0; i < 100; i++)
		if (!fork()) {
			uint32_t x = i;
			int mine = open("/dev/iommu", O_RDWR);
			for (int n = 0; n < 20; n++)
				if (ioctl(n & 1 ? mine : fd, ECHO, &x))
					_exit(1);
			_exit(x == (uint32_t)i + 20 ? 0 : 2);
		}
	while (wait(&status) > 0)
		ok += status == 0;
	said("children", ok);
	said("open", ioctl(fd, OPEN_FILES, 0));
}

static void do_exec(void)
{
	char n[16];
	snprintf(n, sizeof n, "%d", dev());
	execl("/proc/self/exe", "toy", "use", n, NULL);
}

static void do_stat(void)
{
	struct stat s;
	said("stat", stat("/dev/iommu", &s));
	said("character device", S_ISCHR(s.st_mode));
	said("fstat", fstat(dev(), &s));
	said("character device", S_ISCHR(s.st_mode));
	said("access", access("/dev/iommu", R_OK | W_OK));
	said("executable", access("/dev/iommu", X_OK));
	char b[8];
	said("readlink", readlink("/dev/iommu", b, 8));
	said("folder", open("/dev/iommu", O_RDONLY | O_DIRECTORY));
	said("chdir", chdir("/dev"));
	said("relative", open("iommu", O_RDWR) >= 700);
	int f = open("/", O_RDONLY | O_DIRECTORY);
	said("at", openat(f, "dev/./iommu", O_RDWR) >= 700);
	said("not there", stat("/dev/iommu2", &s));
	said("fopen", fopen("/dev/iommu", "r+") != NULL);
}

static void do_events(void)
{
	int e = ioctl(dev(), EVENTS, 0);
	struct pollfd p = { e, POLLIN | POLLOUT, 0 };
	uint64_t x[2];
	said("poll", poll(&p, 1, 0));
	said("writable only", p.revents == POLLOUT);
	ioctl(dev(), ADD, 0);
	ioctl(dev(), ADD, 0);
	said("poll", poll(&p, 1, -1));
	said("readable", p.revents == (POLLIN | POLLOUT));
	said("read", read(e, x, 8));
	said("event", x[0]);
	struct iovec v[2] = { { x, 8 }, { x + 1, 8 } };
	said("readv", readv(e, v, 2));
	said("event", x[0]);
	said("read again", read(e, x, 8));
	poll(&p, 1, 0);
	said("writable only", p.revents == POLLOUT);
	said("open", ioctl(dev(), OPEN_FILES, 0));
	close(e);
	said("open", ioctl(dev(), OPEN_FILES, 0));
}

static void do_broken(void)
{
	said("broken", ioctl(dev(), BREAK, 0));
	said("out of memory", ioctl(dev(), BREAK, 1));
	do_echo();
}

static void do_changing(void)
{
	pthread_t t;
	uint32_t *word = malloc(4);
	pthread_create(&t, NULL, change, word);
	int ok = 0;
	for (int i = 0; i < 2000; i++)
		ok += ioctl(dev(), ECHO, word) == 0;
	said("answered", ok);
}

static void *closes(void *unused)
{
	usleep(2000);
	close(fd);
	return unused;
}

static void do_closing(void)
{
	pthread_t t;
	dev();
	pthread_create(&t, NULL, closes, NULL);
	said("slow", ioctl(fd, SLOW, &fd));
	pthread_join(t, NULL);
	said("after", ioctl(fd, ECHO, &fd));
}

static void do_killed(void)
{
	dev();
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();
		if (!pid)
			for (;;) {
				uint32_t x = 0;
				int f = open("/dev/iommu", O_RDWR);
				ioctl(f, ECHO, &x);
				ioctl(f, EVENTS, 0);
				ioctl(f, SLOW, &x);
				close(f);
			}
		usleep(i * 100);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	said("open", ioctl(fd, OPEN_FILES, 0));
}

static void do_flood(void)
{
	int n = 0;
	while (open("/dev/iommu", O_RDWR) >= 0)
		n++;
	printf("opened until %s: %d\n", strerrorname_np(errno), n);
}

static void do_crowd(void)
{
	enum { CHILDREN = 15 };
	volatile int *opened = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[CHILDREN];
	int sum = 0;
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			int n = 0;
			while (open("/dev/iommu", O_RDWR) >= 0)
				n++;
			opened[i] = n + 1;
			for (;;)
				pause();
		}
		while (!opened[i])
			usleep(1000);
		sum += opened[i] - 1;
	}
	said("refused by the sum", open("/dev/iommu", O_RDWR));
	for (int i = 0; i < CHILDREN; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	said("opened", sum);
	said("open again", open("/dev/iommu", O_RDWR) >= 700);
}

static void do_windows(void)
{
	said("before", ioctl(dev(), MAPPED));
	said("a fresh window", ioctl(fd, WINDOW, 7));
	uint32_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	said("shows", page[0]);
	said("mapped", ioctl(fd, MAPPED));
	pid_t child = fork();
	if (!child)
		for (;;)
			pause();
	munmap(page, 4096);
	said("in the child", ioctl(fd, MAPPED));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	said("nowhere", ioctl(fd, MAPPED));
	int same = 0;
	for (int i = 0; i < 70000; i++)
		same += ioctl(fd, WINDOW, 9) == 0;
	said("fresh again", same);
}

static long show(uint32_t group, uint64_t attribute, int *number)
{
	struct { uint32_t flags, group; uint64_t attr, addr; } a = { 0, group, attribute, (uintptr_t)number };
	return ioctl(1, 0x4018aee1, &a); /* KVM_SET_DEVICE_ATTR, of what is no device of KVM */
}

static void do_kvm(void)
{
	int other = open("/dev/null", O_RDWR), ours = dev();
	said("added", show(1, 1, &ours));
	said("deleted", show(1, 2, &ours));
	said("another attribute", show(1, 3, &ours));
	said("another group", show(2, 1, &ours));
	said("another file", show(1, 1, &other));
	said("nowhere", show(1, 1, NULL));
	said("no attribute", ioctl(1, 0x4018aee1, NULL));
}

static void nothing(int number)
{
	(void)number;
}

static void do_interrupted(void)
{
	struct sigaction a = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct itimerval every = { { 0, 500 }, { 0, 500 } };
	int bad = 0;
	sigaction(SIGALRM, &a, NULL);
	dev();
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 500; i++)
		bad += ioctl(fd, SLOW, &fd) != 0;
	said("failed", bad);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } all[] = {
		{ "open", do_open }, { "echo", do_echo }, { "pointers", do_pointers }, { "unknown", do_unknown }, { "io", do_io },
		{ "dup", do_dup }, { "close", do_close }, { "fork", do_fork }, { "children", do_children }, { "exec", do_exec },
		{ "stat", do_stat }, { "events", do_events }, { "broken", do_broken }, { "changing", do_changing },
		{ "closing", do_closing }, { "killed", do_killed }, { "flood", do_flood }, { "crowd", do_crowd }, { "interrupted", do_interrupted },
		{ "windows", do_windows }, { "kvm", do_kvm },
	};
	if (argc == 3 && !strcmp(argv[1], "use")) {
		uint32_t x = 7;
		fd = atoi(argv[2]);
		said("after exec", ioctl(fd, ECHO, &x) == 0 ? x : -1);
		return 0;
	}
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof all / sizeof *all; k++)
			if (!strcmp(argv[i], all[k].name))
				all[k].run();
	return 0;
}
