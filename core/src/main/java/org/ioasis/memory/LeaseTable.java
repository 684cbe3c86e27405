// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * The leases that are out in one machine: few, so a list that UNMAP looks through. Any thread; a
 * lock held for a few loads and never while foreign code runs.
 */
final class LeaseTable {
    private final int limit;
    private final ArrayList<PinnedLease> leases = new ArrayList<>();
    private volatile int size;

    LeaseTable(int limit) {
        this.limit = limit;
    }

    int size() {
        return size;
    }

    /** False if the limit is reached. */
    boolean add(PinnedLease lease) {
        synchronized (leases) {
            if (leases.size() == limit) {
                return false;
            }
            leases.add(lease);
            size = leases.size();
            return true;
        }
    }

    void remove(PinnedLease lease) {
        synchronized (leases) {
            leases.remove(lease);
            size = leases.size();
        }
    }

    /**
     * True if a live lease uses what {@code change} takes away. A lease that was given after the
     * change cannot: without that, leases on a range that was mapped again would hold up the UNMAP
     * before, one after the other, for ever.
     */
    boolean holds(Quiescence change) {
        if (size == 0) {
            return false;
        }
        synchronized (leases) {
            for (PinnedLease lease : leases) {
                if (lease.isOlderThan(change.epoch) && change.isHeldBy(lease)) {
                    return true;
                }
            }
            return false;
        }
    }

    void takeBackExpired(long nowNanos, Consumer<PinnedLease> unrevocable) {
        if (size == 0) {
            return;
        }
        for (PinnedLease lease : snapshot()) {
            if (lease.isExpired(nowNanos)) {
                tell(lease, lease.takeBack(true), unrevocable);
            }
        }
    }

    /** Takes back what {@code change} would have to wait for, whatever the deadline. */
    void takeBack(Quiescence change, Consumer<PinnedLease> unrevocable) {
        if (size == 0) {
            return;
        }
        for (PinnedLease lease : snapshot()) {
            if (lease.isOlderThan(change.epoch) && change.isHeldBy(lease)) {
                tell(lease, lease.takeBack(false), unrevocable);
            }
        }
    }

    /** What is lent of {@code memory} counts as written. */
    void noteIn(WriteLog log, GuestMemory memory) {
        if (size == 0) {
            return;
        }
        for (PinnedLease lease : snapshot()) {
            lease.noteIn(log, memory);
        }
    }

    /** Once for each lease, although it is tried again and again. */
    private static void tell(PinnedLease lease, boolean isBack, Consumer<PinnedLease> unrevocable) {
        if (!isBack && !lease.isTold) {
            lease.isTold = true;
            unrevocable.accept(lease);
        }
    }

    private List<PinnedLease> snapshot() {
        synchronized (leases) {
            return List.copyOf(leases);
        }
    }
}
