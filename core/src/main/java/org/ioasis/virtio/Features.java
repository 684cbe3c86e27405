// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static org.ioasis.spec.Virtio.DEVICE_TYPE_FEATURES;
import static org.ioasis.spec.Virtio.F_ACCESS_PLATFORM;
import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_INDIRECT_DESC;
import static org.ioasis.spec.Virtio.F_RING_PACKED;
import static org.ioasis.spec.Virtio.F_RING_RESET;
import static org.ioasis.spec.Virtio.F_VERSION_1;

/** The features that a device offers and those that its driver accepts (virtio 1.4, 2.2). */
final class Features {
    private static final long OF_FRAMES =
            F_INDIRECT_DESC
                    | F_EVENT_IDX
                    | F_VERSION_1
                    | F_ACCESS_PLATFORM
                    | F_RING_PACKED
                    | F_RING_RESET;

    private final long offered;

    /** What the driver has accepted so far. Device's thread, as all of this class. */
    private long accepted;

    /**
     * @throws IllegalArgumentException if features are offered that no frame has, or that do not
     *     belong to a device type
     */
    Features(long ofType, long ofFrame) {
        if ((ofFrame & ~OF_FRAMES) != 0 || (ofFrame & F_VERSION_1) == 0) {
            throw new IllegalArgumentException("frame features 0x" + Long.toHexString(ofFrame));
        }
        if ((ofType & ~DEVICE_TYPE_FEATURES) != 0) {
            throw new IllegalArgumentException(
                    "device type features 0x" + Long.toHexString(ofType));
        }
        offered = ofType | ofFrame;
    }

    long offered() {
        return offered;
    }

    long accepted() {
        return accepted;
    }

    void accept(long features) {
        accepted = features;
    }

    boolean has(long feature) {
        return (accepted & feature) != 0;
    }

    /** True if the device works for a driver that accepts these, and has offered them. */
    boolean areAcceptable(long features) {
        long mandatory = F_VERSION_1 | (offered & F_ACCESS_PLATFORM);
        return (features & ~offered) == 0 && (features & mandatory) == mandatory;
    }
}
