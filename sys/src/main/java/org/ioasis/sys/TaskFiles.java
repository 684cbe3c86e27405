// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Which file another task has under a descriptor of its, by statx(2) of {@code /proc/TASK/fd/N}:
 * the file is told by device and inode, which survive dup(2) and fork(2) and cannot be chosen, as a
 * name can. One thread; allocates nothing.
 */
public final class TaskFiles {
    private static final int AT_FDCWD = -100;
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    private static final int STATX_INO = 0x100;
    private static final int SIZEOF_STATX = 256;
    private static final int SELF = (int) ProcessHandle.current().pid();

    private static final MethodHandle STATX =
            Linux.link(
                    "statx",
                    FunctionDescriptor.of(
                            JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS));

    private final MemorySegment errno;
    private final MemorySegment path;
    private final MemorySegment status;

    public TaskFiles() {
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        path = scratch.allocate(64);
        status = scratch.allocate(SIZEOF_STATX, 8);
    }

    /**
     * Looks at the file behind a descriptor.
     *
     * @return 0; -ENOENT: no such descriptor or task; another negative errno
     */
    public int look(int task, int descriptor) {
        return stat(task, descriptor, 0);
    }

    /** Looks at a file of our own. */
    public void look(Fd own) throws ErrnoException {
        int result = stat(SELF, own.number(), 0);
        if (result < 0) {
            throw new ErrnoException("statx", own.toString(), -result);
        }
    }

    /** Whether the task has such a descriptor, whatever it is. */
    public boolean has(int task, int descriptor) {
        return stat(task, descriptor, AT_SYMLINK_NOFOLLOW) == 0;
    }

    /** Inode of the file that {@link #look} found. */
    public long inode() {
        return status.get(JAVA_LONG, 32);
    }

    /** Device of that file's file system, major and minor number in one. */
    public long device() {
        return (long) status.get(JAVA_INT, 136) << 32
                | Integer.toUnsignedLong(status.get(JAVA_INT, 140));
    }

    /** Kind and permissions of that file. */
    public int mode() {
        return Short.toUnsignedInt(status.get(JAVA_SHORT, 28));
    }

    /** The device node's own number, if it is one. */
    public long node() {
        return (long) status.get(JAVA_INT, 128) << 32
                | Integer.toUnsignedLong(status.get(JAVA_INT, 132));
    }

    private int stat(int task, int descriptor, int flags) {
        if (task < 0 || descriptor < 0) {
            return -Errno.ENOENT;
        }
        long at = put(0, "/proc/");
        at = put(at, task);
        at = put(at, "/fd/");
        at = put(at, descriptor);
        path.set(JAVA_BYTE, at, (byte) 0);
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            // SAFETY: path ends with a zero byte, status has the size of struct statx.
            return Linux.result(
                    (int) STATX.invokeExact(errno, AT_FDCWD, path, flags, STATX_INO, status),
                    errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private long put(long at, String text) {
        for (int i = 0; i < text.length(); i++) {
            path.set(JAVA_BYTE, at + i, (byte) text.charAt(i));
        }
        return at + text.length();
    }

    private long put(long at, int number) {
        int digits = 1;
        for (int rest = number / 10; rest > 0; rest /= 10) {
            digits++;
        }
        int rest = number;
        for (int i = digits - 1; i >= 0; i--) {
            path.set(JAVA_BYTE, at + i, (byte) ('0' + rest % 10));
            rest /= 10;
        }
        return at + digits;
    }
}
