// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import java.util.HashSet;
import java.util.Set;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;

/** A domain of the engine that shows an address space. Under its context's lock. */
public final class EngineDomain implements HwPagingDomain {
    private final EngineIommu iommu;
    private final PagingDomain domain;
    private final Extent extent = new Extent();
    private final Set<Integer> tags = new HashSet<>();

    EngineDomain(EngineIommu iommu, PagingDomain domain) {
        this.iommu = iommu;
        this.domain = domain;
    }

    /** What it is for the engine: where a guest leaves memory as it is, too. */
    public Domain engine() {
        return domain;
    }

    /** What is kept with this tag has gone through it: an unmap takes that away, too. */
    public void addTag(int tag) {
        tags.add(tag);
    }

    /** Nothing more will be kept with this tag. */
    public void removeTag(int tag) {
        if (tags.remove(tag)) {
            iommu.giveBackTag(tag);
        }
    }

    PagingDomain domain() {
        return domain;
    }

    /** Whether it is a domain of this IOMMU. */
    boolean isOf(EngineIommu other) {
        return iommu == other;
    }

    @Override
    public long pageSizes() {
        return iommu.options().pageSizeMask();
    }

    @Override
    public long apertureFirst() {
        return iommu.options().inputFirst();
    }

    @Override
    public long apertureLast() {
        return iommu.options().inputLast();
    }

    @Override
    public void map(
            long iova,
            long address,
            long length,
            boolean isReadable,
            boolean isWritable,
            FailureInjector failures)
            throws IommufdException {
        failures.allocate();
        int flags = (isReadable ? MapFlags.READ : 0) | (isWritable ? MapFlags.WRITE : 0);
        Refusal refusal =
                iommu.ask(done -> domain.map(iova, iova + length - 1, address, flags, done));
        if (refusal != null) {
            throw EngineIommu.refused(refusal);
        }
    }

    @Override
    public void unmap(long iova, long length) {
        Refusal refusal = iommu.ask(done -> domain.unmap(iova, iova + length - 1, done));
        if (refusal != null) {
            throw new IllegalStateException("unmap of 0x%x: %s".formatted(iova, refusal));
        }
        if (!tags.isEmpty()) {
            // Nobody walks through what was mapped any more, so nothing of it is kept anew.
            tags.forEach(tag -> iommu.cached().domain(tag));
            iommu.settle();
        }
    }

    @Override
    public long toPhysical(long iova) {
        if (!domain.translation().lookup(iova, 1, extent)) {
            throw new IllegalStateException("0x%x is not mapped".formatted(iova));
        }
        return iova + extent.delta();
    }

    @Override
    public long sideBySide(long iova) {
        toPhysical(iova);
        return extent.last() - iova + 1;
    }

    @Override
    public void free() {
        domain.close();
    }
}
