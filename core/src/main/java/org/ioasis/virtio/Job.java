// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import org.ioasis.virtqueue.Chain;
import org.jspecify.annotations.Nullable;

/**
 * One chain on its way through a device, with what the device knows of it; one of a fixed pool that
 * the device has. Belongs to the device's thread, except {@linkplain Step#OUTSIDE outside}, when it
 * belongs to whom the device has given it: executors' hand-over and {@link DeviceWork#post} order
 * the two.
 *
 * @param <J> the device's own kind of job
 */
public abstract class Job<J extends Job<J>> {
    private final Chain chain;
    private int queue;
    private int life;
    private long used;

    /** It waits for absent memory, or has not gone on since it did. */
    boolean isKept;

    /** The one behind it in the list that it is in, or the one that came back before it. */
    @Nullable J next;

    /**
     * A job of no chain yet.
     *
     * @param descriptorLimit descriptors that the longest chain may have: the queue size
     */
    protected Job(int descriptorLimit) {
        chain = new Chain(descriptorLimit);
    }

    /** A new chain has been taken: nothing is left of the one before. */
    protected abstract void begin();

    /** The chain that was taken. */
    public final Chain chain() {
        return chain;
    }

    /** The queue that it was taken from and goes back to. */
    public final int queue() {
        return queue;
    }

    /**
     * Ends the job: its chain goes back to the driver.
     *
     * @param written bytes written to the chain from its first writable byte on, without a gap
     *     (virtio 1.4, 2.7.8.2)
     * @return {@link Step#FINISHED}
     */
    public final Step finish(long written) {
        used = written;
        return Step.FINISHED;
    }

    /** Of which life of the queue (from reset to reset) it is. */
    final int life() {
        return life;
    }

    final long used() {
        return used;
    }

    final void begin(int ofQueue, int ofLife) {
        queue = ofQueue;
        life = ofLife;
        used = 0;
        isKept = false;
        begin();
    }
}
