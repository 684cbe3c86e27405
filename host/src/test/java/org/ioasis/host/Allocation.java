// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.lang.reflect.Method;

/**
 * What a thread allocates, as the JVM counts it. By reflection, because the module under test does
 * not read the management module and should not. Any thread, about itself.
 */
public final class Allocation {
    private Allocation() {}

    /**
     * Bytes of the round that allocated least, without those of asking: code that is not compiled
     * yet allocates, and classes are loaded.
     */
    public static long leastOf(int rounds, Runnable round) {
        long least = Long.MAX_VALUE;
        long asking = Long.MAX_VALUE;
        for (int i = 0; i < rounds; i++) {
            long before = bytes();
            round.run();
            long after = bytes();
            least = Math.min(least, after - before);
            asking = Math.min(asking, bytes() - after);
        }
        return least - asking;
    }

    /** The same of a hundred calls of code that is compiled by then. */
    public static long ofCompiled(Runnable call) {
        for (int i = 0; i < 20_000; i++) {
            call.run();
        }
        return leastOf(
                5,
                () -> {
                    for (int i = 0; i < 100; i++) {
                        call.run();
                    }
                });
    }

    /** Bytes of this thread so far. */
    private static long bytes() {
        try {
            Object bean =
                    Class.forName("java.lang.management.ManagementFactory")
                            .getMethod("getThreadMXBean")
                            .invoke(null);
            Method bytes =
                    Class.forName("com.sun.management.ThreadMXBean")
                            .getMethod("getCurrentThreadAllocatedBytes");
            return (long) bytes.invoke(bean);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError("no allocation counter in this JVM", e);
        }
    }
}
