// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Where the system calls arrive that a {@link CallFilter} holds back: seccomp_unotify(2). One call
 * at a time is looked at, between {@link #receive} and its answer. One thread; allocates nothing.
 *
 * <p>The caller waits in the kernel, but it can be killed meanwhile, and its number can then become
 * another task's. So whoever looks into the caller's folder in /proc or at its memory asks {@link
 * #isPending} afterwards, before it relies on what it found, and before it writes.
 */
public final class CallListener implements AutoCloseable {
    // linux/seccomp.h
    private static final long SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100L;
    private static final long SECCOMP_IOCTL_NOTIF_SEND = 0xc018_2101L;
    private static final long SECCOMP_IOCTL_NOTIF_ID_VALID = 0x4008_2102L;
    private static final long SECCOMP_IOCTL_NOTIF_ADDFD = 0x4018_2103L;
    private static final long SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x4008_2104L;
    private static final long SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1;
    private static final int SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
    private static final int SECCOMP_ADDFD_FLAG_SETFD = 1;
    private static final int SECCOMP_ADDFD_FLAG_SEND = 2;
    private static final int O_CLOEXEC = 0x80000;

    // struct seccomp_notif
    private static final int NOTIF_ID = 0;
    private static final int NOTIF_PID = 8;
    private static final int NOTIF_NUMBER = 16;
    private static final int NOTIF_ARGUMENTS = 32;
    private static final int SIZEOF_NOTIF = 80;

    // struct seccomp_notif_resp
    private static final int RESP_VALUE = 8;
    private static final int RESP_ERROR = 16;
    private static final int RESP_FLAGS = 20;
    private static final int SIZEOF_RESP = 24;

    // struct seccomp_notif_addfd
    private static final int ADDFD_FLAGS = 8;
    private static final int ADDFD_SOURCE = 12;
    private static final int ADDFD_NUMBER = 16;
    private static final int ADDFD_NUMBER_FLAGS = 20;
    private static final int SIZEOF_ADDFD = 24;

    private static final MethodHandle IOCTL =
            Linux.linkVariadic(
                    "ioctl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS));
    private static final MethodHandle IOCTL_VALUE =
            Linux.linkVariadic(
                    "ioctl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));

    private final Fd fd;
    private final MemorySegment errno;
    private final MemorySegment call;
    private final MemorySegment answer;
    private final MemorySegment given;
    private boolean isAnswered = true;

    private CallListener(Fd fd) {
        this.fd = fd;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        call = scratch.allocate(SIZEOF_NOTIF, 8);
        answer = scratch.allocate(SIZEOF_RESP, 8);
        given = scratch.allocate(SIZEOF_ADDFD, 8);
    }

    /**
     * The kernel says how large its structures are. They have never grown; one that has would write
     * past ours.
     *
     * @param sizes struct seccomp_notif_sizes: u16 notif, notif_resp, data
     */
    static void prepare(MemorySegment sizes) throws ErrnoException {
        if (sizes.get(JAVA_SHORT, 0) != SIZEOF_NOTIF || sizes.get(JAVA_SHORT, 2) != SIZEOF_RESP) {
            throw new ErrnoException(
                    "seccomp",
                    "SECCOMP_GET_NOTIF_SIZES " + sizes.get(JAVA_SHORT, 0),
                    Errno.EOVERFLOW);
        }
    }

    /** Takes ownership of what seccomp(2) returned. */
    static CallListener own(int number) {
        CallListener listener = new CallListener(Fd.own(number));
        // The waker goes to sleep at once, so both may stay on one processor: a third of the time.
        // Kernels before 6.6 do not know it, and go on without.
        int _ = listener.ioctl(SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
        return listener;
    }

    /** To wait for it: {@link Epoll#IN} when a call is there, {@link Epoll#HUP} after the last. */
    public int fd() {
        return fd.number();
    }

    /**
     * Takes the next call; waits for one if none is there.
     *
     * @return false if there was none after all: its caller was killed, or a signal came
     */
    public boolean receive() {
        call.fill((byte) 0);
        int result = ioctl(SECCOMP_IOCTL_NOTIF_RECV, call);
        isAnswered = result < 0;
        if (result < 0 && result != -Errno.EINTR && result != -Errno.ENOENT) {
            throw new IllegalStateException("SECCOMP_IOCTL_NOTIF_RECV: " + Errno.name(-result));
        }
        return result == 0;
    }

    /** The thread that calls, as this process numbers it. */
    public int thread() {
        return call.get(JAVA_INT, NOTIF_PID);
    }

    /** Number of the call. */
    public int number() {
        return call.get(JAVA_INT, NOTIF_NUMBER);
    }

    /** An argument, all 64 bits, as it stood in the caller's register. */
    public long argument(int index) {
        java.util.Objects.checkIndex(index, 6);
        return call.get(JAVA_LONG, NOTIF_ARGUMENTS + 8L * index);
    }

    /** Whether the caller still waits for the answer. */
    public boolean isPending() {
        return !isAnswered && ioctl(SECCOMP_IOCTL_NOTIF_ID_VALID, call) == 0;
    }

    /**
     * Whether the call has its answer already, by {@link #answer}, {@link #proceed} or {@link
     * #give}.
     */
    public boolean isAnswered() {
        return isAnswered;
    }

    /**
     * Ends the call.
     *
     * @param value what it returns; a negative errno (-4095..-1) makes it fail
     */
    public void answer(long value) {
        boolean isError = value < 0 && value >= -4095;
        send(isError ? 0 : value, isError ? (int) value : 0, 0);
    }

    /**
     * Lets the kernel carry it out. The kernel reads what pointers point to again, so this is no
     * answer to a call that was judged by them.
     */
    public void proceed() {
        send(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    }

    /**
     * Puts a copy of a descriptor of ours into the caller's table and lets the call return its
     * number.
     *
     * @param number where; -1: the lowest that is free
     * @return the number, or the negative errno, and then the call has no answer yet: EBADF: number
     *     is beyond the caller's limit; EMFILE: its table is full; ENOENT: it is gone
     */
    public int giveAsAnswer(Fd file, int number, boolean isCloseOnExec) {
        int result = give(file, number, isCloseOnExec, SECCOMP_ADDFD_FLAG_SEND);
        isAnswered |= result >= 0;
        return result;
    }

    /** The same, but the call goes on waiting for its answer. */
    public int give(Fd file, int number, boolean isCloseOnExec) {
        return give(file, number, isCloseOnExec, 0);
    }

    /** Never fails; does nothing the second time. Calls that wait, and later ones, get ENOSYS. */
    @Override
    public void close() {
        fd.close();
    }

    private int give(Fd file, int number, boolean isCloseOnExec, int flags) {
        if (FailureInjection.strikes()) {
            return -Errno.EMFILE;
        }
        given.set(JAVA_LONG, 0, call.get(JAVA_LONG, NOTIF_ID));
        given.set(JAVA_INT, ADDFD_FLAGS, flags | (number >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0));
        given.set(JAVA_INT, ADDFD_SOURCE, file.number());
        given.set(JAVA_INT, ADDFD_NUMBER, Math.max(number, 0));
        given.set(JAVA_INT, ADDFD_NUMBER_FLAGS, isCloseOnExec ? O_CLOEXEC : 0);
        return ioctl(SECCOMP_IOCTL_NOTIF_ADDFD, given);
    }

    private void send(long value, int error, int flags) {
        if (isAnswered) {
            throw new IllegalStateException("no call waits for an answer");
        }
        answer.set(JAVA_LONG, 0, call.get(JAVA_LONG, NOTIF_ID));
        answer.set(JAVA_LONG, RESP_VALUE, value);
        answer.set(JAVA_INT, RESP_ERROR, error);
        answer.set(JAVA_INT, RESP_FLAGS, flags);
        isAnswered = true;
        int result = ioctl(SECCOMP_IOCTL_NOTIF_SEND, answer);
        // ENOENT: the caller was killed; nobody waits any more.
        if (result < 0 && result != -Errno.ENOENT) {
            throw new IllegalStateException("SECCOMP_IOCTL_NOTIF_SEND: " + Errno.name(-result));
        }
    }

    private int ioctl(long command, MemorySegment argument) {
        try {
            // SAFETY: every command here goes with its own structure, of the size in its number.
            return Linux.result(
                    (int) IOCTL.invokeExact(errno, fd.number(), command, argument), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private int ioctl(long command, long argument) {
        try {
            // SAFETY: plain numbers.
            return Linux.result(
                    (int) IOCTL_VALUE.invokeExact(errno, fd.number(), command, argument), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
