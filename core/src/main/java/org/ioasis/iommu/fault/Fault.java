// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;

/**
 * One refused access, or several alike.
 *
 * @param kind what the access was refused by
 * @param endpoint who
 * @param pasid in which of its address spaces, or -1 for the one without a PASID
 * @param address the IOVA, 64-bit unsigned
 * @param explanation for people: what is nearest, what is missing
 * @param count how many accesses to the same page this stands for
 */
public record Fault(
        FaultReason reason,
        Kind kind,
        int endpoint,
        int pasid,
        long address,
        Access access,
        String explanation,
        long count) {}
