// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.ioasis.spec.VirtioIommu.PROPERTY_HEAD_SIZE;
import static org.ioasis.spec.VirtioIommuTables.*;
import static org.ioasis.virtio.iommu.Wire.LE16;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.TableDomain;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.X86Table;
import org.jspecify.annotations.Nullable;

/**
 * What PROBE tells of tables that an endpoint can have (drafts of 2018 to 2023). Immutable; any
 * thread.
 */
enum TableProperties {
    /** We walk them. */
    OURS(PASID_BITS, ECAP_FLTS | ECAP_EAFS | ECAP_PASID | ECAP_PRS),

    /** Somebody who listens has them walked, and hears of no PASIDs and of no page requests. */
    OTHERS(0, ECAP_FLTS | ECAP_EAFS),

    /** We walk them, and they are ARM's. */
    ARM(PASID_BITS, 0);

    private static final int COMMON_SIZE = PAGE_SIZE_MASK_SIZE + INPUT_RANGE_SIZE + 2 * BITS_SIZE;

    /** Pages of 4 KiB, 2 MiB and 1 GiB. */
    private static final long X86_PAGE_SIZES = 1L << 12 | 1L << 21 | 1L << 30;

    /** Of granules of 4 KiB, of 16 KiB and of 64 KiB: pages, and blocks. */
    private static final long ARM_PAGE_SIZES =
            X86_PAGE_SIZES | 1L << 14 | 1L << 25 | 1L << 16 | 1L << 29;

    private static final long CAP = CAP_FL1GP | CAP_FL5LP;

    private final int pasidBits;
    private final long ecap;

    TableProperties(int pasidBits, long ecap) {
        this.pasidBits = pasidBits;
        this.ecap = ecap;
    }

    /** Null: an endpoint that can have no tables. */
    static @Nullable TableProperties of(Profile profile, Endpoint endpoint) {
        if (!TableDomain.fits(endpoint)) {
            return null;
        }
        boolean isOurs = TableDomain.isWalkedHere(endpoint);
        return switch (profile) {
            case TABLES_2023 -> isOurs ? OURS : OTHERS;
            // Who listens knows one kind of tables, and those are not ARM's.
            case TABLES_2021 -> isOurs ? ARM : null;
        };
    }

    /** Bytes of all of them. */
    int size() {
        return COMMON_SIZE + (this == ARM ? 2 * ARM_TABLE_FORMAT_SIZE : TABLE_FORMAT_SIZE);
    }

    /** Writes them over zeroes. */
    void write(MemorySegment list, long from) {
        boolean isArm = this == ARM;
        long at = from;
        head(list, at, PROBE_T_PAGE_SIZE_MASK, PAGE_SIZE_MASK_SIZE);
        list.set(LE64, at + PAGE_SIZE_MASK_MASK, isArm ? ARM_PAGE_SIZES : X86_PAGE_SIZES);
        at += PAGE_SIZE_MASK_SIZE;
        head(list, at, PROBE_T_INPUT_RANGE, INPUT_RANGE_SIZE);
        list.set(LE64, at + INPUT_RANGE_END, -1L);
        at += INPUT_RANGE_SIZE;
        head(list, at, PROBE_T_OUTPUT_SIZE, BITS_SIZE);
        int outputBits = isArm ? ArmTable.ADDRESS_BITS : X86Table.OUTPUT_BITS;
        list.set(JAVA_BYTE, at + BITS_BITS, (byte) outputBits);
        at += BITS_SIZE;
        head(list, at, PROBE_T_PASID_SIZE, BITS_SIZE);
        list.set(JAVA_BYTE, at + BITS_BITS, (byte) pasidBits);
        at += BITS_SIZE;
        if (isArm) {
            head(list, at, PROBE_T_TABLE_FORMAT, ARM_TABLE_FORMAT_SIZE);
            list.set(LE16, at + TABLE_FORMAT_FORMAT, (short) FORMAT_ARM_LPAE);
            at += ARM_TABLE_FORMAT_SIZE;
            head(list, at, PROBE_T_PASID_TABLE_FORMAT, ARM_TABLE_FORMAT_SIZE);
            list.set(LE16, at + TABLE_FORMAT_FORMAT, (short) FORMAT_ARM_SMMUV3);
        } else {
            head(list, at, PROBE_T_TABLE_FORMAT, TABLE_FORMAT_SIZE);
            list.set(LE16, at + TABLE_FORMAT_FORMAT, (short) FORMAT_VTD_FIRST_LEVEL);
            list.set(LE64, at + TABLE_FORMAT_CAP, CAP);
            list.set(LE64, at + TABLE_FORMAT_ECAP, ecap);
        }
    }

    private static void head(MemorySegment list, long at, int type, int size) {
        list.set(LE16, at, (short) type);
        list.set(LE16, at + 2, (short) (size - PROPERTY_HEAD_SIZE));
    }
}
