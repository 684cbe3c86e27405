// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import org.ioasis.memory.Access;

/**
 * One refused access, or several alike.
 *
 * @param endpoint who
 * @param address the IOVA, 64-bit unsigned
 * @param explanation for people: what is nearest, what is missing
 * @param count how many accesses to the same page this stands for
 */
public record Fault(
        FaultReason reason,
        int endpoint,
        long address,
        Access access,
        String explanation,
        long count) {}
