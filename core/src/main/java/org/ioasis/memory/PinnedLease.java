// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A lease as the machine sees it: whose it is, which addresses it holds in which space, and the
 * arena whose closing takes it back. Made by {@link RegionDma#lease}; any thread may close it.
 */
public final class PinnedLease implements Lease {
    private final LeaseTable table;
    private final Object space;
    private final Object owner;
    private final long epoch;
    private final long first;
    private final long last;
    private final GuestMemory memory;
    private final long gpaFirst;
    private final long gpaLast;
    private final long deadlineNanos;
    private final Runnable late;
    private final Arena arena;
    private final MemorySegment segment;
    private boolean isRevoked;

    /** That it cannot be taken back has been reported. Loop thread. */
    boolean isTold;

    private boolean isClosed;

    @SuppressWarnings("TooManyParameters") // one constructor call, in RegionDma
    PinnedLease(
            LeaseTable table,
            Object space,
            Object owner,
            long epoch,
            long first,
            long last,
            GuestMemory memory,
            long gpaFirst,
            long deadlineNanos,
            Runnable late,
            Arena arena,
            MemorySegment segment) {
        this.table = table;
        this.space = space;
        this.owner = owner;
        this.epoch = epoch;
        this.first = first;
        this.last = last;
        this.memory = memory;
        this.gpaFirst = gpaFirst;
        this.gpaLast = gpaFirst + (last - first);
        this.deadlineNanos = deadlineNanos;
        this.late = late;
        this.arena = arena;
        this.segment = segment;
    }

    @Override
    public long first() {
        return first;
    }

    @Override
    public long last() {
        return last;
    }

    @Override
    public MemorySegment segment() {
        return segment;
    }

    @Override
    public synchronized boolean isRevoked() {
        // A borrower that runs into the closed segment asks why, and waits here for whoever closes
        // it right now: so what it hears is true, and true for ever.
        return isRevoked;
    }

    /**
     * True if the lease was given in {@code space} (a domain, say) and touches {@code first..last}
     * of it.
     */
    @SuppressWarnings("ReferenceEquality") // a space is an identity
    public boolean isIn(Object space, long first, long last) {
        return this.space == space && Ranges.overlap(this.first, this.last, first, last);
    }

    /** True if {@code owner} (an endpoint, say) holds it. */
    @SuppressWarnings("ReferenceEquality") // an owner is an identity
    public boolean isOwnedBy(Object owner) {
        return this.owner == owner;
    }

    public Object owner() {
        return owner;
    }

    boolean isOn(GuestMemory memory, long gpaFirst, long gpaLast) {
        return this.memory == memory
                && Ranges.overlap(this.gpaFirst, this.gpaLast, gpaFirst, gpaLast);
    }

    /**
     * Notes all that it holds of {@code memory}, whatever it was given for: a segment is one that
     * can be written.
     */
    @SuppressWarnings("ReferenceEquality") // a memory is an identity
    void noteIn(WriteLog log, GuestMemory memory) {
        if (this.memory == memory) {
            log.note(gpaFirst, last - first + 1);
        }
    }

    boolean isExpired(long nowNanos) {
        return nowNanos - deadlineNanos >= 0;
    }

    /** True if it was given in a section that began before {@code change}. */
    boolean isOlderThan(long change) {
        return epoch < change;
    }

    /**
     * Closes the arena under whoever uses it. False if a running system call holds the segment.
     *
     * @param isLate its deadline has passed: the owner has done wrong and that is reported
     */
    boolean takeBack(boolean isLate) {
        synchronized (this) {
            if (isClosed) {
                return true;
            }
            try {
                arena.close();
            } catch (IllegalStateException inUse) {
                return false;
            }
            isRevoked = true;
            isClosed = true;
        }
        table.remove(this);
        if (isLate) {
            late.run();
        }
        return true;
    }

    @Override
    public void close() {
        synchronized (this) {
            if (isClosed) {
                return;
            }
            arena.close();
            isClosed = true;
        }
        table.remove(this);
    }
}
