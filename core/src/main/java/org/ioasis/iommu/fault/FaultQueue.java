// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import static java.util.Objects.requireNonNull;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.jspecify.annotations.Nullable;

/**
 * Faults on their way to the driver. Bounded: a guest that faults without end fills {@code
 * capacity} entries, gets {@code perSecond} new ones a second at most, and is counted beyond that.
 * Faults of one endpoint on one page are one entry while it waits. Any thread, never inside a
 * guarded section: there is a short lock.
 */
public final class FaultQueue {
    private static final int PAGE_LG2 = 12;

    /** Delivered faults that are kept for diagnostics. */
    private static final int RECENT = 16;

    /** First faults of an endpoint that are kept for diagnostics too, and of all endpoints. */
    private static final int FIRST = 2;

    static final int FIRSTS_MAX = 128;

    private static final class Entry {
        final Fault first;
        long count;

        Entry(Fault first) {
            this.first = first;
            count = first.count();
        }

        Fault fault() {
            return new Fault(
                    first.reason(),
                    first.kind(),
                    first.endpoint(),
                    first.pasid(),
                    first.address(),
                    first.access(),
                    first.explanation(),
                    count,
                    first.table());
        }

        boolean isLike(FaultReason reason, int endpoint, int pasid, long address, Access access) {
            return first.endpoint() == endpoint
                    && first.pasid() == pasid
                    && first.address() >>> PAGE_LG2 == address >>> PAGE_LG2
                    && first.access() == access
                    && first.reason() == reason;
        }
    }

    private final long nanosPerToken;
    private final LongSupplier nanoClock;

    // A ring and no collection: looking through it must not make an iterator for each fault.
    private final @Nullable Entry[] waiting;
    private int oldest;
    private int size;
    private final ArrayDeque<Fault> recent = new ArrayDeque<>();

    // Whatever floods the queue, what each endpoint did first is known.
    private final List<Fault> firsts = new ArrayList<>();
    private long tokens;
    private long tokensAtNanos;
    private final long[] reported = new long[FaultReason.values().length];
    private long dropped;
    private volatile boolean isEmpty = true;
    private volatile @Nullable Runnable arrival;
    private volatile @Nullable Consumer<Fault> kept;
    private volatile String name = "";

    /**
     * @param capacity most faults that wait
     * @param perSecond most new entries a second, {@code 1..10^9}; a burst of {@code capacity} is
     *     let through
     */
    public FaultQueue(int capacity, int perSecond, LongSupplier nanoClock) {
        if (capacity < 1 || perSecond < 1 || perSecond > 1_000_000_000) {
            throw new IllegalArgumentException(
                    "fault queue of %d, %d a second".formatted(capacity, perSecond));
        }
        waiting = new @Nullable Entry[capacity];
        nanosPerToken = 1_000_000_000L / perSecond;
        this.nanoClock = nanoClock;
        tokens = capacity;
        tokensAtNanos = nanoClock.getAsLong();
    }

    /** {@code told} runs after each new entry, on the thread that reported it. */
    public void onArrival(Runnable told) {
        arrival = told;
    }

    /**
     * {@code told} sees each fault that is kept, on the thread that reported it; null for nobody.
     */
    public void onKept(@Nullable Consumer<Fault> told) {
        kept = told;
    }

    /** Says whose faults these are, for recordings. Before the first is reported. */
    public void recordAs(String iommu) {
        name = iommu;
    }

    /**
     * Reports a refused access. The explanation is only computed for a fault that is kept.
     * Allocates nothing for one that is not.
     */
    public void report(
            FaultReason reason,
            Kind kind,
            int endpoint,
            int pasid,
            long address,
            Access access,
            Supplier<String> explanation) {
        report(reason, kind, endpoint, pasid, address, access, explanation, () -> null);
    }

