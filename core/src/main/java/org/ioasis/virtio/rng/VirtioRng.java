// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import java.util.concurrent.Executor;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;

/**
 * A virtio entropy device (virtio 1.4, 5.4): fills writable buffers with random bytes, each byte
 * given once. All methods run on the device's thread, except {@link #counters} (any thread). What
 * becomes of a request is in {@link RngRequests}.
 */
public final class VirtioRng implements DeviceType {
    /** Most bytes for one request. */
    public static final int REQUEST_BYTES = 4096;

    /** Entries of the queue; Linux has one request at a time. */
    static final int QUEUE_SIZE = 64;

    private final RngRequests work;

    /**
     * @param deviceThread runs things later on the device's thread; never at once inside {@code
     *     execute}
     */
    public VirtioRng(RandomSource source, Executor deviceThread) {
        work = new RngRequests(source, deviceThread);
    }

    /** What the device has done so far. Any thread. */
    public RngCounters counters() {
        return work.read();
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
    public DeviceWork<?> work() {
        return work;
    }
}
