// SPDX-License-Identifier: Apache-2.0
/* Peer "kernel-c" for calls of a program that knows nothing of us: a supervisor by seccomp user notification in C, with
 * what a right answer needs and no more. It knows a stand-in by device and inode, hears of last closes by inotify before
 * each answer, and reads and writes the caller's memory through the kernel. Serves one ioctl, IOMMU_OPTION.
 * usage: hostserve PROGRAM [ARG...] */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUMBER 700
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define EQUAL(n, yes) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, yes, 0)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

static struct sock_filter code[] = {
    LOAD(arch), EQUAL(AUDIT_ARCH_X86_64, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    LOAD(nr), EQUAL(__NR_openat, 6), EQUAL(__NR_open, 5), EQUAL(__NR_ioctl, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    LOAD(args[1]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x3b00, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
struct option { uint32_t size, id; uint16_t op, reserved; uint32_t object; uint64_t value; };
static int listener, watch, kept; static struct stat ours;

static int copy(pid_t p, void *here, uint64_t there, size_t n, int out) {
    struct iovec l = { here, n }, r = { (void *)there, n };
    return (out ? process_vm_writev(p, &l, 1, &r, 1, 0) : process_vm_readv(p, &l, 1, &r, 1, 0)) == (ssize_t)n ? 0 : -EFAULT;
}
static int is_valid(uint64_t id) { return !ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id); }
static int drain(void) {
    char b[4096] __attribute__((aligned(8))); int n = 0;
    while (read(watch, b, sizeof b) > 0) n++;
    return n;
}
static int is_ours(struct seccomp_notif *q) {
    char path[64]; struct stat s;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", q->pid, (int)q->data.args[0]);
    return kept > 0 && !stat(path, &s) && s.st_dev == ours.st_dev && s.st_ino == ours.st_ino;
}
static int is_device(struct seccomp_notif *q) {
    char name[64] = ""; uint64_t at = q->data.args[q->data.nr == __NR_openat]; size_t n = 4096 - (at & 4095);
    return !copy(q->pid, name, at, n < 63 ? n : 63, 0) && !strcmp(name, "/dev/iommu");
}
static int hand_out(struct seccomp_notif *q) {
    char path[64]; kept = memfd_create("iommu", MFD_CLOEXEC); fstat(kept, &ours);
    snprintf(path, sizeof path, "/proc/self/fd/%d", kept);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    inotify_add_watch(watch, path, IN_CLOSE_WRITE);
    struct seccomp_notif_addfd a = { .id = q->id, .flags = SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND, .srcfd = fd, .newfd = NUMBER };
    int r = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a); close(fd);
    return r;
}
static int64_t option(struct seccomp_notif *q) {
    uint64_t at = q->data.args[2]; struct option o = { 0 };
    if ((uint32_t)q->data.args[1] != (';' << 8 | 0x87)) return -ENOTTY;
    if (copy(q->pid, &o, at, 4, 0)) return -EFAULT;
    if (o.size != sizeof o) return -EINVAL;
    if (copy(q->pid, &o, at, sizeof o, 0)) return -EFAULT;
    if (o.id || o.op != 1 || o.reserved || o.object) return -EOPNOTSUPP;
    o.value = 0;
    return is_valid(q->id) ? copy(q->pid, &o, at, sizeof o, 1) : -EFAULT;
}
static void serve(void) {
    for (;;) {
        struct pollfd p[2] = { { listener, POLLIN, 0 }, { watch, POLLIN, 0 } };
        if (poll(p, 2, -1) < 0 || (p[0].revents & POLLHUP)) return;
        if (!(p[0].revents & POLLIN)) { drain(); continue; }
        struct seccomp_notif q = { 0 };
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q)) continue;
        drain();
        struct seccomp_notif_resp r = { .id = q.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
        if (q.data.nr == __NR_ioctl) {
            if (is_ours(&q)) { int64_t v = option(&q); r.flags = 0; if (v < 0) r.error = v; else r.val = v; }
        } else if (is_device(&q) && hand_out(&q) >= 0) continue;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
    }
}
int main(int argc, char **argv) {
    int pair[2], status; char c = 0, ctl[CMSG_SPACE(sizeof(int))]; struct iovec iov = { &c, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
    if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return 64;
    pid_t pid = fork();
    if (!pid) {
        struct sock_fprog prog = { sizeof code / sizeof *code, code };
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int l = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | 32 /* WAIT_KILLABLE_RECV */, &prog);
        if (l < 0) { perror("seccomp"); _exit(69); }
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(sizeof l); memcpy(CMSG_DATA(h), &l, sizeof l);
        if (sendmsg(pair[1], &m, 0) != 1) _exit(69);
        close(l);
        execvp(argv[1], argv + 1); _exit(127);
    }
    close(pair[1]);
    if (recvmsg(pair[0], &m, MSG_CMSG_CLOEXEC) != 1) return 69;
    memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof listener);
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1ul)) perror("SYNC_WAKE_UP");
    serve();
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
