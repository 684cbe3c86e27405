// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.HWPT_ALLOC_DIRTY_TRACKING;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.HWPT_FAULT_ID_VALID;

import org.jspecify.annotations.Nullable;

/** A page table that shows all that its address space maps. Under its context's lock. */
public final class PagingHwpt extends Hwpt {
    private static final int FLAGS =
            HWPT_ALLOC_NEST_PARENT
                    | HWPT_ALLOC_DIRTY_TRACKING
                    | HWPT_FAULT_ID_VALID
                    | HWPT_ALLOC_PASID;

    private final Ioas ioas;
    private final HwPagingDomain domain;
    private final boolean isAutomatic;
    private final boolean isNestParent;
    private final boolean enforcesCoherency;
    private boolean isInSpace;

    private PagingHwpt(
            Ioas ioas, Device device, int flags, boolean isAutomatic, HwPagingDomain domain) {
        super(ioas.context(), (flags & HWPT_ALLOC_PASID) != 0);
        this.ioas = ioas;
        this.domain = domain;
        this.isAutomatic = isAutomatic;
        this.isNestParent = (flags & HWPT_ALLOC_NEST_PARENT) != 0;
        this.enforcesCoherency = device.hardware().enforcesCoherency();
        ioas.addUser();
    }

    /**
     * Makes one that the driver of the device knows, reserved and without mappings.
     *
     * @throws IommufdException EOPNOTSUPP: flags or data
     */
    static PagingHwpt reserve(
            Ioas ioas, Device device, int flags, boolean isAutomatic, @Nullable UserData data)
            throws IommufdException {
        if ((flags & ~FLAGS) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "unknown flag of a page table in 0x%x".formatted(flags));
        }
        if ((flags & HWPT_ALLOC_DIRTY_TRACKING) != 0 && !device.hardware().tracksDirty()) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "the device's IOMMU cannot tell what was written");
        }
        if ((flags & HWPT_FAULT_ID_VALID) != 0 && (flags & HWPT_ALLOC_NEST_PARENT) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "a nesting parent has no page requests of its own");
        }
        ioas.context().allocate();
        HwPagingDomain domain = device.hardware().paging(flags & ~HWPT_FAULT_ID_VALID, data);
        PagingHwpt hwpt = new PagingHwpt(ioas, device, flags, isAutomatic, domain);
        ioas.context().reserve(hwpt);
        return hwpt;
    }

    /** Shows the address space's mappings from now on. */
    void join() throws IommufdException {
        ioas.space().add(domain);
        isInSpace = true;
        ioas.add(this);
    }

    /**
     * Makes a table of a guest behind it.
     *
     * @param flags HWPT_ALLOC_PASID or none
     * @param faults where page requests of devices that are attached to it go; null: nowhere
     */
    public NestedHwpt allocateNested(
            Device device, int flags, UserData data, @Nullable FaultQueue faults)
            throws IommufdException {
        synchronized (context()) {
            return NestedHwpt.finished(NestedHwpt.reserve(this, device, flags, data), faults);
        }
    }

    /** Makes the slice of an IOMMU that a machine has whose memory this shows. */
    public Viommu allocateViommu(Device device, int type, @Nullable UserData data)
            throws IommufdException {
        synchronized (context()) {
            return context().finished(Viommu.reserve(device, this, type, data));
        }
    }

    Ioas ioas() {
        return ioas;
    }

    /** Made when a device was attached to the address space itself; goes with the last device. */
    boolean isAutomatic() {
        return isAutomatic;
    }

    boolean isNestParent() {
        return isNestParent;
    }

    boolean enforcesCoherency() {
        return enforcesCoherency;
    }

    @Override
    public HwPagingDomain domain() {
        return domain;
    }

    @Override
    PagingHwpt paging() {
        return this;
    }

    @Override
    void free() {
        if (isInSpace) {
            ioas.remove(this);
            ioas.space().remove(domain);
        }
        domain.free();
        ioas.removeUser();
    }
}
