// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import org.ioasis.spec.Virtio;
import org.ioasis.virtqueue.RingFormat;

/** The features of every device of ours, whatever it is (virtio 1.4, 6). Any thread; no state. */
final class Frame {
    private Frame() {}

    /**
     * @param rings PACKED: the driver may choose packed rings; SPLIT: it has no choice
     */
    static long features(RingFormat rings) {
        return Virtio.F_VERSION_1
                | Virtio.F_INDIRECT_DESC
                | Virtio.F_EVENT_IDX
                | Virtio.F_RING_RESET
                | (rings == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0);
    }

    /**
     * As {@link #features}, where the VMM has the registers: it would not tell that a queue is
     * reset.
     */
    static long withoutRegisters(RingFormat rings) {
        return features(rings) & ~Virtio.F_RING_RESET;
    }

    /** As {@link #features}, of a device behind an IOMMU. */
    static long translated(RingFormat rings) {
        return features(rings) | Virtio.F_ACCESS_PLATFORM;
    }
}
