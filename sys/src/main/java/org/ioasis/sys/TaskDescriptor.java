// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * An open file of another process, as a descriptor of our own: pidfd_open(2), pidfd_getfd(2). Any
 * thread.
 */
public final class TaskDescriptor {
    private static final long SYS_PIDFD_OPEN = 434;
    private static final long SYS_PIDFD_GETFD = 438;

    private static final MethodHandle SYSCALL =
            Linux.linkVariadic(
                    "syscall",
                    1,
                    FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT));

    private TaskDescriptor() {}

    /**
     * Another descriptor of the same open file, close-on-exec.
     *
     * @throws ErrnoException EBADF: the process has none of this number; ESRCH: it is gone; EPERM:
     *     we may not look into it
     */
    public static Fd duplicate(int process, int descriptor) throws ErrnoException {
        try (Fd handle = Fd.own(call("pidfd_open", SYS_PIDFD_OPEN, process, 0))) {
            return Fd.own(call("pidfd_getfd", SYS_PIDFD_GETFD, handle.number(), descriptor));
        }
    }

    private static int call(String name, long number, int first, int second) throws ErrnoException {
        int result = FailureInjection.strikes() ? -Errno.EMFILE : syscall(number, first, second);
        if (result < 0) {
            throw new ErrnoException(name, first + " " + second, -result);
        }
        return result;
    }

    private static int syscall(long number, int first, int second) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain ints; flags are zero.
            return (int)
                    Linux.result(
                            (long) SYSCALL.invokeExact(errno, number, first, second, 0), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
