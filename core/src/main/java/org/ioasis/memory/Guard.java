package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * One reader's slot: says since when its thread has been inside a guarded section. All devices that
 * one thread serves share one guard, because their sections do not nest. Only the owning thread
 * enters and leaves; {@link Guards} reads.
 *
 * <p>Entering is a store and a full fence: the store must be visible before the first load of a
 * mapping, which is the reader's half of the handshake described at {@link Guards#await}. A
 * volatile store alone would order it before volatile loads only, and tables are read with weaker
 * ones.
 */
public final class Guard {
    static final long IDLE = 0;

    private static final VarHandle SINCE;

    static {
        try {
            SINCE = MethodHandles.lookup().findVarHandle(Guard.class, "since", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Guards guards;

    // Written by its thread on every section, read by the mapper: kept away from other objects'
    // fields by the padding
    // on both sides, since sharing their cache line would slow every reader down.
    @SuppressWarnings("unused")
    private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe;

    private long since = IDLE;

    @SuppressWarnings("unused")
    private long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe;

    Guard(Guards guards) {
        this.guards = guards;
    }

    public void enter() {
        if (since != IDLE) {
            throw new IllegalStateException("guarded sections do not nest");
        }
        SINCE.setOpaque(this, guards.epoch());
        VarHandle.fullFence();
    }

    public void leave() {
        SINCE.setRelease(this, IDLE);
    }

    /** True on the owning thread inside a section. */
    public boolean isOpen() {
        return since != IDLE;
    }

    /** The epoch in which the open section began. The owning thread, inside a section. */
    long since() {
        return since;
    }

    /** True if the section open now, if any, began at or after {@code epoch}. */
    boolean isPast(long epoch) {
        long open = (long) SINCE.getAcquire(this);
        return open == IDLE || open >= epoch;
    }
}
