// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.ioasis.spec.Virtio.STATUS_DEVICE_NEEDS_RESET;
import static org.ioasis.spec.Virtio.STATUS_DRIVER_OK;
import static org.ioasis.spec.Virtio.STATUS_FEATURES_OK;

import java.util.List;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.jspecify.annotations.Nullable;

/**
 * What a virtio device knows whatever its type is, for saved states. Immutable.
 *
 * @param hasConfigChanged the configuration has changed since it was read last
 * @param brokenReason why the device needs a reset, empty if it does not
 */
public record DeviceState(
        int status,
        long driverFeatures,
        int configGeneration,
        boolean hasConfigChanged,
        String brokenReason,
        List<Queue> queues) {
    /**
     * A queue as its driver has set it up.
     *
     * @param wasReset it was reset alone and may be set up again
     */
    public record Queue(
            int size,
            boolean isEnabled,
            boolean wasReset,
            long desc,
            long driver,
            long device,
            RingState ring) {
        /**
         * Whether a queue can have been saved like this.
         *
         * @param format of its ring
         * @param hasFeatures features are negotiated
         * @param isStarted DRIVER_OK is set
         * @param isBroken the device needs a reset
         */
        boolean isPossible(
                RingFormat format,
                int sizeMax,
                boolean hasFeatures,
                boolean isStarted,
                boolean isBroken) {
            boolean isRinging = ring.state() != DeviceQueue.State.STOPPED;
            return format.isSize(size, sizeMax)
                    && ring.isPossible(size)
                    && (ring.state() != DeviceQueue.State.RUNNING || ring.format() == format)
                    && (!isEnabled || (hasFeatures && format.isLayout(size, desc, driver, device)))
                    && (!isRinging || (isEnabled && isStarted))
                    && (isRinging || !isEnabled || !isStarted || isBroken);
        }
    }

    public DeviceState {
        queues = List.copyOf(queues);
    }

    /**
     * Why no device with so many queues can have been in this state, or null.
     *
     * @param features what the device offers and accepts
     */
    @Nullable String problem(int queueCount, int queueSizeMax, Features features) {
        RingFormat format = RingFormat.of(driverFeatures);
        boolean isBroken = (status & STATUS_DEVICE_NEEDS_RESET) != 0;
        boolean hasFeatures = (status & STATUS_FEATURES_OK) != 0;
        boolean isStarted = (status & STATUS_DRIVER_OK) != 0;
        if ((status & ~(DeviceStatus.DRIVER_BITS | STATUS_DEVICE_NEEDS_RESET)) != 0
                || (isStarted && !hasFeatures)
                || isBroken == brokenReason.isEmpty()) {
            return "status 0x%x".formatted(status);
        }
        if (configGeneration < 0 || configGeneration > 0xff) {
            return "config generation %d".formatted(configGeneration);
        }
        if (queues.size() != queueCount) {
            return "%d queues".formatted(queues.size());
        }
        for (int i = 0; i < queueCount; i++) {
            Queue queue = queues.get(i);
            if (!queue.isPossible(format, queueSizeMax, hasFeatures, isStarted, isBroken)) {
                return "queue %d is in no possible state".formatted(i);
            }
        }
        return hasFeatures && !features.areAcceptable(driverFeatures)
                ? "negotiated features 0x%x".formatted(driverFeatures)
                : null;
    }
}
