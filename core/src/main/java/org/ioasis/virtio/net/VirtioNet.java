// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import static org.ioasis.spec.VirtioNet.CONFIG_MAC;
import static org.ioasis.spec.VirtioNet.CONFIG_MTU;
import static org.ioasis.spec.VirtioNet.CONFIG_SIZE;
import static org.ioasis.spec.VirtioNet.CONFIG_STATUS;
import static org.ioasis.spec.VirtioNet.F_MAC;
import static org.ioasis.spec.VirtioNet.F_MTU;
import static org.ioasis.spec.VirtioNet.F_STATUS;
import static org.ioasis.spec.VirtioNet.MAC_BYTES;
import static org.ioasis.spec.VirtioNet.STATUS_LINK_UP;
import static org.ioasis.spec.VirtioNet.TRANSMITQ;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.Executor;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.VirtioDevice;
import org.jspecify.annotations.Nullable;

/**
 * A virtio network device (virtio 1.4, 5.1): one queue each way, no control queue, no offloads. All
 * methods run on the device's thread, except {@link #counters} (any thread). What becomes of a
 * frame is in {@link NetRequests}.
 */
public final class VirtioNet implements DeviceType, Station {
    /** Frames that wait in each direction, for the link or for a buffer. */
    public static final int FRAME_LIMIT = 256;

    /** Entries of each queue. */
    static final int QUEUE_SIZE = 256;

    /** 5.1.2, without VIRTIO_NET_F_MQ and VIRTIO_NET_F_CTRL_VQ. */
    static final int QUEUES = 2;

    private final NetSettings settings;
    private final NetRequests work;
    private @Nullable VirtioDevice device;
    private boolean isLinkUp = true;

    /**
     * @param deviceThread runs things later on the device's thread; never at once inside {@code
     *     execute}
     */
    public VirtioNet(NetSettings settings, Link link, Executor deviceThread) {
        this.settings = settings;
        work = new NetRequests(link, settings.frameBytes(), deviceThread);
    }

    /** What the device has done so far. Any thread. */
    public NetCounters counters() {
        return work.read();
    }

    // --- what the link calls

    @Override
    public boolean receive(MemorySegment from, long offset, int length) {
        if (device == null) {
            work.miss();
            return false;
        }
        boolean isTaken = work.arrive(from, offset, length);
        work.later();
        return isTaken;
    }

    @Override
    public void writable() {
        work.sendHeld();
    }

    @Override
    public void link(boolean isUp) {
        if (isUp != isLinkUp) {
            isLinkUp = isUp;
            VirtioDevice running = device;
            if (running != null) {
                running.configChanged();
            }
        }
    }

    // --- what the driver does

    @Override
    public int id() {
        return Virtio.DEVICE_ID_NETWORK;
    }

    @Override
    public long features() {
        return F_MAC | F_STATUS | F_MTU;
    }

    @Override
    public int queueCount() {
        return QUEUES;
    }

    @Override
    public int queueSizeMax() {
        return QUEUE_SIZE;
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        long value = 0;
        for (int i = 0; i < size; i++) {
            value |= (long) configByte(offset + i) << (8 * i);
        }
        return value;
    }

    private int configByte(int at) {
        if (at < CONFIG_MAC + MAC_BYTES) {
            return (int) (settings.mac() >>> (8 * (MAC_BYTES - 1 - at))) & 0xff;
        }
        return switch (at) {
            case CONFIG_STATUS -> isLinkUp ? STATUS_LINK_UP : 0;
            case CONFIG_MTU -> settings.mtu() & 0xff;
            case CONFIG_MTU + 1 -> settings.mtu() >>> 8;
            default -> 0;
        };
    }

    /** All of it is read-only (5.1.4). */
    @Override
    public void writeConfig(int offset, int size, long value) {}

    @Override
    public DeviceWork<?> work() {
        return work;
    }

    @Override
    public void start(long negotiated, VirtioDevice running) {
        device = running;
    }

    @Override
    public void reset() {
        device = null;
        work.forgetArrived();
        work.forgetHeld();
    }

    @Override
    public void resetQueue(int queue) {
        if (queue == TRANSMITQ) {
            work.forgetHeld();
        }
    }
}
