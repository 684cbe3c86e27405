// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One reader's slot: says whether its thread is inside a guarded section, and which. All devices
 * that one thread serves share one guard, because their sections do not nest. Only the owning
 * thread enters and leaves; {@link Guards} looks, on the machine's loop thread.
 *
 * <p>Entering is a store and a full fence: the store must be visible before the first load of a
 * mapping, which is the reader's half of the handshake described at {@link Guards#await}. A
 * volatile store alone would order it before volatile loads only, and tables are read with weaker
 * ones.
 *
 * <p>Sections are numbered by their thread, and epochs by the mapper: a reader loads nothing that
 * the mapper writes with each request, which would cost it a cache miss a section.
 */
public final class Guard {
    /** Set in the number of an open section. */
    private static final long OPEN = 1;

    private static final VarHandle SECTION;

    static {
        try {
            SECTION = MethodHandles.lookup().findVarHandle(Guard.class, "section", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    // Written by its thread on every section, read by the mapper: kept away from other objects'
    // fields by the padding on both sides, since sharing their cache line would slow every reader
    // down.
    @SuppressWarnings("unused")
    private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe;

    // Odd inside a section, even between two; never goes back.
    private long section;

    @SuppressWarnings("unused")
    private long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe;

    // What the mapper has seen: which section, in which epoch it last was that one, and up to which
    // epoch no section is open that began before.
    private long seen;
    private long seenIn;
    private long past;
    private final @Nullable Guard next;

    // The next object may be one that its thread writes with each access.
    @SuppressWarnings("unused")
    private long r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re;

    /** One more before {@code next} in the list of all. */
    Guard(@Nullable Guard next) {
        this.next = next;
    }

    public void enter() {
        long before = section;
        if ((before & OPEN) != 0) {
            throw new IllegalStateException("guarded sections do not nest");
        }
        SECTION.setOpaque(this, before + OPEN);
        VarHandle.fullFence();
    }

    /** Without effect outside a section. */
    public void leave() {
        SECTION.setRelease(this, (section + OPEN) & ~OPEN);
    }

    /** True on the owning thread inside a section. */
    public boolean isOpen() {
        return (section & OPEN) != 0;
    }

    @Nullable Guard next() {
        return next;
    }

    /**
     * True if no section is open that began before {@code epoch}. Loop thread.
     *
     * @param now the epoch that goes on; its fence is behind the caller
     */
    boolean isPast(long epoch, long now) {
        if (past >= epoch) {
            return true;
        }
        long found = (long) SECTION.getAcquire(this);
        if ((found & OPEN) == 0) {
            past = now;
        } else if (found != seen) {
            // It was not there yet when its slot was last looked at, behind that epoch's fence: it
            // has begun after, and sees all that was cleared before.
            past = seenIn;
        }
        seen = found;
        seenIn = now;
        return past >= epoch;
    }
}
