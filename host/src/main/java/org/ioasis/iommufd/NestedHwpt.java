// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.HWPT_FAULT_ID_VALID;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** A table of a guest, behind a page table or a vIOMMU that has one. Under its context's lock. */
public final class NestedHwpt extends Hwpt {
    private final PagingHwpt parent;
    private final @Nullable Viommu viommu;
    private final NestedDomain domain;

    private NestedHwpt(PagingHwpt parent, @Nullable Viommu viommu, int flags, NestedDomain domain) {
        super(parent.context(), (flags & HWPT_ALLOC_PASID) != 0);
        this.parent = parent;
        this.viommu = viommu;
        this.domain = domain;
        keeper().addUser();
    }

    /** Makes one behind a page table, reserved. */
    static NestedHwpt reserve(PagingHwpt parent, Device device, int flags, @Nullable UserData data)
            throws IommufdException {
        UserData given = check(flags, data);
        if (parent.isAutomatic() || !parent.isNestParent()) {
            throw new IommufdException(
                    Errno.EINVAL, "the page table was not made to be a nesting parent");
        }
        parent.context().allocate();
        NestedDomain domain =
                device.hardware().nested(parent.domain(), flags & ~HWPT_FAULT_ID_VALID, given);
        return reserve(new NestedHwpt(parent, null, flags, domain));
    }

    /** Makes one behind a vIOMMU, reserved. */
    static NestedHwpt reserve(Viommu viommu, Device device, int flags, @Nullable UserData data)
            throws IommufdException {
        UserData given = check(flags, data);
        if (!device.hardware().iommu().equals(viommu.iommu())) {
            throw new IommufdException(Errno.EINVAL, "the device is behind another IOMMU");
        }
        viommu.context().allocate();
        NestedDomain domain = viommu.driver().nested(flags & ~HWPT_FAULT_ID_VALID, given);
        return reserve(new NestedHwpt(viommu.parent(), viommu, flags, domain));
    }

    private static NestedHwpt reserve(NestedHwpt hwpt) throws IommufdException {
        hwpt.context().reserve(hwpt);
        return hwpt;
    }

    /** One that was reserved is there, with a queue for page requests if there is one. */
    static NestedHwpt finished(NestedHwpt hwpt, @Nullable FaultQueue faults) {
        if (faults != null) {
            hwpt.faults(faults);
        }
        return hwpt.context().finished(hwpt);
    }

    /**
     * Has entries carried out where they are, as {@link Invalidator}; of a guest's own queue, those
     * in front of its end and those behind its begin are two calls.
     *
     * @return {@link Handled}
     */
    public long invalidate(
            int type, MemorySegment entries, long offset, int entryLength, int count) {
        synchronized (context()) {
            return domain.invalidate(type, entries, offset, entryLength, count);
        }
    }

    private static UserData check(int flags, @Nullable UserData data) throws IommufdException {
        if ((flags & ~(HWPT_FAULT_ID_VALID | HWPT_ALLOC_PASID)) != 0 || data == null) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "a guest's table takes data and none of these flags");
        }
        return data;
    }

    private IommufdObject keeper() {
        return viommu == null ? parent : viommu;
    }

    @Override
    public NestedDomain domain() {
        return domain;
    }

    @Override
    PagingHwpt paging() {
        return parent;
    }

    @Override
    void free() {
        domain.free();
        keeper().removeUser();
    }
}
