// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * What all calls share: how to link a C function, and where its errno goes. Any thread.
 *
 * <p>Handles are kept in the class that uses them, or in a holder class of their own where only
 * some users of the class need them, because the first handle of a shape costs milliseconds.
 *
 * <p>Every wrapper of a call returns what the call returns, or the negative errno.
 */
final class Linux {
    /** Room for the errno of one call: one int. An object has its own, or a cold call makes one. */
    static final MemoryLayout ERRNO = Linker.Option.captureStateLayout();

    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option CAPTURE = Linker.Option.captureCallState("errno");

    private Linux() {}

    /**
     * Links a C function whose errno is wanted; the handle's first argument is for {@link #ERRNO}.
     */
    // SAFETY: the caller gives the prototype of the manual page, in LP64 types.
    @SuppressWarnings("restricted") // linking is what this module is for
    static MethodHandle link(String name, FunctionDescriptor type) {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), type, CAPTURE);
    }

    /** Links a C function whose arguments from index {@code firstVariadic} on are variadic. */
    // SAFETY: as above; variadic arguments travel differently on some machines, hence the index.
    @SuppressWarnings("restricted") // linking is what this module is for
    static MethodHandle linkVariadic(String name, int firstVariadic, FunctionDescriptor type) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name),
                type,
                CAPTURE,
                Linker.Option.firstVariadicArg(firstVariadic));
    }

    /** Links a C function whose failure has no consequence; needs no scratch memory. */
    // SAFETY: as above.
    @SuppressWarnings("restricted") // linking is what this module is for
    static MethodHandle linkWithoutErrno(String name, FunctionDescriptor type) {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), type);
    }

    /** The result in the kernel's own way: {@code -errno} instead of -1. */
    static int result(int returned, MemorySegment errno) {
        return returned == -1 ? -errno.get(JAVA_INT, 0) : returned;
    }

    /** The result in the kernel's own way: {@code -errno} instead of -1. */
    static long result(long returned, MemorySegment errno) {
        return returned == -1 ? -errno.get(JAVA_INT, 0) : returned;
    }

    /**
     * What a method handle threw. Refusals of the runtime (a closed or foreign segment, a heap
     * segment) pass through; C functions throw nothing.
     */
    static IllegalStateException rethrow(Throwable thrown) {
        switch (thrown) {
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(thrown);
        }
    }
}
