// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.iommu;

import org.ioasis.architecture.planted.virtio.iommu.UsesEngine;

/** Breaks: the engine never knows virtio. */
public final class UsesVirtio {
    private UsesVirtio() {}

    public static Object use() {
        return UsesEngine.class;
    }
}
