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

    /** For people: numbers as other places say them. */
    @Override
    public String toString() {
        return "%s %s of endpoint 0x%x%s at 0x%x, %s%s%s: %s"
                .formatted(
                        reason,
                        access,
                        endpoint,
                        pasid < 0 ? "" : " PASID " + pasid,
                        address,
                        kind,
                        count == 1 ? "" : ", %d times".formatted(count),
                        table == null ? "" : ", " + table,
                        explanation);
    }

    /**
     * Where a walk has ended.
     *
     * @param stage of what
     * @param fault why
     * @param level of the entry, 0 the lowest
     * @param address what that stage was asked for: the IOVA, or an address between the stages
     */
    public record Table(TwoStageFault stage, WalkFault fault, int level, long address) {
        @Override
        public String toString() {
            return "%s %s at level %d for 0x%x".formatted(stage, fault, level, address);
        }
    }
}
