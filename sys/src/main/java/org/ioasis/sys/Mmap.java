// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Addresses of this process: mmap(2) where the kernel chooses, and munmap(2). Any thread. */
final class Mmap {
    static final int PROT_READ = 1;
    static final int PROT_WRITE = 2;
    static final int MAP_SHARED = 0x01;
    static final int MAP_PRIVATE = 0x02;
    static final int MAP_ANONYMOUS = 0x20;
    static final int MAP_NORESERVE = 0x4000;

    private static final MethodHandle MMAP =
            Linux.link(
                    "mmap",
                    FunctionDescriptor.of(
                            ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle MUNMAP =
            Linux.link("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));

    private Mmap() {}

    /** The address of what is mapped now, or a negative errno: no address of a process is. */
    static long map(long length, int protection, int flags, int fd, long offset) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment errno = scratch.allocate(Linux.ERRNO);
            // SAFETY: without a wanted address the kernel chooses one that is free.
            MemorySegment mapped =
                    (MemorySegment)
                            MMAP.invokeExact(
                                    errno,
                                    MemorySegment.NULL,
                                    length,
                                    protection,
                                    flags,
                                    fd,
                                    offset);
            return Linux.result(mapped.address(), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    // SAFETY: who calls says that nobody reaches these addresses any more, and calls once.
    static void unmap(MemorySegment address, long length) {
        try (Arena scratch = Arena.ofConfined()) {
            MemorySegment errno = scratch.allocate(Linux.ERRNO);
            int result = Linux.result((int) MUNMAP.invokeExact(errno, address, length), errno);
            if (result < 0) {
                throw new IllegalStateException(
                        "munmap length=" + length + ": " + Errno.name(-result));
            }
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
