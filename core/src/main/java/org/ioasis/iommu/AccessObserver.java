// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;

/**
 * Sees each access of the endpoints of an IOMMU, as numbers: in pieces, each of which went to one
 * place. Called on the thread of the access and inside its guarded section, where it must neither
 * block nor allocate. An IOMMU without one has ways to memory that know of none.
 */
public interface AccessObserver {
    /** In place of the number of a domain: the endpoint is attached to none. */
    long NO_DOMAIN = -1;

    /**
     * An access, or a piece of one, has found its memory.
     *
     * @param pasid or {@link Attachment#NO_PASID}
     * @param domain 32-bit unsigned, or {@link #NO_DOMAIN}: it bypasses
     * @param first of the IOVAs that were found together
     * @param output the guest-physical address of {@code first}
     */
    void accessed(
            int endpoint,
            int pasid,
            long domain,
            long first,
            long length,
            Access access,
            long output);

    /**
     * An access, or what was left of one, has been refused; of these the driver may be told of
     * fewer.
     *
     * @param first the IOVA that is refused
     * @param length from there to the end of the access, which may be past 2^64-1
     */
    void refused(
            int endpoint,
            int pasid,
            long domain,
            long first,
            long length,
            Access access,
            FaultReason reason);

    /** The endpoint's device works by its driver's order from now on. On the loop thread. */
    void deviceStarted(int endpoint, int pasid);

    /** The endpoint's device has been reset. On the loop thread. */
    void deviceReset(int endpoint, int pasid);
}
