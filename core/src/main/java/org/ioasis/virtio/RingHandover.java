// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.function.Consumer;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.jspecify.annotations.Nullable;

/**
 * How a device is given rings and they are taken back, one by one and at any place: for a transport
 * whose VMM has the registers and tells of rings (vhost-user). Device's thread.
 */
public final class RingHandover {
    private final VirtioDevice device;
    private final QueueConfig[] queues;
    private final DeviceWork<?> work;

    RingHandover(VirtioDevice device, QueueConfig[] queues, DeviceWork<?> work) {
        this.device = device;
        this.queues = queues;
        this.work = work;
    }

    /**
     * Gives the running device a queue that is set up in memory, to go on at a position that
     * somebody has kept. {@link #take} takes it back.
     *
     * @param at without chains in flight
     * @param log of chains that are, or null; for a queue of that size
     * @return false if no queue can be like this, it is there already, or the device does not run;
     *     nothing has changed then
     */
    public boolean give(
            int q,
            int size,
            long desc,
            long driver,
            long used,
            RingState at,
            @Nullable ChainLog log) {
        assert work.isDeviceThread();
        RingFormat format = device.format();
        // One that there is not has no size.
        if (!device.isStarted()
                || device.queueEnabled(q)
                || !format.isSize(size, device.queueSizeMax(q))
                || !format.isLayout(size, desc, driver, used)
                || at.format() != format
                || !at.isPossible(size)) {
            device.countRefused();
            return false;
        }
        QueueConfig given = queues[q];
        given.size = size;
        given.desc = desc;
        given.driver = driver;
        given.device = used;
        given.isEnabled = true;
        device.start(given);
        given.ring().restore(at);
        if (log != null) {
            given.ring().log(log);
        }
        device.kick(q);
        return true;
    }

    /**
     * Takes a queue back. No chain is taken from it any more, but for those that its log has; when
     * the driver has got back all that were, or the device is broken, it is as after a reset of its
     * own.
     *
     * @param whenTaken gets where the queue was, perhaps at once; not after a reset of the device
     */
    public void take(int q, Consumer<RingState> whenTaken) {
        assert work.isDeviceThread();
        if (!device.queueEnabled(q)) {
            throw new IllegalStateException("queue " + q + " is not enabled");
        }
        device.watch().forget(q);
        work.hold(
                q,
                () -> {
                    RingState state = queues[q].ring().save();
                    device.clear(q);
                    whenTaken.accept(state);
                });
    }
}
