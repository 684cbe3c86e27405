// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommuTables.*;

import org.ioasis.iommu.HandedTable;
import org.ioasis.iommu.LpaeTables;
import org.ioasis.iommu.SmmuContexts;
import org.ioasis.iommu.VtdTable;
import org.jspecify.annotations.Nullable;

/**
 * How an ATTACH_TABLE says what is handed over: the drafts put different things into the same
 * bytes, and so the {@link Profile} comes first. Any thread.
 */
enum TableForm {
    /** A first level of VT-d (2023). */
    VTD,
    /** ARM's 64-bit tables of one space (2018 to 2021). */
    LPAE,
    /** Context descriptors of SMMUv3 (2018 to 2021). */
    SMMUV3;

    private static final int SHORT = 0xffff;

    /** Null: a format that the profile does not have. */
    static @Nullable TableForm of(Profile profile, RequestSlot slot) {
        return switch (profile) {
            case TABLES_2023 ->
                    (slot.le32(ATTACH_FORMAT) & SHORT) == FORMAT_VTD_FIRST_LEVEL ? VTD : null;
            case TABLES_2021 ->
                    switch (slot.le32(ARM_FORMAT) & SHORT) {
                        case FORMAT_ARM_LPAE -> LPAE;
                        case FORMAT_ARM_SMMUV3 -> SMMUV3;
                        default -> null;
                    };
        };
    }

    /** True if what is reserved in all formats of a profile is zero. */
    static boolean hasZeroes(Profile profile, RequestSlot slot) {
        return switch (profile) {
            case TABLES_2023 ->
                    slot.le32(ATTACH_FORMAT) >>> Short.SIZE == 0
                            && slot.isZero(ATTACH_RESERVED, ATTACH_TAIL);
            case TABLES_2021 -> slot.isZero(ARM_RESERVED, ATTACH_TAIL);
        };
    }

    /** Flags that are none: the drafts for ARM have no flags at all. */
    static int unknownFlags(RequestSlot slot) {
        return slot.profile == Profile.TABLES_2023
                ? slot.le32(ATTACH_FLAGS) & ~ATTACH_HAS_PASID
                : 0;
    }

    /** True if what is reserved in this format is zero. */
    boolean hasOwnZeroes(RequestSlot slot) {
        return this != SMMUV3 || slot.isZero(ARM_CONTEXTS_RESERVED, ARM_RESERVED);
    }

    /** True if it names a PASID. */
    boolean hasPasid(RequestSlot slot) {
        return this == VTD && (slot.le32(ATTACH_FLAGS) & ATTACH_HAS_PASID) != 0;
    }

    /** Which one, if it does. */
    int pasid(RequestSlot slot) {
        return slot.le32(ATTACH_PASID);
    }

    HandedTable table(RequestSlot slot) {
        return switch (this) {
            case VTD -> new VtdTable(root(slot), slot.le64(ATTACH_TABLE_FLAGS), width(slot));
            case LPAE -> lpae(slot);
            case SMMUV3 ->
                    new SmmuContexts(
                            slot.u8(ARM_S1FMT),
                            slot.u8(ARM_S1DSS),
                            root(slot),
                            slot.le64(ARM_S1CDMAX));
        };
    }

    private static LpaeTables lpae(RequestSlot slot) {
        return new LpaeTables(
                slot.le32(ARM_ASID) & SHORT,
                slot.le64(ARM_TCR),
                slot.le64(ARM_TTBR0),
                slot.le64(ARM_TTBR1),
                slot.le64(ARM_MAIR));
    }

    /** The first address that the request has, for who watches. */
    long root(RequestSlot slot) {
        return slot.le64(
                switch (this) {
                    case VTD -> ATTACH_ROOT;
                    case LPAE -> ARM_TTBR0;
                    case SMMUV3 -> ARM_S1CONTEXTPTR;
                });
    }

    /** Bits of an address of the table, or of a PASID that has one. */
    int width(RequestSlot slot) {
        return switch (this) {
            case VTD -> slot.le32(ATTACH_WIDTH);
            case LPAE -> lpae(slot).width();
            case SMMUV3 -> (int) slot.le64(ARM_S1CDMAX);
        };
    }
}
