// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.List;
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
    public boolean tracksDirty() {
        return false;
    }

    @Override
    public int pasidBits() {
        return 0;
    }

    @Override
    public List<IovaRange> reserved() {
        return List.of();
    }

    @Override
    public void attach(HwDomain domain, int pasid) {}

    @Override
    public void block(int pasid) {}

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        return new TableDomain(Amdv1Format.mock(), -2048, 0, -1L, false, node);
    }

    @Override
    public NestedDomain nested(HwPagingDomain parent, int flags, UserData data)
            throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "no nesting");
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "no information");
    }

    @Override
    public @Nullable ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data) {
        return null;
    }

    @Override
    public boolean hasViommu(int type) {
        return false;
    }

    @Override
    public void respond(int pasid, int number, int code) {}
}
