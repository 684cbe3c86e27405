// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Objects;

/**
 * Waits for many descriptors at once, level-triggered: epoll(7). Belongs to one thread; a thread
 * that wants to wake it signals an {@link EventFd} that was added. Waiting allocates nothing.
 *
 * <p>A descriptor is removed before it is closed. Otherwise its number, or a copy of it that a peer
 * holds, goes on being reported under the old token.
 */
public final class Epoll implements AutoCloseable {
    /** Something can be read, or accepted, or the peer has closed. */
    public static final int IN = 1;

    /** There is room to write. */
    public static final int OUT = 4;

    /** An error is pending. Always reported, asked for or not. */
    public static final int ERR = 8;

    /** The connection is closed in both directions. Always reported, asked for or not. */
    public static final int HUP = 16;

    /** The peer does not send any more. */
    public static final int RDHUP = 0x2000;

    /** Tells of each change once, and not again until there is another. */
    public static final int EDGE = 1 << 31;

    /** How many descriptors one {@link #await} reports at most; the others come with the next. */
    static final int BATCH = 64;

    private static final int EPOLL_CLOEXEC = 0x80000;
    private static final int EPOLL_CTL_ADD = 1;
    private static final int EPOLL_CTL_DEL = 2;
    private static final int EPOLL_CTL_MOD = 3;
    private static final int EVENT_SIZE = Abi.HOST.epollEventSize();
    private static final int EVENT_DATA = Abi.HOST.epollDataOffset();

    private static final MethodHandle EPOLL_CREATE1 =
            Linux.link("epoll_create1", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle EPOLL_CTL =
            Linux.link(
                    "epoll_ctl",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS));
    private static final MethodHandle EPOLL_WAIT =
            Linux.link(
                    "epoll_wait",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));

    private final Fd fd;
    private final MemorySegment errno;
    private final MemorySegment change;
    private final MemorySegment ready;
    private int readyCount;

    private Epoll(Fd fd) {
        this.fd = fd;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        change = scratch.allocate(EVENT_SIZE, 8);
        ready = scratch.allocate((long) BATCH * EVENT_SIZE, 8);
    }

    /** A new one that waits for nothing yet, close-on-exec. */
    public static Epoll create() throws ErrnoException {
        int number = create(EPOLL_CLOEXEC);
        if (number < 0) {
            throw new ErrnoException("epoll_create1", "", -number);
        }
        return new Epoll(Fd.own(number));
    }

    /** The number, so that another one can wait for this. */
    public int fd() {
        return fd.number();
    }

    /**
     * Waits for {@code events} of a descriptor from now on.
     *
     * @param events bits of this class; none: only errors and the end are reported
     * @param token comes back from {@link #token}
     * @throws ErrnoException EPERM: a kind of file that nobody can wait for; EEXIST: is there
     *     already; ENOSPC: the user's limit of such waits is reached; ENOMEM
     */
    public void add(int fd, int events, long token) throws ErrnoException {
        int result = control(EPOLL_CTL_ADD, fd, events, token);
        if (result < 0) {
            throw new ErrnoException("epoll_ctl", "EPOLL_CTL_ADD fd=" + fd, -result);
        }
    }

    /**
     * Waits for other events of a descriptor that was added, under another token.
     *
     * @throws IllegalStateException if it was not added
     */
    public void modify(int fd, int events, long token) {
        int result = control(EPOLL_CTL_MOD, fd, events, token);
        if (result < 0) {
            throw new IllegalStateException(
                    "epoll_ctl EPOLL_CTL_MOD fd=" + fd + ": " + Errno.name(-result));
        }
    }

    /**
     * Waits for it no longer. Does nothing if it was not added. What the last {@link #await} has
     * reported stays as it is.
     */
    public void remove(int fd) {
        int _ = control(EPOLL_CTL_DEL, fd, 0, 0);
    }

    /**
     * Waits until something is ready or the time is over.
     *
     * @param timeoutMillis 0: do not wait; -1: forever
     * @return how many are ready, for {@link #events} and {@link #token}; 0 also if a signal came
     */
    public int await(int timeoutMillis) {
        int result = awaitReady(timeoutMillis);
        if (result < 0 && result != -Errno.EINTR) {
            throw new IllegalStateException("epoll_wait " + fd + ": " + Errno.name(-result));
        }
        readyCount = Math.max(result, 0);
        return readyCount;
    }

    /** What happened to the {@code i}-th that was ready: bits of this class. */
    public int events(int i) {
        return ready.get(JAVA_INT, (long) Objects.checkIndex(i, readyCount) * EVENT_SIZE);
    }

    /** The token of the {@code i}-th that was ready. */
    public long token(int i) {
        return ready.get(
                JAVA_LONG_UNALIGNED,
                (long) Objects.checkIndex(i, readyCount) * EVENT_SIZE + EVENT_DATA);
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        fd.close();
    }

    private static int create(int flags) {
        if (FailureInjection.strikes()) {
            return -Errno.EMFILE;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain ints.
            return Linux.result((int) EPOLL_CREATE1.invokeExact(errno, flags), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private int control(int operation, int target, int events, long token) {
        // Only adding can be refused by a host that is out of something.
        if (operation == EPOLL_CTL_ADD && FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        change.set(JAVA_INT, 0, events);
        change.set(JAVA_LONG_UNALIGNED, EVENT_DATA, token);
        try {
            // SAFETY: change has the size of struct epoll_event on this machine.
            return Linux.result(
                    (int) EPOLL_CTL.invokeExact(errno, fd.number(), operation, target, change),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private int awaitReady(int timeoutMillis) {
        if (FailureInjection.strikes()) {
            return -Errno.EINTR;
        }
        try {
            // SAFETY: ready has room for BATCH structures of this machine's size.
            return Linux.result(
                    (int) EPOLL_WAIT.invokeExact(errno, fd.number(), ready, BATCH, timeoutMillis),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
