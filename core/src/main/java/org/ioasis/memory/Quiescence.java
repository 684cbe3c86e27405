// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/**
 * Something that must not be answered before every access that began under an old state has ended:
 * an UNMAP, a DETACH, the removal of a region. Handed to {@link Guards#await}; reusable once {@link
 * #quiescent} has run. Loop thread only.
 */
public abstract class Quiescence {
    long epoch;
    boolean isWaiting;

    /**
     * True if {@code lease} still uses what is being taken away. Asked for each live lease that is
     * older than the change, until it says no for all; cheap and without side effect.
     */
    protected abstract boolean isHeldBy(PinnedLease lease);

    /** True if such leases are taken back at once and their deadlines not waited for. */
    protected boolean takesBack() {
        return false;
    }

    /** Runs once, on the loop thread, when nothing uses the old state any more. */
    protected abstract void quiescent();
}
