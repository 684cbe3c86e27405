// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static org.ioasis.spec.VirtioBlk.CONFIG_SIZE;
import static org.ioasis.spec.VirtioBlk.F_MQ;

import java.util.concurrent.Executor;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.VirtioDevice;

/**
 * A virtio block device (virtio 1.4, 5.2): IN, OUT, FLUSH, GET_ID, DISCARD and WRITE_ZEROES, on one
 * or several queues. All methods run on the device's thread, except {@link #counters} (any thread).
 *
 * <p>Requests are done in no order. FLUSH covers the writes that were answered before it was made
 * available (5.2.6.2), and those have reached the store. Without FLUSH negotiated each write is
 * flushed before it is answered (the same place, case 1).
 *
 * <p>What the driver sees is in {@link BlkConfig}, what becomes of a request in {@link
 * BlkRequests}.
 */
public final class VirtioBlk implements DeviceType {
    private final BlkSettings settings;
    private final BlkConfig config;
    private final BlkRequests work;

    /**
     * A disk.
     *
     * @param io runs blocking I/O, up to {@link BlkSettings#requestLimit} at a time; what it
     *     rejects is answered with IOERR
     * @param deviceThread runs things later on the device's thread, from any thread; never at once
     *     inside {@code execute}
     */
    public VirtioBlk(BlockStore store, BlkSettings settings, Executor io, Executor deviceThread) {
        this.settings = settings;
        config = new BlkConfig(settings, store);
        work = new BlkRequests(store, settings, io, deviceThread);
    }

    /** What the disk has done so far. Any thread. */
    public BlkCounters counters() {
        return work.read();
    }

    @Override
    public int id() {
        return Virtio.DEVICE_ID_BLOCK;
    }

    @Override
    public long features() {
        return config.features();
    }

    @Override
    public int queueCount() {
        return settings.queueCount();
    }

    @Override
    public int queueSizeMax() {
        return settings.queueSizeMax();
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        return config.read(offset, size);
    }

    /** Nothing is writable: CONFIG_WCE is not offered. */
    @Override
    public void writeConfig(int offset, int size, long value) {}

    @Override
    public DeviceWork<?> work() {
        return work;
    }

    /** All queues with MQ negotiated, one without (5.2.2). */
    @Override
    public int activeQueues(long negotiated) {
        return (negotiated & F_MQ) != 0 ? settings.queueCount() : 1;
    }

    @Override
    public void start(long negotiated, VirtioDevice device) {
        work.negotiated(negotiated);
    }
}
