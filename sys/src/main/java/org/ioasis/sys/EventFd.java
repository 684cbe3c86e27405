// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A counter in the kernel that somebody adds to and somebody waits for: eventfd(2). Nonblocking.
 *
 * <p>{@link #signal()} (of a shared one: one thread at a time) and {@link #close()} may be called
 * from any thread, also at the same time: the descriptor is closed when the last signal is through.
 * {@link #drain()} is for one thread at a time. Neither allocates.
 */
public final class EventFd implements AutoCloseable {
    private static final int EFD_NONBLOCK = 0x800;
    private static final int EFD_CLOEXEC = 0x80000;
    private static final int F_SETFL = 4;
    private static final int O_NONBLOCK = 0x800;

    /** Bit of {@link #users}: no call may begin any more. */
    private static final int CLOSED = 1 << 31;

    private static final MethodHandle WRITE =
            Linux.linkWithoutErrno(
                    "write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle READ =
            Linux.linkWithoutErrno(
                    "read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));

    /** What every signal adds. Never written again, so that all threads may use it. */
    private static final MemorySegment ONE = Arena.global().allocateFrom(JAVA_LONG, 1).asReadOnly();

    private static final int SIZEOF_POLLFD = 8;
    private static final int POLLFD_EVENTS = 4;
    private static final int POLLFD_REVENTS = 6;
    private static final short POLLOUT = 4;

    private static final MethodHandle POLL =
            Linux.linkWithoutErrno(
                    "poll", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));

    private final Fd fd;

    /** For what may block, because somebody else decides on that; used by one thread at a time. */
    private @Nullable MemorySegment room;

    private final MemorySegment drained = Arena.ofAuto().allocate(JAVA_LONG);

    /** How many threads are inside a call with the descriptor, and {@link #CLOSED}. */
    private final AtomicInteger users = new AtomicInteger();

    private EventFd(Fd fd) {
        this.fd = fd;
    }

    /** A new counter at zero, close-on-exec. */
    public static EventFd create() throws ErrnoException {
        int number = Create.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (number < 0) {
            throw new ErrnoException("eventfd", "", -number);
        }
        return new EventFd(Fd.own(number));
    }

    /**
     * Takes over a descriptor that came from a peer, if it is an eventfd: reading or writing
     * another kind of file could block or do harm. It is made nonblocking for all who share it. (A
     * peer that undoes this and also fills the counter can make {@link #signal()} wait for it.)
     *
     * @throws ErrnoException EINVAL: not an eventfd. The descriptor is then still the caller's.
     */
    public static EventFd of(Fd fd) throws ErrnoException {
        int number = fd.number();
        if (!isEventFd(number)) {
            throw new ErrnoException("eventfd", "from fd=" + number, Errno.EINVAL);
        }
        int result = Fd.Fcntl.fcntl(number, F_SETFL, O_NONBLOCK);
        if (result < 0) {
            throw new ErrnoException("fcntl", "F_SETFL fd=" + number, -result);
        }
        return new EventFd(Fd.own(fd.transfer()));
    }

    /**
     * Shares the counter of a program that is served, which waits for it as it likes: its flags
     * stay as they are. A counter that is full is left alone. (A program that fills it between the
     * look and the signal has the thread that serves it wait, with all that this thread serves.)
     *
     * @throws ErrnoException EINVAL: not an eventfd. The descriptor is then still the caller's.
     */
    public static EventFd shared(Fd fd) throws ErrnoException {
        int number = fd.number();
        if (!isEventFd(number)) {
            throw new ErrnoException("eventfd", "from fd=" + number, Errno.EINVAL);
        }
        EventFd shared = new EventFd(Fd.own(fd.transfer()));
        shared.room = Arena.ofAuto().allocate(SIZEOF_POLLFD, Integer.BYTES);
        return shared;
    }

    /** Whether a signal does not have to wait: poll(2). */
    private boolean hasRoom() throws Throwable {
        MemorySegment asked = room;
        if (asked == null) {
            return true;
        }
        asked.set(JAVA_INT, 0, fd.number());
        asked.set(JAVA_SHORT, POLLFD_EVENTS, POLLOUT);
        asked.set(JAVA_SHORT, POLLFD_REVENTS, (short) 0);
        // SAFETY: one struct pollfd; does not wait.
        int _ = (int) POLL.invokeExact(asked, 1L, 0);
        return (asked.get(JAVA_SHORT, POLLFD_REVENTS) & POLLOUT) != 0;
    }

    /** The number, to wait for it with {@link Epoll} or to pass it on. */
    public int fd() {
        return fd.number();
    }

    /** Another descriptor of the same counter, to be given to somebody else. Owner's thread. */
    public Fd duplicate() throws ErrnoException {
        return fd.duplicate();
    }

    /**
     * Adds one. If the counter is full, whoever waits is being woken anyway. Does nothing after
     * {@link #close}: there is nobody left to wake.
     */
    public void signal() {
        if (!enter()) {
            return;
        }
        try {
            if (!hasRoom()) {
                return;
            }
            // SAFETY: eight readable bytes; the descriptor stays open until leave().
            long _ = (long) WRITE.invokeExact(fd.number(), ONE, (long) Long.BYTES);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        } finally {
            leave();
        }
    }

    /** Sets the counter to zero. Returns what it was, unsigned; 0 also after {@link #close}. */
    public long drain() {
        if (!enter()) {
            return 0;
        }
        try {
            // SAFETY: eight writable bytes; the descriptor stays open until leave().
            long read = (long) READ.invokeExact(fd.number(), drained, (long) Long.BYTES);
            // Nonblocking, so that the only failure is EAGAIN: the counter is zero.
            return read == Long.BYTES ? drained.get(JAVA_LONG, 0) : 0;
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        } finally {
            leave();
        }
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        if (users.getAndUpdate(n -> n | CLOSED) == 0) {
            fd.close();
        }
    }

    /** Keeps the descriptor open until {@link #leave}; false if it is closed. */
    boolean enter() {
        while (true) {
            int n = users.get();
            if ((n & CLOSED) != 0) {
                return false;
            }
            if (users.compareAndSet(n, n + 1)) {
                return true;
            }
        }
    }

    /** The last one out closes what was closed meanwhile. */
    void leave() {
        if (users.decrementAndGet() == CLOSED) {
            fd.close();
        }
    }

    private static boolean isEventFd(int number) throws ErrnoException {
        Path link = Path.of("/proc/self/fd/" + number);
        try {
            return Files.readSymbolicLink(link).toString().equals("anon_inode:[eventfd]");
        } catch (IOException e) {
            ErrnoException refusal = new ErrnoException("readlink", link.toString(), Errno.ENOENT);
            refusal.initCause(e);
            throw refusal;
        }
    }

    /** Apart, because those who only take eventfds over do not need it. */
    private static final class Create {
        private static final MethodHandle EVENTFD =
                Linux.link("eventfd", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));

        static int eventfd(int initial, int flags) {
            if (FailureInjection.strikes()) {
                return -Errno.EMFILE;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment errno = arena.allocate(Linux.ERRNO);
                // SAFETY: plain ints.
                return Linux.result((int) EVENTFD.invokeExact(errno, initial, flags), errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }
}
