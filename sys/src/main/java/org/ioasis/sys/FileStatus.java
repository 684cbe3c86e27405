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
 * What statx(2) says about an open file or a path. Its layout is the same on all machines, which is
 * why it is used rather than fstat(2). Any thread.
 */
record FileStatus(int mode, long inode, long size, int deviceMajor, int deviceMinor) {
    private static final int AT_FDCWD = -100;
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int STATX_BASIC_STATS = 0x7ff;
    private static final int SIZEOF_STATX = 256;

    private static final int S_IFMT = 0xf000;
    private static final int S_IFSOCK = 0xc000;

    private static final MethodHandle STATX =
            Linux.link(
                    "statx",
                    FunctionDescriptor.of(
                            JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS));

    static FileStatus of(Fd fd) throws ErrnoException {
        int number = fd.number();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(SIZEOF_STATX, 8);
            int result = statx(arena, number, arena.allocateFrom(""), AT_EMPTY_PATH, status);
            if (result < 0) {
                throw new ErrnoException("statx", "fd=" + number, -result);
            }
            return read(status);
        }
    }

    /** Of the path itself, not of what a symbolic link there points to. */
    static FileStatus of(UnixAddress path) throws ErrnoException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(SIZEOF_STATX, 8);
            int result = statx(arena, AT_FDCWD, path.pathname(), AT_SYMLINK_NOFOLLOW, status);
            if (result < 0) {
                throw new ErrnoException("statx", path.toString(), -result);
            }
            return read(status);
        }
    }

    private static int statx(
            Arena arena, int directory, MemorySegment path, int flags, MemorySegment status) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: path ends with a zero byte, status has the size of struct statx.
            return Linux.result(
                    (int)
                            STATX.invokeExact(
                                    errno, directory, path, flags, STATX_BASIC_STATS, status),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static FileStatus read(MemorySegment status) {
        return new FileStatus(
                Short.toUnsignedInt(status.get(JAVA_SHORT, 28)),
                status.get(JAVA_LONG, 32),
                status.get(JAVA_LONG, 40),
                status.get(JAVA_INT, 136),
                status.get(JAVA_INT, 140));
    }

    boolean isSocket() {
        return (mode & S_IFMT) == S_IFSOCK;
    }

    int permissions() {
        return mode & 0xfff;
    }

    /** Whether both are of one file. True only for sure while that file is held open. */
    boolean isSameFile(FileStatus other) {
        return inode == other.inode
                && deviceMajor == other.deviceMajor
                && deviceMinor == other.deviceMinor;
    }
}
