// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * A page table of an IOMMU as an object: what devices are attached to. Under its context's lock.
 */
public abstract sealed class Hwpt extends IommufdObject permits PagingHwpt, NestedHwpt {
    private final boolean isPasidCompatible;
    private @Nullable FaultQueue faults;

    Hwpt(IommufdContext context, boolean isPasidCompatible) {
        super(context);
        this.isPasidCompatible = isPasidCompatible;
    }

    /** It may be attached to a PASID, and to a device that has PASIDs attached. */
    final boolean isPasidCompatible() {
        return isPasidCompatible;
    }

    final @Nullable FaultQueue faults() {
        return faults;
    }

    /** Page requests of devices attached to it go there. */
    final void faults(FaultQueue queue) {
        faults = queue;
        queue.addUser();
    }

    /** What it is made of at the driver. */
    abstract HwDomain domain();

    /** The page table whose mappings the address space holds: itself or its parent. */
    abstract PagingHwpt paging();

    @Override
    final void destroy() {
        free();
        if (faults != null) {
            faults.forget(this);
            faults.removeUser();
        }
    }

    abstract void free();
}