    /**
     * The same with where a walk has ended, which is only asked of a fault that is kept, too.
     *
     * @param table null as an answer: nothing was walked
     */
    public void report(
            FaultReason reason,
            Kind kind,
            int endpoint,
            int pasid,
            long address,
            Access access,
            Supplier<String> explanation,
            Supplier<Fault.@Nullable Table> table) {
        Entry entry;
        synchronized (this) {
            countReport(reason);
            for (int i = 0; i < size; i++) {
                Entry other = waiting(i);
                if (other.isLike(reason, endpoint, pasid, address, access)) {
                    other.count++;
                    return;
                }
            }
            refill();
            boolean isKept = size < waiting.length && tokens > 0;
            boolean isFirst = isFirst(endpoint);
            if (!isKept) {
                dropped++;
                if (!isFirst) {
                    return;
                }
            }
            String why = explanation.get();
            Fault fault =
                    new Fault(reason, kind, endpoint, pasid, address, access, why, 1, table.get());
            if (isFirst) {
                firsts.add(fault);
            }
            if (!isKept) {
                return;
            }
            tokens--;
            entry = new Entry(fault);
            waiting[(oldest + size) % waiting.length] = entry;
            size++;
            isEmpty = false;
        }
        if (FaultEvent.isRecorded()) {
            FaultEvent.record(name, entry.first);
        }
        Consumer<Fault> watcher = kept;
        if (watcher != null) {
            watcher.accept(entry.first);
        }
        Runnable told = arrival;
        if (told != null) {
            told.run();
        }
    }

    private boolean isFirst(int endpoint) {
        int count = firsts.size();
        if (count == FIRSTS_MAX) {
            return false;
        }
        int before = 0;
        for (int i = 0; i < count; i++) {
            if (firsts.get(i).endpoint() == endpoint) {
                before++;
            }
        }
        return before < FIRST;
    }

    private Entry waiting(int i) {
        return requireNonNull(waiting[(oldest + i) % waiting.length]);
    }

    private void refill() {
        long earned = (nanoClock.getAsLong() - tokensAtNanos) / nanosPerToken;
        tokens = Math.min(waiting.length, tokens + earned);
        // What is left over counts towards the next one.
        tokensAtNanos += earned * nanosPerToken;
    }

    public boolean isEmpty() {
        return isEmpty;
    }

    /** The oldest fault, or null; it stays. */
    public synchronized @Nullable Fault peek() {
        return size == 0 ? null : waiting(0).fault();
    }

    /** Takes the oldest fault, or null. It stays among the {@link #recent} ones. */
    public synchronized @Nullable Fault poll() {
        if (size == 0) {
            return null;
        }
        Fault fault = waiting(0).fault();
        waiting[oldest] = null;
        oldest = (oldest + 1) % waiting.length;
        size--;
        isEmpty = size == 0;
        if (recent.size() == RECENT) {
            recent.poll();
        }
        recent.add(fault);
        return fault;
    }

    /** What waits, oldest first. */
    public synchronized List<Fault> waiting() {
        List<Fault> all = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            all.add(waiting(i).fault());
        }
        return all;
    }

    /** Most faults that wait. */
    public int capacity() {
        return waiting.length;
    }

    /**
     * Lets faults of a saved state wait, at most {@link #capacity}, in place of what waits now.
     * Nobody is told: who restores looks for buffers itself.
     */
    public synchronized void restore(List<Fault> saved) {
        clear();
        for (Fault fault : saved) {
            waiting[(oldest + size) % waiting.length] = new Entry(fault);
            size++;
        }
        isEmpty = size == 0;
    }

    /** Forgets what waits: the driver that it was meant for is gone. */
    public synchronized void clear() {
        Arrays.fill(waiting, null);
        size = 0;
        isEmpty = true;
        firsts.clear();
    }

    /** The last faults that were taken, and those that wait, oldest first: for diagnostics. */
    public synchronized List<Fault> recent() {
        List<Fault> all = new ArrayList<>(recent);
        all.addAll(waiting());
        return all;
    }

    /**
     * The first faults of each endpoint since {@link #clear}, whether told to the driver or not.
     */
    public synchronized List<Fault> firsts() {
        return List.copyOf(firsts);
    }

    /** Counted with each refused access: its place is worked out, and no map is asked. */
    @SuppressWarnings("EnumOrdinal")
    private void countReport(FaultReason reason) {
        reported[reason.ordinal()]++;
    }

    /** Accesses refused since the start. */
    public synchronized long reported() {
        return Arrays.stream(reported).sum();
    }

    /** Those of them that were refused for this reason. */
    @SuppressWarnings("EnumOrdinal")
    public synchronized long reported(FaultReason reason) {
        return reported[reason.ordinal()];
    }

    /** Those of them that no entry stands for, because the queue was full or the rate exceeded. */
    public synchronized long dropped() {
        return dropped;
    }
}
