// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

/**
 * A virtio device as its driver sees it, whatever lies between: registers and notifications (virtio
 * 1.4, chapter 4). Rings and buffers are memory that both sides see, and no part of this.
 *
 * <p>What comes back is the device's word: a driver believes none of it without looking. One
 * thread, the driver's.
 */
public interface Transport {
    /** Device id (virtio 1.4, chapter 5). */
    int deviceId();

    /** Device status (2.1). */
    int status();

    /** Writes the device status; 0 begins a reset, which is over when {@link #status} is 0. */
    void writeStatus(int value);

    /** All features that are offered. */
    long deviceFeatures();

    /** What the driver accepts of them, before FEATURES_OK. */
    void writeDriverFeatures(long features);

    /** Largest size of a queue; 0 if there is no such queue. */
    int queueSizeMax(int queue);

    /** Sets size and addresses of a queue and enables it, between FEATURES_OK and DRIVER_OK. */
    void enableQueue(int queue, int size, long desc, long driver, long device);

    /** Whether the device has taken what {@link #enableQueue} wrote. */
    boolean isQueueEnabled(int queue);

    /** Tells the device that it has buffers. */
    void kick(int queue);

    /** Differs when the configuration may have changed between two reads (2.5.1). */
    int configGeneration();

    /** Reads a field of the device's configuration: 1, 2, 4 or 8 bytes. */
    long readConfig(int offset, int size);

    /** Writes a field of the device's configuration. */
    void writeConfig(int offset, int size, long value);
}
