// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Access;
import org.jspecify.annotations.Nullable;

/**
 * One refused access, or several alike.
 *
 * @param kind what the access was refused by
 * @param endpoint who
 * @param pasid in which of its address spaces, or -1 for the one without a PASID
 * @param address the IOVA, 64-bit unsigned
 * @param explanation for people: what is nearest, what is missing
 * @param count how many accesses to the same page this stands for
 * @param table where a walk has ended; null if there was none
 */
public record Fault(
        FaultReason reason,
        Kind kind,
        int endpoint,
        int pasid,
        long address,
        Access access,
        String explanation,
        long count,
        @Nullable Table table) {

    /** A fault of something that is not walked. */
    public Fault(
            FaultReason reason,
            Kind kind,
            int endpoint,
            int pasid,
            long address,
            Access access,
            String explanation,
            long count) {
        this(reason, kind, endpoint, pasid, address, access, explanation, count, null);
    }

    /**
     * Where a walk has ended.
     *
     * @param stage of what
     * @param fault why
     * @param level of the entry, 0 the lowest
     * @param address what that stage was asked for: the IOVA, or an address between the stages
     */
    public record Table(TwoStageFault stage, WalkFault fault, int level, long address) {}
}
