// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * A file that can have holes: open(2) and fallocate(2), which Java's own channels do not offer. Any
 * thread; {@link #close} not beside {@link #punch}.
 */
public final class SparseFile implements AutoCloseable {
    private static final int O_RDWR = 2;
    private static final int O_CLOEXEC = 0x80000;
    private static final int FALLOC_FL_KEEP_SIZE = 1;
    private static final int FALLOC_FL_PUNCH_HOLE = 2;

    private static final MethodHandle OPEN =
            Linux.linkVariadic("open", 2, FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle FALLOCATE =
            Linux.link(
                    "fallocate",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));

    private final Fd fd;

    private SparseFile(Fd fd) {
        this.fd = fd;
    }

    /** Opens an existing file for reading and writing, close-on-exec. */
    public static SparseFile open(Path path) throws ErrnoException {
        int number;
        try (Arena arena = Arena.ofConfined()) {
            number = open(arena, arena.allocateFrom(path.toString()));
        }
        if (number < 0) {
            throw new ErrnoException("open", path.toString(), -number);
        }
        return new SparseFile(Fd.own(number));
    }

    /**
     * A path that opens the same file once more, whatever has become of its name. Valid until
     * {@link #close}.
     */
    public Path path() {
        return Path.of("/proc/self/fd/" + fd.number());
    }

    /**
     * Gives the blocks of {@code length >= 1} bytes from {@code position} on back: they read as
     * zeroes then, and the size of the file stays.
     *
     * @return false if what holds the file cannot do that; nothing has changed
     */
    public boolean punch(long position, long length) throws ErrnoException {
        int result;
        do {
            try (Arena arena = Arena.ofConfined()) {
                result =
                        fallocate(
                                arena,
                                fd.number(),
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                position,
                                length);
            }
        } while (result == -Errno.EINTR);
        if (result == -Errno.ENOTSUP || result == -Errno.ENOSYS || result == -Errno.ENODEV) {
            return false;
        }
        if (result < 0) {
            throw new ErrnoException(
                    "fallocate", fd + " position=" + position + " length=" + length, -result);
        }
        return true;
    }

    @Override
    public void close() {
        fd.close();
    }

    private static int open(Arena arena, MemorySegment path) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: the path ends with a zero byte; without O_CREAT there is no third argument.
            return Linux.result((int) OPEN.invokeExact(errno, path, O_RDWR | O_CLOEXEC), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int fallocate(Arena arena, int fd, int mode, long offset, long length) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain numbers; the descriptor is owned and open.
            return Linux.result(
                    (int) FALLOCATE.invokeExact(errno, fd, mode, offset, length), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
