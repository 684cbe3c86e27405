// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import org.ioasis.virtqueue.SplitQueue;

/** A queue as its driver has set it up (virtio 1.4, 4.1.4.3), with its ring. Device's thread. */
final class QueueConfig {
    final SplitQueue ring;
    private final int sizeMax;
    int size;
    boolean isEnabled;

    /** It was reset alone and may be set up again while the device runs. */
    boolean wasReset;

    /** A kick has come while the device was suspended. */
    boolean wasKicked;

    long desc;
    long driver;
    long device;

    QueueConfig(SplitQueue ring, int sizeMax) {
        this.ring = ring;
        this.sizeMax = sizeMax;
        size = sizeMax;
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

    void start(boolean hasIndirect, boolean hasEventIdx) {
        ring.start(size, desc, driver, device, hasIndirect, hasEventIdx);
    }

    /** True if what the driver has written can be enabled. */
    boolean isLayout() {
        return SplitQueue.isLayout(size, desc, driver, device);
    }

    DeviceState.Queue save() {
        return new DeviceState.Queue(size, isEnabled, wasReset, desc, driver, device, ring.save());
    }

    /** Takes over what was saved, {@linkplain DeviceState.Queue#isPossible possible} as it is. */
    void restore(DeviceState.Queue saved, boolean hasIndirect, boolean hasEventIdx) {
        size = saved.size();
        isEnabled = saved.isEnabled();
        wasReset = saved.wasReset();
        desc = saved.desc();
        driver = saved.driver();
        device = saved.device();
        if (saved.ring().state() != SplitQueue.State.STOPPED) {
            start(hasIndirect, hasEventIdx);
            ring.restore(saved.ring());
        }
    }
}
