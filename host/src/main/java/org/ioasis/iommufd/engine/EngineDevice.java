// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.UserData;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.spec.Iommufd;
import org.jspecify.annotations.Nullable;

/**
 * A device of an embedder's behind an {@link EngineIommu}: bound to a context like any other, and
 * its accesses made by a {@link Dma}. Under the lock of its context, but for that.
 */
public final class EngineDevice implements HwDevice {
    private static final int PASID_BITS = 20;

    private final EngineIommu iommu;
    private final Endpoint endpoint;
    private final HwGroup group = new HwGroup();

    EngineDevice(EngineIommu iommu, Endpoint endpoint) {
        this.iommu = iommu;
        this.endpoint = endpoint;
    }

    /**
     * Its way to memory without a PASID: blocked until it is attached, and again when it is
     * detached.
     *
     * @param guard of the thread that it runs on
     */
    public Dma dma(Guard guard) {
        return iommu.iommu().dma(endpoint.attachment(), iommu.memory(), guard);
    }

    /**
     * Its way to memory with a PASID.
     *
     * @throws IommufdException ENOSPC: it uses as many as it may
     */
    public Dma dma(int pasid, Guard guard) throws IommufdException {
        return iommu.iommu().dma(space(pasid), iommu.memory(), guard);
    }

    /** What it is for the engine. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** What has happened to its accesses without a PASID. Any thread. */
    public EndpointCounts counts() {
        return endpoint.counts();
    }

    /** Once used, the space of a PASID stays: a {@link Dma} knows it. */
    private Attachment space(int pasid) throws IommufdException {
        if (pasid == NO_PASID) {
            return endpoint.attachment();
        }
        Attachment known = endpoint.attachment(pasid);
        Attachment space = known == null ? endpoint.open(pasid) : known;
        if (space == null) {
            throw new IommufdException(Errno.ENOSPC, "the device uses as many PASIDs as it may");
        }
        return space;
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
        return true;
    }

    @Override
    public int pasidBits() {
        return PASID_BITS;
    }

    @Override
    public List<IovaRange> reserved() {
        EndpointProperties properties = endpoint.properties();
        List<IovaRange> ranges = new ArrayList<>();
        for (ReservedRegion region : properties.reserved().regions()) {
            ranges.add(new IovaRange(region.first(), region.last()));
        }
        if (properties.inputFirst() != 0) {
            ranges.add(new IovaRange(0, properties.inputFirst() - 1));
        }
        if (properties.inputLast() != -1) {
            ranges.add(new IovaRange(properties.inputLast() + 1, -1));
        }
        return ranges;
    }

    @Override
    public void attach(HwDomain domain, int pasid) throws IommufdException {
        if (!(domain instanceof EngineDomain ours) || !ours.isOf(iommu)) {
            throw new IommufdException(Errno.EINVAL, "the page table is another IOMMU's");
        }
        Attachment space = space(pasid);
        Refusal refusal = iommu.ask(done -> iommu.iommu().attach(space, ours.domain(), done));
        if (refusal != null) {
            throw EngineIommu.refused(refusal);
        }
    }

    @Override
    public void block(int pasid) {
        Attachment space = pasid == NO_PASID ? endpoint.attachment() : endpoint.attachment(pasid);
        if (space != null && space.domain() != null) {
            iommu.ask(done -> iommu.iommu().detach(space, done));
        }
    }

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        if (data != null || (flags & ~Iommufd.HWPT_ALLOC_PASID) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "the engine's page tables take neither data nor nesting");
        }
        return iommu.domain();
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        if (type != Iommufd.HW_INFO_TYPE_DEFAULT) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
        }
        return new HwInfo(Iommufd.HW_INFO_TYPE_DEFAULT, new byte[0]);
    }
}
