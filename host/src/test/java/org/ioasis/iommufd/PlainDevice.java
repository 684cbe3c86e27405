// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.jspecify.annotations.Nullable;

/** A device of a test's own, which the mock has none like. Under the lock of its context. */
final class PlainDevice implements HwDevice {
    private final HwGroup group = new HwGroup();
    private final IommufdNode node;
    private final boolean isCoherent;
    private final boolean enforcesCoherency;

    /** Behind an IOMMU of its own. */
    PlainDevice(IommufdNode node, boolean isCoherent, boolean enforcesCoherency) {
        this.node = node;
        this.isCoherent = isCoherent;
        this.enforcesCoherency = enforcesCoherency;
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public Object iommu() {
        return this;
    }

    @Override
    public boolean isCoherent() {
        return isCoherent;
    }

    @Override
    public boolean enforcesCoherency() {
        return enforcesCoherency;
    }

    @Override
    public void attach(HwDomain domain, int pasid) {}

    @Override
    public void block(int pasid) {}

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        return new TableDomain(Amdv1Format.mock(), -2048, 0, -1L, false, node);
    }
}
