// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import org.jspecify.annotations.Nullable;

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

    /** What it does with its queues: always the same one. The frame starts it and stops it. */
    DeviceWork<?> work();

    /**
     * What it can write down so that another process goes on for its driver; always the same one.
     * Null if it knows nothing but what is in its rings.
     */
    default @Nullable KeptState keptState() {
        return null;
    }

    /**
     * How many queues are looked at, from the first one on.
     *
     * @param negotiated all features that both sides accepted
     */
    default int activeQueues(long negotiated) {
        return queueCount();
    }

    /**
     * The driver has set DRIVER_OK, the queues that it enabled are running, and the work is about
     * to begin.
     *
     * @param negotiated all features that both sides accepted
     */
    default void start(long negotiated, VirtioDevice device) {}

    /**
     * Device reset (status 0): the work has dropped everything. Forgets what else there is of the
     * driver. Also called when the device was never started.
     */
    default void reset() {}

    /**
     * The driver resets one queue (virtio 1.4, 2.6.1), which has stopped, and whose work is
     * dropped.
     */
    default void resetQueue(int queue) {}

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

    /**
     * Runs {@code task}, perhaps at once, when a machine reset and writes to the configuration that
     * came before have all of their effect, also elsewhere: a transport answers them then. A reset
     * by the driver is none of these, since it has {@link #isResetting} to look at.
     */
    default void whenSettled(Runnable task) {
        task.run();
    }
}
