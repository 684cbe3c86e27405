// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.MAP_F_READ;
import static org.ioasis.spec.VirtioIommu.MAP_F_WRITE;

/** What endpoints may do with a mapping. A mapping that allows nothing is none. */
public enum Permission {
    READ(MAP_F_READ),
    WRITE(MAP_F_WRITE),
    READ_WRITE(MAP_F_READ | MAP_F_WRITE);

    private final int flags;

    Permission(int flags) {
        this.flags = flags;
    }

    int flags() {
        return flags;
    }
}
