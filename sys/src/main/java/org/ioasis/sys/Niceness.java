// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.invoke.MethodHandle;

/**
 * How little a thread wants a processor that others want too: getpriority(2) and setpriority(2),
 * which on Linux are about one thread and not about its process. From -20 to 19; who is less nice
 * is served first. Any thread, for itself.
 */
public final class Niceness {
    private static final int PRIO_PROCESS = 0;
    private static final int CALLING_THREAD = 0;

    private static final MethodHandle GETPRIORITY =
            Linux.linkWithoutErrno(
                    "getpriority", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SETPRIORITY =
            Linux.linkWithoutErrno(
                    "setpriority", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));

    private Niceness() {}

    /** Of the calling thread. */
    public static int current() {
        try {
            // SAFETY: numbers alone.
            return (int) GETPRIORITY.invokeExact(PRIO_PROCESS, CALLING_THREAD);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * Makes the calling thread so many steps nicer, or less nice if negative, as far as there are
     * steps. Without effect if the process may not have it (RLIMIT_NICE, CAP_SYS_NICE).
     *
     * @return how nice it is now
     */
    public static int change(int steps) {
        int wanted = current() + steps;
        try {
            // SAFETY: numbers alone.
            int _ = (int) SETPRIORITY.invokeExact(PRIO_PROCESS, CALLING_THREAD, wanted);
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
        return current();
    }
}
