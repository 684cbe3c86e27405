// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * What makes a virtio device the device it is: its features, its configuration and what it does
 * with its queues. {@link VirtioDevice} does the rest. All calls come on the device's thread.
 */
public interface DeviceType {
    /** Device id (virtio 1.4, chapter 5). */
    int id();

    /** Features of this type, as a mask, without the bits of the frame and the rings. */
    long features();

    /** Number of queues, at least 1. */
    int queueCount();

    /** Largest size of each queue: a power of two up to 32768. */
    int queueSizeMax();

    /** Bytes of device configuration that exist. */
    int configSize();

    /**
     * Reads configuration, little-endian.
     *
     * @param offset any; {@code offset + size} is at most {@link #configSize()}
     * @param size 1, 2, 4 or 8
     */
    long readConfig(int offset, int size);

    /** Writes configuration; what is not writable is left as it is. Arguments as for reading. */
    void writeConfig(int offset, int size, long value);

    /**
     * The driver has set DRIVER_OK and the queues that it enabled are running. A {@link #kick} for
     * each of them follows, so buffers made available earlier need no kick of their own.
     *
     * @param negotiated all features that both sides accepted
     */
    void start(long negotiated, VirtioDevice device);

    /** Buffers may be available; also when there are none. Only for running queues. */
    void kick(int queue);

    /** Memory has come or gone: try again what was absent. Only while running. */
    void memoryChanged();

    /** Time has passed: does what was left for want of somebody to call later. */
    default void tick() {}

    /**
     * Device reset (status 0). Drops everything in flight at once: after this call nothing that
     * began before touches guest memory. Also called when the device was never started.
     */
    void reset();

    /**
     * The driver resets one queue, which has stopped already (virtio 1.4, 2.6.1). Drops what the
     * queue has in flight at once, as {@link #reset} does for all, and nothing else. A {@link
     * #kick} follows when the driver enables the queue again.
     */
    void resetQueue(int queue);

    /** As {@link #reset}, and back to the state of a new device: the machine was reset. */
    default void systemReset() {
        reset();
    }

    /**
     * True while the last reset is not complete: something elsewhere (a listener of the IOMMU, say)
     * has not answered yet. The driver sees the device as not yet reset.
     */
    default boolean isResetting() {
        return false;
    }
}
