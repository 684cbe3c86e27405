// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayDeque;
import java.util.Arrays;
import org.ioasis.memory.Count;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * The UNMAPs of the batch that goes on, which wait together for accesses under the old state to
 * end; and those before them, as many as there is room for, to explain faults with. Loop thread,
 * except {@link #lateness}.
 *
 * <p>Most batches have nothing to wait for: what an UNMAP costs here is an entry of a ring. Only
 * what an open section or a lease holds up is handed to the {@link Guards}.
 */
final class UnmapWaits {
    /** Most that wait together, and how many are remembered. A power of two. */
    private static final int LENGTH = 64;

    private final Guards guards;
    private final String iommu;
    private final Unmapped[] ring = new Unmapped[LENGTH];
    private final RefusedMaps refused = new RefusedMaps();
    // The next to be used, and the first that waits.
    private int head;
    private int tail;
    private boolean isInBatch;
    private final Count waits = new Count();

    // As many as were ever with the guards at a time, which the request queue bounds; and those
    // that are there now, in a list through themselves.
    private final ArrayDeque<Held> idle = new ArrayDeque<>();
    private final Held waiting = new Held();

    /**
     * @param iommu what recordings call it
     */
    UnmapWaits(Guards guards, String iommu) {
        this.guards = guards;
        this.iommu = iommu;
        Arrays.setAll(ring, i -> new Unmapped());
    }

    /** From here to {@link #endBatch} UNMAPs wait together. Not nested. */
    void beginBatch() {
        isInBatch = true;
    }

    void endBatch() {
        isInBatch = false;
        await();
    }

    /** UNMAPs so far that had to wait for accesses to end. Any thread. */
    long waits() {
        return waits.read();
    }

    /** True if no UNMAP of the batch waits. */
    boolean isEmpty() {
        return head == tail;
    }

    /** Answers OK when no access uses the range of the domain any more. */
    void add(Domain domain, long first, long last, Completion completion) {
        if (head - tail == LENGTH) {
            await();
        }
        Unmapped unmapped = ring[head++ & (ring.length - 1)];
        if (unmapped.domain != domain) {
            unmapped.domain = domain;
        }
        unmapped.first = first;
        unmapped.last = last;
        unmapped.completion = completion;
        completion.settled(Status.OK);
        if (!isInBatch) {
            await();
        }
    }

    /** As {@link #add} for a single one that no driver has asked for: not remembered. */
    void addUndone(Domain domain, long first, long last, Status status, Completion completion) {
        completion.settled(status);
        Held held = held(domain, first, last, status);
        held.completion = completion;
        guards.await(held);
        held.noteWait();
    }

    /** A MAP was refused: what its device meets comes from that, and not from an UNMAP before. */
    void addRefused(Domain domain, long first, long last, Refusal refusal) {
        refused.add(domain, first, last, refusal, head);
    }

    private void await() {
        int first = tail;
        int end = head;
        tail = end;
        if (first == end) {
            return;
        }
        long epoch = guards.nextEpoch();
        boolean isQuiet = guards.isQuiet(epoch);
        for (int i = first; i != end; i++) {
            Unmapped unmapped = ring[i & (ring.length - 1)];
            Domain domain = unmapped.domain;
            if (isQuiet || domain == null) {
                unmapped.completion.complete(Status.OK);
            } else {
                Held held = held(domain, unmapped.first, unmapped.last, Status.OK);
                held.completion = unmapped.completion;
                guards.await(held, epoch);
                held.noteWait();
            }
        }
    }

    private Held held(Domain domain, long first, long last, Status status) {
        Held next = idle.poll();
        Held held = next == null ? new Held() : next;
        held.domain = domain;
        held.first = first;
        held.last = last;
        held.status = status;
        held.linkBehind(waiting);
        return held;
    }

    /**
     * After a reset there is nothing that an access could come too late for, and nobody to answer:
     * a lease that nobody can take back must not keep what was asked before one reset after the
     * other.
     */
    void forget() {
        while (waiting.next != waiting) {
            Held held = waiting.next;
            guards.cancel(held);
            held.retire();
        }
        for (Unmapped unmapped : ring) {
            unmapped.domain = null;
        }
        refused.forget();
    }

    /**
     * Whether the driver has taken the address away a moment ago, or was refused a MAP of it since,
     * to be appended to an explanation; empty if neither. Any thread: what changes meanwhile may be
     * told wrong.
     */
    String lateness(Domain domain, long address) {
        int newest = head;
        for (int ago = 1; ago <= LENGTH; ago++) {
            Unmapped unmapped = ring[(newest - ago) & (LENGTH - 1)];
            if (unmapped.domain == domain && unmapped.holds(address)) {
                String since = refused.after(domain, address, ago, newest);
                if (!since.isEmpty()) {
                    return since;
                }
                return "; the driver unmapped 0x%x..0x%x a moment ago, %d UNMAP%s before"
                        .formatted(unmapped.first, unmapped.last, ago, ago == 1 ? "" : "s");
            }
        }
        return refused.after(domain, address, LENGTH + 1, newest);
    }

    /** One of the ring, used again when it comes round. */
    private static final class Unmapped {
        private static final Completion NOBODY = status -> {};

        private @Nullable Domain domain;
        private long first;
        private long last;
        private Completion completion = NOBODY;

        boolean holds(long address) {
            return Ranges.holds(first, last, address);
        }
    }

    /** One that is with the guards; used again when it is answered. */
    private final class Held extends Quiescence {
        private @Nullable Domain domain;
        private long first;
        private long last;
        private Status status = Status.OK;
        private @Nullable Completion completion;
        private Held next = this;
        private Held previous = this;

        // Used again with the object, and made when a recording first wants one.
        private @Nullable UnmapWaitEvent event;
        private boolean isTimed;

        /** It was handed to the guards: if it is still there, it waits from now on. */
        void noteWait() {
            if (domain == null) {
                return;
            }
            waits.increment();
            if (!UnmapWaitEvent.isRecorded()) {
                return;
            }
            UnmapWaitEvent timed = event;
            if (timed == null) {
                timed = new UnmapWaitEvent();
                event = timed;
            }
            timed.begin();
            isTimed = true;
        }

        private void recordWait() {
            UnmapWaitEvent timed = event;
            Domain left = domain;
            if (timed != null && left != null && isTimed) {
                timed.end();
                timed.record(iommu, left.name(), first, last);
            }
        }

        void linkBehind(Held other) {
            previous = other;
            next = other.next;
            next.previous = this;
            other.next = this;
        }

        void retire() {
            previous.next = next;
            next.previous = previous;
            next = this;
            previous = this;
            domain = null;
            completion = null;
            isTimed = false;
            idle.push(this);
        }

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return domain != null && lease.isIn(domain, first, last);
        }

        @Override
        protected void quiescent() {
            Completion answer = completion;
            recordWait();
            retire();
            if (answer != null) {
                answer.complete(status);
            }
        }
    }
}
