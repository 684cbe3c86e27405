// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Files by path and position: open(2), pread(2), pwrite(2), for what Java's own files cannot do
 * (opening what a link in /proc stands for, without a look at its path). Any thread.
 */
public final class FileBytes {
    /** Flags of open(2). */
    public static final int O_RDONLY = 0;

    public static final int O_RDWR = 2;
    public static final int O_NONBLOCK = 0x800;
    public static final int O_DIRECTORY = 0x10000;
    private static final int O_CLOEXEC = 0x80000;

    private static final MethodHandle OPEN =
            Linux.linkVariadic(
                    "open", 2, FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));
    private static final MethodHandle PREAD =
            Linux.link(
                    "pread",
                    FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle PWRITE =
            Linux.link(
                    "pwrite",
                    FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));

    private FileBytes() {}

    /** Opens, close-on-exec. What is opened may block there (a pipe, a device): O_NONBLOCK. */
    public static Fd open(String path, int flags) throws ErrnoException {
        int result = FailureInjection.strikes() ? -Errno.EMFILE : openNumber(path, flags);
        if (result < 0) {
            throw new ErrnoException("open", path, -result);
        }
        return Fd.own(result);
    }

    /** Another open file of the same file: own position, own flags. */
    public static Fd reopen(Fd fd, int flags) throws ErrnoException {
        return open("/proc/self/fd/" + fd.number(), flags);
    }

    /**
     * Reads at a position.
     *
     * @return how many bytes, 0 at the end; or the negative errno
     */
    public static long read(Fd fd, long position, MemorySegment to, long offset, long length) {
        try (Arena arena = Arena.ofConfined()) {
            return read(fd, position, to, offset, length, arena.allocate(Linux.ERRNO));
        }
    }

    /**
     * Writes at a position.
     *
     * @return how many bytes, or the negative errno
     */
    public static long write(Fd fd, long position, MemorySegment from, long offset, long length) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOSPC;
        }
        MemorySegment part = from.asSlice(offset, length);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: part has length readable bytes.
            return Linux.result(
                    (long) PWRITE.invokeExact(errno, fd.number(), part, length, position), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Makes the bytes all that the file has. A failure leaves a part. */
    public static void replace(Fd fd, byte[] bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment all = arena.allocateFrom(java.lang.foreign.ValueLayout.JAVA_BYTE, bytes);
            long written = write(fd, 0, all, 0, bytes.length);
            Memfd.resize(fd, Math.max(written, 0));
        } catch (ErrnoException e) {
            // Longer than it should be; its first bytes are right.
        }
    }

    /** As above, without memory of its own for the errno. */
    static long read(
            Fd fd, long position, MemorySegment to, long offset, long length, MemorySegment errno) {
        if (FailureInjection.strikes()) {
            return -Errno.EIO;
        }
        MemorySegment part = to.asSlice(offset, length);
        try {
            // SAFETY: part has length writable bytes.
            return Linux.result(
                    (long) PREAD.invokeExact(errno, fd.number(), part, length, position), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int openNumber(String path, int flags) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: the path ends with a zero byte; no file is created, so that the mode is not
            // looked at.
            return Linux.result(
                    (int) OPEN.invokeExact(errno, arena.allocateFrom(path), flags | O_CLOEXEC, 0),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
