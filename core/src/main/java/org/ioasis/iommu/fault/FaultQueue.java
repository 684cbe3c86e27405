package org.ioasis.iommu.fault;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
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

    private static final class Entry {
        final FaultReason reason;
        final int endpoint;
        final long address;
        final Access access;
        final String explanation;
        long count = 1;

        Entry(FaultReason reason, int endpoint, long address, Access access, String explanation) {
            this.reason = reason;
            this.endpoint = endpoint;
            this.address = address;
            this.access = access;
            this.explanation = explanation;
        }

        Fault fault() {
            return new Fault(reason, endpoint, address, access, explanation, count);
        }

        boolean isLike(FaultReason reason, int endpoint, long address, Access access) {
            return this.endpoint == endpoint
                    && this.address >>> PAGE_LG2 == address >>> PAGE_LG2
                    && this.access == access
                    && this.reason == reason;
        }
    }

    private final int capacity;
    private final int perSecond;
    private final LongSupplier nanoClock;
    private final ArrayDeque<Entry> waiting = new ArrayDeque<>();
    private final ArrayDeque<Fault> recent = new ArrayDeque<>();
    private long tokens;
    private long tokensAtNanos;
    private long reported;
    private long dropped;
    private volatile boolean isEmpty = true;
    private @Nullable Runnable arrival;

    /**
     * @param capacity most faults that wait
     * @param perSecond most new entries a second; a burst of {@code capacity} is let through
     */
    public FaultQueue(int capacity, int perSecond, LongSupplier nanoClock) {
        this.capacity = capacity;
        this.perSecond = perSecond;
        this.nanoClock = nanoClock;
        tokens = capacity;
        tokensAtNanos = nanoClock.getAsLong();
    }

    /** {@code told} runs after each new entry, on the thread that reported it. */
    public void onArrival(Runnable told) {
        arrival = told;
    }

    /**
     * Reports a refused access. The explanation is only computed for a fault that is kept.
     * Allocates nothing for one that is not.
     */
    public void report(
            FaultReason reason,
            int endpoint,
            long address,
            Access access,
            Supplier<String> explanation) {
        synchronized (this) {
            reported++;
            for (Entry entry : waiting) {
                if (entry.isLike(reason, endpoint, address, access)) {
                    entry.count++;
                    return;
                }
            }
            refill();
            if (waiting.size() == capacity || tokens == 0) {
                dropped++;
                return;
            }
            tokens--;
            waiting.add(new Entry(reason, endpoint, address, access, explanation.get()));
            isEmpty = false;
        }
        if (arrival != null) {
            arrival.run();
        }
    }

    private void refill() {
        long now = nanoClock.getAsLong();
        long earned = (now - tokensAtNanos) / (1_000_000_000L / perSecond);
        if (earned > 0) {
            tokens = Math.min(capacity, tokens + earned);
            tokensAtNanos = now;
        }
    }

    public boolean isEmpty() {
        return isEmpty;
    }

    /** The oldest fault, or null; it stays. */
    public synchronized @Nullable Fault peek() {
        Entry entry = waiting.peek();
        return entry == null ? null : entry.fault();
    }

    /** Takes the oldest fault, or null. It stays among the {@link #recent} ones. */
    public synchronized @Nullable Fault poll() {
        Entry entry = waiting.poll();
        isEmpty = waiting.isEmpty();
        if (entry == null) {
            return null;
        }
        if (recent.size() == RECENT) {
            recent.poll();
        }
        Fault fault = entry.fault();
        recent.add(fault);
        return fault;
    }

    /** Forgets what waits: the driver that it was meant for is gone. */
    public synchronized void clear() {
        waiting.clear();
        isEmpty = true;
    }

    /** The last faults that were taken, and those that wait, oldest first: for diagnostics. */
    public synchronized List<Fault> recent() {
        List<Fault> all = new ArrayList<>(recent);
        for (Entry entry : waiting) {
            all.add(entry.fault());
        }
        return all;
    }

    /** Accesses refused since the start. */
    public synchronized long reported() {
        return reported;
    }

    /** Those of them that no entry stands for, because the queue was full or the rate exceeded. */
    public synchronized long dropped() {
        return dropped;
    }
}
