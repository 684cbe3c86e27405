// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.jspecify.annotations.Nullable;

/**
 * What context structures say of the requests of a device, or of one of its PASIDs: the stages that
 * they go through, and the tags of what is cached of them. Immutable; any thread.
 *
 * @param first stage of who owns the device, whose tables lie behind {@code second}; null: none
 * @param second stage of who owns the machine; null: none, and with neither an address is what it
 *     is
 * @param domain VMID, DID or DomainID
 * @param space ASID or PASID
 * @param rights bits of {@link Rights} that the context lets through, whatever the stages allow
 */
public record AddressSpace(
        @Nullable Stage first, @Nullable Stage second, int domain, int space, int rights) {

    /**
     * Translates {@code iova}.
     *
     * @param memory what the last stage leads to, with the tables of both
     * @param access bits of {@link Rights}
     * @param marks false: nothing is written, whatever the stages say
     * @return whether {@code walk} has an output and no fault
     */
    public boolean translate(
            TableAccess memory, long iova, int access, boolean marks, TwoStageWalk walk) {
        return walk.walk(first, second, memory, memory, iova, access, marks)
                && walk.permit(rights, access);
    }
}
