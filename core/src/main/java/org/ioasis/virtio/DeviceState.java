// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.List;
import org.ioasis.virtqueue.RingState;

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
            RingState ring) {}

    public DeviceState {
        queues = List.copyOf(queues);
    }
}
