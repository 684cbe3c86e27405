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

    /** True if a live lease uses what {@code change} takes away. */
    boolean holds(Quiescence change) {
        if (size == 0) {
            return false;
        }
        synchronized (leases) {
            for (PinnedLease lease : leases) {
                if (change.isHeldBy(lease)) {
                    return true;
                }
            }
            return false;
        }
    }

    void revokeExpired(long nowNanos, Consumer<PinnedLease> unrevocable) {
        if (size == 0) {
            return;
        }
        for (PinnedLease lease : snapshot()) {
            if (lease.isExpired(nowNanos) && !lease.revoke()) {
                unrevocable.accept(lease);
            }
        }
    }

    void revoke(Quiescence change, Consumer<PinnedLease> unrevocable) {
        if (size == 0) {
            return;
        }
        for (PinnedLease lease : snapshot()) {
            if (change.isHeldBy(lease) && !lease.revoke()) {
                unrevocable.accept(lease);
            }
        }
    }

    private List<PinnedLease> snapshot() {
        synchronized (leases) {
            return List.copyOf(leases);
        }
    }
}
