// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Both ends of a pipe(2), for what a child process writes: blocking, close-on-exec. Any thread.
 *
 * @param reader ours
 * @param writer the child's; closed here as soon as the child has it, or its end is never seen
 */
public record Pipe(Fd reader, Fd writer) implements AutoCloseable {
    private static final int O_CLOEXEC = 0x80000;

    private static final MethodHandle PIPE2 =
            Linux.link("pipe2", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));

    /** A new one. */
    public static Pipe create() throws ErrnoException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment ends = arena.allocate(JAVA_INT, 2);
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            int result = FailureInjection.strikes() ? -Errno.EMFILE : pipe2(errno, ends);
            if (result < 0) {
                throw new ErrnoException("pipe2", "", -result);
            }
            return new Pipe(
                    Fd.own(ends.getAtIndex(JAVA_INT, 0)), Fd.own(ends.getAtIndex(JAVA_INT, 1)));
        }
    }

    private static int pipe2(MemorySegment errno, MemorySegment ends) {
        try {
            // SAFETY: ends has room for two ints.
            return Linux.result((int) PIPE2.invokeExact(errno, ends, O_CLOEXEC), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** What comes out of it; the end of {@link #reader} that this opens is the stream's own. */
    public InputStream stream() throws IOException {
        return new FileInputStream("/proc/self/fd/" + reader.number());
    }

    @Override
    public void close() {
        reader.close();
        writer.close();
    }
}
