// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import org.ioasis.memory.Dma;
import org.ioasis.virtqueue.DeviceQueue;

/**
 * Which queues of a device are looked at in guest memory, so that their driver need not kick. A
 * queue is looked at from a kick on ({@link #begin}) until {@link #rest}: one that nobody has used
 * lately may be what a firmware has left behind, at addresses that mean nothing any more.
 *
 * <p>While a queue is looked at, {@link DeviceWork} does not ask for kicks when it has emptied it,
 * which with EVENT_IDX (virtio 1.4, 2.7.10) is enough; without, the driver is told. Then a kick
 * would be lost if it was not asked for again before the device's thread sleeps, with a full fence
 * and one more look: {@link #rest} has the queue treated as if it had been kicked, and the end of
 * that is the same as without any of this.
 *
 * <p>Device's thread, outside of sections. A look has no consequence but a {@linkplain
 * DeviceWork#kick kick}, whose work has its own bounds: a driver that moves its index all the time
 * gets one for each look.
 */
public final class RingWatch {
    private final VirtioDevice device;
    private final Dma dma;
    private final QueueConfig[] queues;
    private int watched;

    RingWatch(VirtioDevice device, Dma dma, QueueConfig[] queues) {
        this.device = device;
        this.dma = dma;
        this.queues = queues;
    }

    /** The queue is looked at from now on, if it runs; the kick that led to it follows. */
    public void begin(int q) {
        QueueConfig config = queues[q];
        if (config.isWatched || !device.isRunning() || !config.ring().isRunning()) {
            return;
        }
        config.isWatched = true;
        watched++;
        dma.enter();
        try {
            config.ring().suppressKicks();
            config.seen = config.ring().available();
        } finally {
            dma.leave();
        }
    }

    /** True if the queue's kicks need not be asked for. */
    boolean isWatched(int q) {
        return queues[q].isWatched;
    }

    /** Looks at all queues that are looked at. True if something was new in one, which is done. */
    public boolean look() {
        boolean isNew = false;
        for (int q = 0; q < queues.length && watched > 0; q++) {
            QueueConfig config = queues[q];
            if (!config.isWatched || !device.isRunning()) {
                continue;
            }
            int now = available(config.ring());
            if (now >= 0 && now != config.seen) {
                config.seen = now;
                isNew = true;
                device.kick(q);
            }
        }
        return isNew;
    }

    /**
     * Looks at none any more. True if something was new in one; in any case kicks have been asked
     * for again and the ring was looked at after that.
     */
    public boolean rest() {
        boolean isNew = false;
        for (int q = 0; q < queues.length && watched > 0; q++) {
            QueueConfig config = queues[q];
            if (!config.isWatched) {
                continue;
            }
            forget(config);
            if (!device.isRunning()) {
                continue;
            }
            int now = available(config.ring());
            isNew |= now >= 0 && now != config.seen;
            // What the IOMMU refuses now was left behind by its driver: to touch it would report a
            // fault that nobody has asked for. Everything else is the device's to find out.
            if (now != DeviceQueue.FAULTING) {
                device.kick(q);
            }
        }
        return isNew;
    }

    private int available(DeviceQueue ring) {
        dma.enter();
        try {
            return ring.available();
        } finally {
            dma.leave();
        }
    }

    /** The device is not to touch memory: whoever lets it again has everything looked at. */
    void forgetAll() {
        for (QueueConfig config : queues) {
            forget(config);
        }
    }

    /** The queue is reset. */
    void forget(int q) {
        forget(queues[q]);
    }

    private void forget(QueueConfig config) {
        if (config.isWatched) {
            config.isWatched = false;
            watched--;
        }
    }
}
