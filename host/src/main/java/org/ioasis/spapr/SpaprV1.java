// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;

/**
 * The first kind: one group with its default window. Its process is charged for all that the window
 * could lead to, when it is enabled, so that a map has nothing to charge. Any thread.
 */
public final class SpaprV1 extends SpaprContainer {
    private static final int PAGE_LG2 = 12;

    private long lockedPages;

    /** Without groups. */
    public SpaprV1(SpaprHost host) {
        super(host);
    }

    @Override
    void checkGroup(SpaprGroup group) throws IommufdException {
        if (hasGroups()) {
            throw new IommufdException(Errno.EBUSY, "a container of version 1 has one group");
        }
    }

    @Override
    Backing backing(RegisteredMemory memory, long entries) {
        return new HeldBacking(host().node(), memory.process());
    }

    /**
     * Charges the window. (VFIO_IOMMU_ENABLE)
     *
     * @throws IommufdException EBUSY it is enabled; ENODEV no group; EPERM the group has no default
     *     window, or another process calls; ENOMEM the limit of locked memory
     */
    public synchronized void enable(Task task) throws IommufdException {
        check(task);
        if (isEnabled()) {
            throw new IommufdException(Errno.EBUSY, "the container is enabled");
        }
        SpaprGroup group = firstGroup(Errno.ENODEV);
        if (group.defaultSize() == 0) {
            throw new IommufdException(Errno.EPERM, "the group has no default window");
        }
        RegisteredMemory owned = own(task);
        long pages = group.defaultSize() >>> PAGE_LG2;
        if (task.failures().fails()
                || !owned.process().locked().chargeProcess(pages, task.mayLock())) {
            throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
        }
        lockedPages = pages;
        enable(true);
    }

    /** Takes the charge back; what is mapped stays. (VFIO_IOMMU_DISABLE) */
    public synchronized void disable(Task task) throws IommufdException {
        check(task);
        release();
        enable(false);
    }

    @Override
    void release() {
        RegisteredMemory owned = memory();
        if (owned != null) {
            owned.process().locked().chargeProcess(-lockedPages, true);
            lockedPages = 0;
        }
    }
}
