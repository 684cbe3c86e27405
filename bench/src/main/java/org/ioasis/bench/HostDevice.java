// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.iommufd.UserData;
import org.jspecify.annotations.Nullable;

/**
 * A device behind an AMD IOMMU of which nothing is left but its page tables. Under the lock of its
 * context.
 */
final class HostDevice implements HwDevice {
    private static final Object IOMMU = new Object();
    private static final Amdv1Format FORMAT = Amdv1Format.growing(3, false);

    /** Every power of two from a page on. */
    private static final long FORMAT_SIZES = -4096;

    private static final long APERTURE_FIRST = 1 << 16;
    private static final long APERTURE_LAST = (1L << 47) - 1;

    private final HwGroup group = new HwGroup();
    private final IommufdNode node;

    HostDevice(IommufdNode node) {
        this.node = node;
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public Object iommu() {
        return IOMMU;
    }

    @Override
    public boolean isCoherent() {
        return true;
    }

    @Override
    public boolean enforcesCoherency() {
        return false;
    }

    @Override
    public void attach(HwDomain domain, int pasid) {}

    @Override
    public void block(int pasid) {}

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        return new TableDomain(FORMAT, FORMAT_SIZES, APERTURE_FIRST, APERTURE_LAST, false, node);
    }
}
