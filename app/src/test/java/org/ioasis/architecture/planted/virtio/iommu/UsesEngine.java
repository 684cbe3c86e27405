// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.virtio.iommu;

import org.ioasis.architecture.planted.iommu.UsesFile;

/** Breaks no direction: the device of the engine may use it. */
public final class UsesEngine {
    private UsesEngine() {}

    public static Object use() {
        return UsesFile.class;
    }
}
