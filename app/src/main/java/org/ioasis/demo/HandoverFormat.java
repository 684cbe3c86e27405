// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static org.ioasis.spec.SmmuTables.CD_AA64;
import static org.ioasis.spec.SmmuTables.CD_ASID_AT;
import static org.ioasis.spec.SmmuTables.CD_EPD1;
import static org.ioasis.spec.SmmuTables.CD_IPS_AT;
import static org.ioasis.spec.SmmuTables.CD_LG2;
import static org.ioasis.spec.SmmuTables.CD_VALID;
import static org.ioasis.spec.SmmuTables.S1DSS_TERMINATE;
import static org.ioasis.spec.SmmuTables.S1FMT_LINEAR;

import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.X86Table;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtio.iommu.driver.DriverTable;
import org.ioasis.virtio.iommu.driver.DriverTables;
import org.ioasis.virtio.iommu.driver.TableShape;

/**
 * In which format the page table of a process is handed over. All of them have four levels of 4 KiB
 * and addresses of 48 bits. Any thread.
 */
public enum HandoverFormat {
    /** A first level of VT-d, for a PASID. */
    VTD(Profile.TABLES_2023, X86Table.PRESENT | X86Table.WRITE | X86Table.USER),

    /** ARM's 64-bit tables, for what a device does without a PASID. */
    LPAE(Profile.TABLES_2021, HandoverFormat.ARM_ENTRY),

    /** The same behind context descriptors of SMMUv3, one of which is a PASID's. */
    SMMUV3(Profile.TABLES_2021, HandoverFormat.ARM_ENTRY);

    private static final long ARM_ENTRY =
            ArmTable.TABLE_OR_PAGE
                    | ArmTable.ACCESSED
                    | ArmTable.AP_UNPRIVILEGED
                    | ArmTable.NOT_GLOBAL;
    private static final int WIDTH = 48;
    private static final int UNUSED = Long.SIZE - WIDTH;
    private static final int BITS_48 = 5;
    private static final int PASID_BITS = 3;
    private static final int ASID = 7;
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Profile profile;
    private final long entry;

    HandoverFormat(Profile profile, long entry) {
        this.profile = profile;
        this.entry = entry;
    }

    Profile profile() {
        return profile;
    }

    /** An entry that leads to a table, or to a page that all is allowed to. */
    long entry(long address) {
        return address | entry;
    }

    /** Where an entry leads. */
    static long address(long entry) {
        return entry & X86Table.ADDRESS_MASK;
    }

    /** True if the process's PASID is a device's, and not all that it does. */
    boolean hasPasid() {
        return this != LPAE;
    }

    /**
     * Makes a table of the driver's own of that of a process.
     *
     * @param root its top table
     * @param pasid below 8, whose context is written where there are contexts
     */
    DriverTable table(DemoMemory memory, DriverTables tables, long root, int pasid)
            throws DriverException {
        return switch (this) {
            case VTD -> tables.table(root, WIDTH);
            case LPAE -> {
                long tcr = UNUSED | ArmTable.TCR_EPD1 | (long) BITS_48 << ArmTable.TCR_IPS_AT;
                yield tables.table(new TableShape.Lpae(ASID, tcr, root, 0, 0));
            }
            case SMMUV3 -> {
                long contexts = memory.zeroed();
                long at = contexts + ((long) pasid << CD_LG2);
                memory.bytes().set(LE64, at + Long.BYTES, root);
                memory.bytes()
                        .set(
                                LE64,
                                at,
                                UNUSED
                                        | CD_EPD1
                                        | CD_VALID
                                        | CD_AA64
                                        | (long) BITS_48 << CD_IPS_AT
                                        | (long) ASID << CD_ASID_AT);
                yield tables.table(
                        new TableShape.Contexts(
                                S1FMT_LINEAR, S1DSS_TERMINATE, contexts, PASID_BITS));
            }
        };
    }

    /** A process goes by the table from now on. */
    void attach(DriverTables tables, DriverTable table, int endpoint, int pasid)
            throws DriverException {
        if (this == VTD) {
            tables.attach(table, endpoint, pasid);
        } else {
            tables.attach(table, endpoint);
        }
    }

    /** Says that a page is not what it was. */
    void invalidate(DriverTables tables, DriverTable table, long first, long last)
            throws DriverException {
        if (this == VTD) {
            tables.invalidate(table, first, last);
        } else {
            tables.invalidate(table, ASID, first, last);
        }
    }
}
