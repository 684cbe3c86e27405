// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.ioasis.spec.IommufdNesting.AMD_DTE;
import static org.ioasis.spec.IommufdNesting.AMD_SIZE;
import static org.ioasis.spec.IommufdNesting.HWPT_DATA_AMD_GUEST;
import static org.ioasis.spec.IommufdNesting.INVALIDATE_AMD;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.host.LongMap;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Invalidator;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Vdevice;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.iommufd.nesting.GuestEntries;
import org.ioasis.iommufd.nesting.VirtioInvalidations;
import org.ioasis.iommufd.nesting.VirtioInvalidations.Naming;

/**
 * The slice of an AMD IOMMU that one machine has: the host's numbers of its guest's domains, as
 * long as some table has one, and how its guest calls devices. Under its context's lock.
 */
final class AmdViommu implements ViommuDriver, AmdCommands.Names, VirtioInvalidations.Scopes {
    /** A domain of the guest's. */
    private static final class Known {
        final int tag;
        final List<AmdNested> tables = new ArrayList<>();

        Known(int tag) {
            this.tag = tag;
        }
    }

    private final EngineIommu iommu;
    private final AmdIommu architecture;
    private final Viommu viommu;
    private final EngineDomain parent;
    private final LongMap<Known> domains = new LongMap<>();
    private final Invalidator entries;

    AmdViommu(EngineIommu iommu, AmdIommu architecture, Viommu viommu, EngineDomain parent) {
        this.iommu = iommu;
        this.architecture = architecture;
        this.viommu = viommu;
        this.parent = parent;
        entries =
                new GuestEntries(
                        INVALIDATE_AMD,
                        new AmdCommands(iommu.cached(), DeviceCaches.NONE, this),
                        new VirtioInvalidations(this, Naming.PASID),
                        iommu.cached(),
                        iommu::invalidated);
    }

    EngineIommu iommu() {
        return iommu;
    }

    EngineDomain parent() {
        return parent;
    }

    /** A table has this domain of the guest's: its number at the host. */
    int join(int ofGuest, AmdNested table) throws IommufdException {
        Known known = domains.get(ofGuest);
        if (known == null) {
            known = new Known(iommu.newTag());
            domains.put(ofGuest, known);
            parent.addTag(known.tag);
        }
        known.tables.add(table);
        return known.tag;
    }

    void leave(int ofGuest, AmdNested table) {
        Known known = domains.get(ofGuest);
        if (known != null && known.tables.remove(table) && known.tables.isEmpty()) {
            domains.remove(ofGuest);
            parent.removeTag(known.tag);
        }
    }

    @Override
    public int domain(int ofGuest) {
        Known known = domains.get(ofGuest);
        return known == null ? NONE : known.tag;
    }

    @Override
    public int device(int ofGuest) {
        Vdevice vdevice = viommu.device(ofGuest);
        return vdevice != null && vdevice.device().hardware() instanceof EngineDevice device
                ? device.number()
                : NONE;
    }

    @Override
    public void forgetDomains() {
        domains.forEach(known -> {
            iommu.cached().domain(known.tag);
            known.tables.forEach(AmdNested::reenter);
        });
    }

    @Override
    public void table(int ofGuest, int space) {
        Known known = domains.get(ofGuest);
        if (known != null) {
            known.tables.forEach(table -> table.reenter(space));
        }
    }

    @Override
    public NestedDomain nested(int flags, UserData data) throws IommufdException {
        if (flags != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "a device table entry says itself what PASIDs have");
        }
        MemorySegment given = data.read(HWPT_DATA_AMD_GUEST, AMD_SIZE, AMD_SIZE);
        DeviceEntry entry =
                AmdNested.check(
                        given.get(ValueLayout.JAVA_LONG, AMD_DTE),
                        given.get(ValueLayout.JAVA_LONG, AMD_DTE + 8L),
                        given.get(ValueLayout.JAVA_LONG, AMD_DTE + 16L),
                        architecture.hasFiveLevels());
        return new AmdNested(this, entry);
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        return entries.invalidate(type, array, offset, entryLength, count);
    }

    // Requests of virtio-iommu name domains as the guest's device table entries do.

    @Override
    public void translations(int ofGuest, int pasid) {
        translations(ofGuest, pasid, 0, -1);
    }

    @Override
    public void translations(int ofGuest, int pasid, long first, long last) {
        int tag = domain(ofGuest);
        if (tag != NONE) {
            iommu.forget(tag, pasid, first, last);
        }
    }

    @Override
    public void tables(int ofGuest, int pasid) {
        Known known = domains.get(ofGuest);
        if (known != null && pasid == DeviceCaches.NO_SPACE) {
            known.tables.forEach(AmdNested::reenter);
        } else if (known != null) {
            table(ofGuest, pasid);
        }
    }
}
