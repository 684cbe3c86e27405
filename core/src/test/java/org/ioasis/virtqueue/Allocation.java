// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.lang.reflect.Method;

/**
 * How many bytes the current thread has allocated, as the JVM counts them. By reflection, because
 * the module under test does not read the management module and should not.
 */
public final class Allocation {
    private final Object bean;
    private final Method bytes;

    public Allocation() {
        try {
            bean =
                    Class.forName("java.lang.management.ManagementFactory")
                            .getMethod("getThreadMXBean")
                            .invoke(null);
            bytes =
                    Class.forName("com.sun.management.ThreadMXBean")
                            .getMethod("getCurrentThreadAllocatedBytes");
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("no allocation counter in this JVM", e);
        }
    }

    /** Bytes so far. Asking allocates a few hundred bytes. */
    public long bytes() {
        try {
            return (long) bytes.invoke(bean);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("no allocation counter in this JVM", e);
        }
    }

    /**
     * The least that {@code round} allocates in {@code attempts} tries: until compiled code runs
     * some is normal, and on a busy machine compiling takes long.
     */
    public long leastOf(int attempts, Runnable round) {
        long least = Long.MAX_VALUE;
        for (int i = 0; i < attempts; i++) {
            long before = bytes();
            round.run();
            least = Math.min(least, bytes() - before);
        }
        return least;
    }
}
