/* SPDX-License-Identifier: Apache-2.0 */
/* Says where it has two private pages, a shared one and one that is read-only, then the number of a child that waits. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

int main(void)
{
	char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = memfd_create("shared", 0);
	char *shared = ftruncate(file, 4096) ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	own[0] = 'p';
	shared[0] = 's';
	printf("%ld\n%ld\n%ld\n", (long)own, (long)shared, (long)constant);
	fflush(stdout);
	pid_t child = fork();
	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	else
		printf("%d\n", child);
	fflush(stdout);
	for (;;)
		pause();
}
