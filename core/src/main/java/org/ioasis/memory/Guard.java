// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

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
public final class Guard extends GuardFields.Seen {
    /** Set in the number of an open section. */
    private static final long OPEN = 1;

    // The next object may be one that its thread writes with each access.
    @SuppressWarnings("unused") // room: GuardFields
    private long r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re;

    /** One more before {@code next} in the list of all. */
    Guard(@Nullable Guard next) {
        super(next);
    }

    public void enter() {
        long before = own();
        if ((before & OPEN) != 0) {
            throw new IllegalStateException("guarded sections do not nest");
        }
        setOpaque(before + OPEN);
        VarHandle.fullFence();
    }

    /** Without effect outside a section. */
    public void leave() {
        setRelease((own() + OPEN) & ~OPEN);
    }

    /** True on the owning thread inside a section. */
    public boolean isOpen() {
        return (own() & OPEN) != 0;
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
        long found = getAcquire();
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
