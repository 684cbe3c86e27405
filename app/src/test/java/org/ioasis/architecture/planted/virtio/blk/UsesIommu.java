// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.virtio.blk;

import org.ioasis.architecture.planted.iommu.UsesFile;

/** Breaks: a disk sees memory through Dma alone. */
public final class UsesIommu {
    private UsesIommu() {}

    public static Object use() {
        return UsesFile.class;
    }
}
