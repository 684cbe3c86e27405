// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.concurrent.Executor;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.Pop;
import org.ioasis.virtqueue.SplitQueue;
import org.jspecify.annotations.Nullable;

/**
 * A virtio entropy device (virtio 1.4, 5.4): fills writable buffers with random bytes, each byte
 * given once. All methods run on the device's thread, except {@link #counters} (any thread).
 *
 * <p>Bounds: a request gets {@link #REQUEST_BYTES} at most (5.4.6.2: a device may use less than the
 * buffer), a guarded section as many in all, and after {@link #SECTION_LIMIT} sections in a row the
 * rest of the loop has its turn. Requests are done in order; one whose buffer is absent goes back
 * into the ring and holds up those behind it until memory changes.
 */
public final class VirtioRng implements DeviceType {
    /** Most bytes for one request. */
    public static final int REQUEST_BYTES = 4096;

    /** Entries of the queue; Linux has one request at a time. */
    private static final int QUEUE_SIZE = 64;

    private static final int SECTION_CHAINS = 64;
    private static final int SECTION_LIMIT = 4;
    private static final int QUEUE = 0;

    private static final int REQUESTS = 0;
    private static final int BYTES = 1;
    private static final int MALFORMED = 2;
    private static final int KEPT_ABSENT = 3;
    private static final int FAULTS = 4;
    private static final int REFUSALS = 5;
    private static final int RING_FAULTS = 6;
    private static final VarHandle COUNT = MethodHandles.arrayElementVarHandle(long[].class);

    private final RandomSource source;
    private final Executor deviceThread;
    private final Runnable resume = this::work;
    private final Chain chain = new Chain(QUEUE_SIZE);
    private final byte[] pool = new byte[REQUEST_BYTES];
    private final MemorySegment poolSegment = MemorySegment.ofArray(pool);
    private final long[] counts = new long[7];

    /** Bytes of the pool that were given; the rest is fresh. */
    private int given = REQUEST_BYTES;

    private @Nullable VirtioDevice device;
    private boolean isAbsent;
    private boolean ringFaultCounted;

    /**
     * @param deviceThread runs things later on the device's thread; never at once inside {@code
     *     execute}
     */
    public VirtioRng(RandomSource source, Executor deviceThread) {
        this.source = source;
        this.deviceThread = deviceThread;
    }

    /** What the device has done so far. Any thread. */
    public RngCounters counters() {
        return new RngCounters(
                count(REQUESTS),
                count(BYTES),
                count(MALFORMED),
                count(KEPT_ABSENT),
                count(FAULTS),
                count(REFUSALS),
                count(RING_FAULTS));
    }

    private long count(int index) {
        return (long) COUNT.getOpaque(counts, index);
    }

    private void add(int index, long n) {
        COUNT.setOpaque(counts, index, counts[index] + n);
    }

    @Override
    public int id() {
        return Virtio.DEVICE_ID_ENTROPY;
    }

    @Override
    public long features() {
        return 0;
    }

    @Override
    public int queueCount() {
        return 1;
    }

    @Override
    public int queueSizeMax() {
        return QUEUE_SIZE;
    }

    /** None (5.4.4). */
    @Override
    public int configSize() {
        return 0;
    }

    @Override
    public long readConfig(int offset, int size) {
        return 0;
    }

    @Override
    public void writeConfig(int offset, int size, long value) {}

    @Override
    public void start(long negotiated, VirtioDevice device) {
        this.device = device;
    }

    @Override
    public void kick(int queue) {
        work();
    }

    @Override
    public void memoryChanged() {
        work();
    }

    @Override
    public void reset() {
        device = null;
        isAbsent = false;
        ringFaultCounted = false;
    }

    /** Nothing is in flight between two turns but the wait for absent memory. */
    @Override
    public void resetQueue(int queue) {
        isAbsent = false;
        ringFaultCounted = false;
        VirtioDevice running = device;
        if (running != null) {
            running.waitsForMemory(false);
        }
    }

    @Override
    public void systemReset() {
        reset();
    }

    private void work() {
        VirtioDevice d = device;
        if (d == null || !d.isRunning()) {
            return;
        }
        SplitQueue queue = d.queue(QUEUE);
        Dma dma = d.dma();
        boolean wasAbsent = isAbsent;
        boolean interrupt = false;
        boolean moved = false;
        boolean more = true;
        for (int sections = 0; more; sections++) {
            if (sections == SECTION_LIMIT) {
                deviceThread.execute(resume);
                break;
            }
            if (given == REQUEST_BYTES) {
                // Outside the section: the source may be a system call away.
                source.fill(pool);
                given = 0;
            }
            dma.enter();
            try {
                more = section(queue);
                moved |= queue.unpublished() > 0;
                // Not OK: absent is retried, the rest is seen below.
                if (queue.publish() == Outcome.OK) {
                    interrupt |= queue.shouldInterrupt();
                }
            } finally {
                dma.leave();
            }
        }
        if (interrupt) {
            d.interrupt(QUEUE);
        }
        if (wasAbsent && moved) {
            // The time limit is for a wait in which nothing moves.
            d.waitsForMemory(false);
        }
        d.waitsForMemory(isAbsent || queue.unpublished() > 0);
        if (queue.isFaulted() && !ringFaultCounted) {
            ringFaultCounted = true;
            add(RING_FAULTS, 1);
        }
        String reason = queue.brokenReason();
        if (reason != null) {
            d.needsReset(reason);
        }
    }

    /** One guarded section's worth of requests; true if it ended because of its bounds. */
    private boolean section(SplitQueue queue) {
        for (int chains = 0; chains < SECTION_CHAINS && given < REQUEST_BYTES; chains++) {
            Pop pop = queue.pop(chain);
            if (pop == Pop.EMPTY) {
                isAbsent = false;
                pop = queue.resumeKicks();
                if (pop == Pop.GOT) {
                    // Came in between: taken by the next round.
                    continue;
                }
            }
            if (pop != Pop.GOT) {
                isAbsent = pop == Pop.ABSENT;
                return false;
            }
            isAbsent = false;
            if (!fill(queue)) {
                isAbsent = true;
                return false;
            }
        }
        return true;
    }

    /** Fills the chain that was popped and gives it back; false if it has to wait for memory. */
    private boolean fill(SplitQueue queue) {
        int n = (int) Math.min(chain.writableLength(), REQUEST_BYTES - given);
        if (n == 0) {
            // 5.4.6.1 forbids readable buffers; a chain of nothing else gets nothing.
            add(MALFORMED, 1);
            queue.push(chain.head(), 0);
            return true;
        }
        Outcome outcome = chain.copyOut(0, poolSegment, given, n);
        // Even a failed copy may have shown some of them. Given away, they are not kept either.
        Arrays.fill(pool, given, given + n, (byte) 0);
        given += n;
        switch (outcome) {
            case OK -> {
                add(REQUESTS, 1);
                add(BYTES, n);
            }
            case ABSENT -> {
                add(KEPT_ABSENT, 1);
                queue.unpop();
                return false;
            }
            case FAULT -> add(FAULTS, 1);
            case REFUSED -> add(REFUSALS, 1);
        }
        queue.push(chain.head(), outcome == Outcome.OK ? n : 0);
        return true;
    }
}
