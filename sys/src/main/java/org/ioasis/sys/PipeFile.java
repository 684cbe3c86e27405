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
 * A pipe whose every descriptor reads and writes: pipe(7), opened again through /proc. It always
 * has room for a writer, and can be read while there is something in it: what poll(2) shows of it
 * is ours to say. Nonblocking. Any thread, one at a time for one pipe.
 */
public final class PipeFile {
    private static final int O_NONBLOCK = 0x800;
    private static final int O_CLOEXEC = 0x80000;

    private static final MethodHandle PIPE2 =
            Linux.link("pipe2", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle READ =
            Linux.linkWithoutErrno(
                    "read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle WRITE =
            Linux.linkWithoutErrno(
                    "write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));

    private PipeFile() {}

    /** A new empty one, close-on-exec. */
    public static Fd create() throws ErrnoException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment ends = arena.allocate(JAVA_INT, 2);
            int result = pipe(arena, ends);
            if (result < 0) {
                throw new ErrnoException("pipe2", "", -result);
            }
            try (Fd _ = Fd.own(ends.getAtIndex(JAVA_INT, 0));
                    Fd writer = Fd.own(ends.getAtIndex(JAVA_INT, 1))) {
                return FileBytes.reopen(writer, FileBytes.O_RDWR | O_NONBLOCK);
            }
        }
    }

    /** Puts one byte in or takes all out, so that it can or cannot be read. */
    public static void fill(Fd pipe, boolean isReadable) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(Long.BYTES);
            // SAFETY: as many bytes as are named. Full or empty, the pipe is as it should be.
            if (isReadable) {
                long _ = (long) WRITE.invokeExact(pipe.number(), bytes, 1L);
            } else {
                long read;
                do {
                    read = (long) READ.invokeExact(pipe.number(), bytes, bytes.byteSize());
                } while (read > 0);
            }
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int pipe(Arena arena, MemorySegment ends) {
        if (FailureInjection.strikes()) {
            return -Errno.EMFILE;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: ends has room for two ints.
            return Linux.result(
                    (int) PIPE2.invokeExact(errno, ends, O_NONBLOCK | O_CLOEXEC), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
