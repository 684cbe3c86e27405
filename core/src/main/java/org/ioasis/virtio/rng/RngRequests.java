// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.Executor;
import org.ioasis.memory.Count;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Step;
import org.jspecify.annotations.Nullable;

/**
 * What an entropy device does with a request (virtio 1.4, 5.4.6): fills it from a pool of fresh
 * bytes. The pool is filled outside of guarded sections, since the source may be a system call
 * away. One request at a time, in order; one whose buffer is absent holds up those behind it.
 * Device's thread.
 */
final class RngRequests extends DeviceWork<Fill> {
    private final RandomSource source;
    private final byte[] pool = new byte[VirtioRng.REQUEST_BYTES];
    private final MemorySegment poolSegment = MemorySegment.ofArray(pool);
    private final Count requests = new Count();
    private final Count bytes = new Count();
    private final Count malformed = new Count();

    /** The one job, while it is not in use. */
    private @Nullable Fill free;

    /** Bytes of the pool that were given; the rest is fresh. */
    private int given = VirtioRng.REQUEST_BYTES;

    RngRequests(RandomSource source, Executor deviceThread) {
        super(1, deviceThread);
        this.source = source;
        free = new Fill(VirtioRng.QUEUE_SIZE);
    }

    /** Any thread. */
    RngCounters read() {
        return new RngCounters(requests.read(), bytes.read(), malformed.read(), counters());
    }

    @Override
    protected @Nullable Fill room(int queue) {
        Fill job = free;
        free = null;
        return job;
    }

    @Override
    protected void release(Fill job) {
        free = job;
    }

    @Override
    protected void outside() {
        Fill job = takeOutside();
        if (job != null) {
            source.fill(pool);
            given = 0;
            resume(job);
        }
    }

    @Override
    protected Step advance(Fill job) {
        if (job.chain().writableLength() == 0) {
            // 5.4.6.1 forbids readable buffers; a chain of nothing else gets nothing.
            malformed.increment();
            return job.finish(0);
        }
        if (given == pool.length) {
            return Step.OUTSIDE;
        }
        // 5.4.6.2: a device may use less than the buffer.
        int n = (int) Math.min(job.chain().writableLength(), pool.length - given);
        spend(n);
        Outcome outcome = job.chain().copyOut(0, poolSegment, given, n);
        // Even a failed copy may have shown some of them. Given away, they are not kept either.
        Arrays.fill(pool, given, given + n, (byte) 0);
        given += n;
        switch (outcome) {
            case OK -> {
                requests.increment();
                bytes.add(n);
                return job.finish(n);
            }
            case ABSENT -> {
                return Step.ABSENT;
            }
            case FAULT, REFUSED -> count(outcome);
        }
        return job.finish(0);
    }
}
