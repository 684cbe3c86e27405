// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Memory with a descriptor, to be mapped here and elsewhere: memfd_create(2). Any thread. */
public final class Memfd {
    private static final int MFD_CLOEXEC = 1;

    private static final MethodHandle MEMFD_CREATE =
            Linux.link("memfd_create", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle FTRUNCATE =
            Linux.link("ftruncate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));

    private Memfd() {}

    /**
     * New zeroed memory of {@code size} bytes, close-on-exec.
     *
     * @param name shown in {@code /proc/self/maps}, at most 249 bytes, need not be unique
     */
    public static Fd create(String name, long size) throws ErrnoException {
        return create(name, size, 0);
    }

    /** With more flags of memfd_create(2). */
    static Fd create(String name, long size, int flags) throws ErrnoException {
        int number;
        try (Arena arena = Arena.ofConfined()) {
            number = memfdCreate(arena, arena.allocateFrom(name), MFD_CLOEXEC | flags);
        }
        if (number < 0) {
            throw new ErrnoException("memfd_create", name, -number);
        }
        Fd fd = Fd.own(number);
        try {
            resize(fd, size);
        } catch (ErrnoException e) {
            fd.close();
            throw e;
        }
        return fd;
    }

    /** Grows with zeroes or cuts off; what is cut off is gone from under all mappings. */
    static void resize(Fd fd, long size) throws ErrnoException {
        int result;
        try (Arena arena = Arena.ofConfined()) {
            result = ftruncate(arena, fd.number(), size);
        }
        if (result < 0) {
            throw new ErrnoException("ftruncate", fd + " length=" + size, -result);
        }
    }

    private static int memfdCreate(Arena arena, MemorySegment name, int flags) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: the name ends with a zero byte and is copied by the kernel.
            return Linux.result((int) MEMFD_CREATE.invokeExact(errno, name, flags), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    private static int ftruncate(Arena arena, int fd, long size) {
        if (FailureInjection.strikes()) {
            return -Errno.ENOMEM;
        }
        try {
            MemorySegment errno = arena.allocate(Linux.ERRNO);
            // SAFETY: plain numbers. Mappings of what is cut off stay; touching them is an
            // InternalError in Java, not a crash.
            return Linux.result((int) FTRUNCATE.invokeExact(errno, fd, size), errno);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }
}
