// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;

/**
 * What sPAPR offers to KVM: hypercalls on a guest's table reach the tables of a group's IOMMU
 * without user space. Called under the lock of the pseudo device.
 */
public interface SpaprSymbols {
    /**
     * Ties each table of a group to a guest's.
     *
     * @throws IommufdException EBADF: the file is none of a guest's table; EINVAL: the tables do
     *     not fit; then none is tied
     */
    void attach(OpenFile guestTable, VfioFile group) throws IommufdException;

    /** Unties all tables of a group. */
    void release(VfioFile group);
}
