// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

import org.ioasis.virtio.iommu.driver.Permission;

/** What a device does with a buffer. */
public enum Direction {
    /** It reads: what the program has written goes to the device. */
    TO_DEVICE(Permission.READ),
    /** It writes. */
    FROM_DEVICE(Permission.WRITE),
    BOTH(Permission.READ_WRITE);

    private final Permission permission;

    Direction(Permission permission) {
        this.permission = permission;
    }

    Permission permission() {
        return permission;
    }
}
