// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

/**
 * What an ATTACH_TABLE says of a table of the driver's own, in one of the formats of the drafts.
 * Addresses are the device's memory. Immutable; any thread.
 */
public sealed interface TableShape {
    /**
     * A first level of VT-d.
     *
     * @param root where its top table is
     * @param width bits of an address: 48, or 57
     */
    record FirstLevel(long root, int width) implements TableShape {}

    /**
     * ARM's 64-bit tables of one space.
     *
     * @param asid 16 bits
     * @param tcr as TCR_EL1 says it
     * @param ttbr0 where the table of low addresses is
     * @param ttbr1 where that of high ones is
     * @param mair what attributes of pages stand for
     */
    record Lpae(int asid, long tcr, long ttbr0, long ttbr1, long mair) implements TableShape {}

    /**
     * Context descriptors of SMMUv3 for all that an endpoint does.
     *
     * @param format S1FMT_ of {@code SmmuTables}
     * @param withoutPasid S1DSS_, of accesses without a PASID
     * @param contexts where they are
     * @param pasidBits of PASIDs that have one; 0: there is one, for no PASID
     */
    record Contexts(int format, int withoutPasid, long contexts, int pasidBits)
            implements TableShape {}
}
