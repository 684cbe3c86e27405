// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static java.util.Objects.requireNonNull;

import java.util.EnumMap;
import java.util.Map;
import org.ioasis.memory.Dma;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.RingFormat;

/** A queue as its driver has set it up (virtio 1.4, 4.1.4.3), with its ring. Device's thread. */
final class QueueConfig {
    /**
     * One for each format that is offered: none is made when a driver starts the device, and a
     * format that no device offers is not even loaded.
     */
    private final Map<RingFormat, DeviceQueue> rings = new EnumMap<>(RingFormat.class);

    private DeviceQueue ring;
    private final int sizeMax;
    int size;
    boolean isEnabled;

    /** It was reset alone and may be set up again while the device runs. */
    boolean wasReset;

    /** A kick has come while the device was suspended. */
    boolean wasKicked;

    /** Its ring is looked at: {@link RingWatch}. */
    boolean isWatched;

    /** What the last look has found. */
    int seen;

    long desc;
    long driver;
    long device;

    QueueConfig(Dma dma, int sizeMax, long offeredFeatures) {
        this.sizeMax = sizeMax;
        size = sizeMax;
        ring = RingFormat.SPLIT.newQueue(dma, sizeMax);
        rings.put(RingFormat.SPLIT, ring);
        if (RingFormat.of(offeredFeatures) == RingFormat.PACKED) {
            rings.put(RingFormat.PACKED, RingFormat.PACKED.newQueue(dma, sizeMax));
        }
    }

    /** In the format in which it was started last. */
    DeviceQueue ring() {
        return ring;
    }

    /** Stops the ring; as after a reset of the device. */
    void reset() {
        ring.stop();
        size = sizeMax;
        isEnabled = false;
        wasReset = false;
        wasKicked = false;
        desc = 0;
        driver = 0;
        device = 0;
    }

    void start(RingFormat format, boolean hasIndirect, boolean hasEventIdx) {
        ring = requireNonNull(rings.get(format));
        ring.start(size, desc, driver, device, hasIndirect, hasEventIdx);
    }

    /**
     * True if what the driver has written can be enabled. The size, too: it may have been written
     * when the features were not settled.
     */
    boolean canStart(RingFormat format) {
        return format.isSize(size, sizeMax) && format.isLayout(size, desc, driver, device);
    }

    DeviceState.Queue save() {
        return new DeviceState.Queue(size, isEnabled, wasReset, desc, driver, device, ring.save());
    }

    /** Takes over what was saved, {@linkplain DeviceState.Queue#isPossible possible} as it is. */
    void restore(
            DeviceState.Queue saved, RingFormat format, boolean hasIndirect, boolean hasEventIdx) {
        size = saved.size();
        isEnabled = saved.isEnabled();
        wasReset = saved.wasReset();
        desc = saved.desc();
        driver = saved.driver();
        device = saved.device();
        if (saved.ring().state() != DeviceQueue.State.STOPPED) {
            start(format, hasIndirect, hasEventIdx);
            ring.restore(saved.ring());
        }
    }
}
