// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A counter with one writing thread and any number of reading ones: no lock, no atomic, never torn.
 */
public final class Count {
    private static final VarHandle VALUE;

    static {
        try {
            VALUE = MethodHandles.lookup().findVarHandle(Count.class, "value", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private long value;

    /** Adds; the writing thread only. */
    public void add(long n) {
        VALUE.setOpaque(this, value + n);
    }

    public void increment() {
        add(1);
    }

    /** Back to 0; the writing thread only. */
    public void clear() {
        VALUE.setOpaque(this, 0L);
    }

    /** The value now or a moment ago; any thread. */
    public long read() {
        return (long) VALUE.getOpaque(this);
    }
}
