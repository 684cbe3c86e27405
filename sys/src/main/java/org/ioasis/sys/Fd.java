// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The owner of one file descriptor. Closes it exactly once, whoever asks and however often: a
 * number that is closed a second time may be somebody else's by then.
 *
 * <p>Closing is safe from any thread. Using the number is not, beside a close: the owner sees to it
 * that nobody is inside a call with {@link #number()} when it closes.
 */
public final class Fd implements AutoCloseable {
    private static final int F_DUPFD_CLOEXEC = 1030;
    private static final int GONE = -1;

    private static final MethodHandle CLOSE =
            Linux.linkWithoutErrno("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private final AtomicInteger number;

    private Fd(int number) {
        this.number = new AtomicInteger(number);
    }

    /** Takes ownership of an open descriptor. */
    public static Fd own(int number) {
        if (number < 0) {
            throw new IllegalArgumentException("fd=" + number);
        }
        return new Fd(number);
    }

    /**
     * Closes a descriptor that has no owner yet. The result does not matter: Linux has given the
     * number back even when close(2) reports EINTR or a late write error.
     */
    static void closeNumber(int number) {
        try {
            // SAFETY: plain ints. The caller owns the number and forgets it.
            int _ = (int) CLOSE.invokeExact(number);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * The number, for a call that does not keep it.
     *
     * @throws IllegalStateException after {@link #close} or {@link #transfer}
     */
    public int number() {
        int current = number.get();
        if (current == GONE) {
            throw new IllegalStateException("descriptor is closed");
        }
        return current;
    }

    /** Another descriptor of the same open file (it shares position and flags), close-on-exec. */
    public Fd duplicate() throws ErrnoException {
        int from = number();
        int duplicated = Fcntl.fcntl(from, F_DUPFD_CLOEXEC, 0);
        if (duplicated < 0) {
            throw new ErrnoException("fcntl", "F_DUPFD_CLOEXEC fd=" + from, -duplicated);
        }
        return new Fd(duplicated);
    }

    /**
     * Gives up ownership: the caller has to close the returned number.
     *
     * @throws IllegalStateException after {@link #close} or {@link #transfer}
     */
    public int transfer() {
        int given = number.getAndSet(GONE);
        if (given == GONE) {
            throw new IllegalStateException("descriptor is closed");
        }
        return given;
    }

    /** Whether this still owns a descriptor. */
    public boolean isOpen() {
        return number.get() != GONE;
    }

    /** Size of the file in bytes; 0 for everything that is neither a file nor memory. */
    public long size() throws ErrnoException {
        return FileStatus.of(this).size();
    }

    /** Never fails; does nothing after the first time. */
    @Override
    public void close() {
        int last = number.getAndSet(GONE);
        if (last != GONE) {
            closeNumber(last);
        }
    }

    /** {@code fd=7}, as messages want it. */
    @Override
    public String toString() {
        return "fd=" + number.get();
    }

    /** Apart, because few users of descriptors need it. */
    static final class Fcntl {
        private static final MethodHandle FCNTL =
                Linux.linkVariadic(
                        "fcntl", 2, FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));

        private Fcntl() {}

        static int fcntl(int fd, int command, int argument) {
            if (FailureInjection.strikes()) {
                return -Errno.ENOMEM;
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment errno = arena.allocate(Linux.ERRNO);
                // SAFETY: plain ints; only commands that take an int are used.
                return Linux.result((int) FCNTL.invokeExact(errno, fd, command, argument), errno);
            } catch (Throwable e) {
                throw Linux.rethrow(e);
            }
        }
    }
}
