// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Which rights another task has: capget(2). Any thread. */
public final class Capabilities {
    public static final int CAP_IPC_LOCK = 14;
    public static final int CAP_SYS_NICE = 23;
    public static final int CAP_SYS_RESOURCE = 24;

    private static final long SYS_CAPGET = 125;
    private static final int LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
    private static final int SIZEOF_HEADER = 8;

    /** Two times effective, permitted and inheritable: each 32 bits. */
    private static final int SIZEOF_DATA = 24;

    private static final int SECOND_EFFECTIVE = 12;

    private static final MethodHandle SYSCALL =
            Linux.linkVariadic(
                    "syscall", 1, FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS));

    private Capabilities() {}

    /** The effective ones of a task, a bit each; none if it is gone. */
    public static long effective(int task) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment header = arena.allocate(SIZEOF_HEADER, 4);
            MemorySegment data = arena.allocate(SIZEOF_DATA, 4);
            header.set(JAVA_INT, 0, LINUX_CAPABILITY_VERSION_3);
            header.set(JAVA_INT, 4, task);
            // SAFETY: header and data have the sizes that the version asks for.
            long result =
                    (long)
                            SYSCALL.invokeExact(
                                    arena.allocate(Linux.ERRNO), SYS_CAPGET, header, data);
            return result < 0
                    ? 0
                    : Integer.toUnsignedLong(data.get(JAVA_INT, 0))
                            | (long) data.get(JAVA_INT, SECOND_EFFECTIVE) << 32;
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /** Whether the task has one of them. */
    public static boolean has(int task, int capability) {
        return (effective(task) >>> capability & 1) != 0;
    }
}
