// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import java.util.List;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.iommufd.UserData;
import org.jspecify.annotations.Nullable;

/** A device whose page table can be looked at. One thread. */
public final class FakeDevice implements HwDevice {
    private final IommufdNode node;
    private final HwGroup group = new HwGroup();
    private final Object iommu;
    private final boolean enforcesCoherency;
    private final List<IovaRange> reserved;
    private final long apertureLast;
    private @Nullable TableDomain attached;

    public FakeDevice(
            IommufdNode node,
            Object iommu,
            boolean enforcesCoherency,
            List<IovaRange> reserved,
            long apertureLast) {
        this.node = node;
        this.iommu = iommu;
        this.enforcesCoherency = enforcesCoherency;
        this.reserved = reserved;
        this.apertureLast = apertureLast;
    }

    public FakeDevice(IommufdNode node, Object iommu, boolean enforcesCoherency) {
        this(node, iommu, enforcesCoherency, List.of(), -1);
    }

    /** What its DMA goes through; null: it is blocked. */
    public @Nullable TableDomain table() {
        return attached;
    }

    /** Where its DMA to an IOVA goes, or {@link TableDomain#NOWHERE}. */
    public long reaches(long iova) {
        TableDomain table = attached;
        return table == null ? TableDomain.NOWHERE : table.lookUp(iova);
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public Object iommu() {
        return iommu;
    }

    @Override
    public boolean isCoherent() {
        return true;
    }

    @Override
    public boolean enforcesCoherency() {
        return enforcesCoherency;
    }

    @Override
    public List<IovaRange> reserved() {
        return reserved;
    }

    @Override
    public void attach(HwDomain domain, int pasid) {
        attached = (TableDomain) domain;
    }

    @Override
    public void block(int pasid) {
        attached = null;
    }

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        return new TableDomain(Amdv1Format.mock(), -2048, 0, apertureLast, false, node);
    }
}
