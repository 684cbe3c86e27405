// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.ioasis.spec.IommufdNesting.INVALIDATE_VTD_S1;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommufd.Invalidator;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.iommufd.engine.EngineNested;
import org.ioasis.iommufd.nesting.GuestEntries;
import org.ioasis.iommufd.nesting.VirtioInvalidations;
import org.ioasis.iommufd.nesting.VirtioInvalidations.Naming;

/**
 * A guest's first stage in front of a second one. What is kept of it has a tag of its own, whatever
 * PASIDs it is attached to; devices keep nothing themselves, so they are told nothing. Under its
 * context's lock.
 */
final class VtdNested extends EngineNested
        implements VtdInvalidations.Table, VirtioInvalidations.Scopes {
    private final EngineIommu iommu;
    private final int tag;
    private final Domain domain;
    private final Invalidator entries;

    VtdNested(EngineIommu iommu, EngineDomain parent, Stage stage) throws IommufdException {
        super(parent);
        this.iommu = iommu;
        tag = iommu.newTag();
        parent.addTag(tag);
        try {
            domain = iommu.walked(new AddressSpace(stage, null, tag, 0, Rights.ALL), parent);
        } catch (IommufdException e) {
            parent.removeTag(tag);
            throw e;
        }
        entries =
                new GuestEntries(
                        INVALIDATE_VTD_S1,
                        new VtdInvalidations(this),
                        new VirtioInvalidations(this, Naming.PASID),
                        iommu.cached(),
                        iommu::invalidated);
    }

    @Override
    protected Domain target(EngineDevice device, int pasid) {
        return domain;
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        return entries.invalidate(type, array, offset, entryLength, count);
    }

    @Override
    public void invalidateAll() {
        iommu.cached().domain(tag);
    }

    @Override
    public void invalidate(long first, long last) {
        iommu.cached().everySpace(tag, first, last, 0);
    }

    @Override
    public void translations(int ofGuest, int space) {
        invalidateAll();
    }

    @Override
    public void translations(int ofGuest, int space, long first, long last) {
        invalidate(first, last);
    }

    @Override
    public void tables(int ofGuest, int pasid) {
        // Which table a PASID has is said by attaching it.
    }

    @Override
    public void free() {
        parent.removeTag(tag);
        domain.close();
    }
}
