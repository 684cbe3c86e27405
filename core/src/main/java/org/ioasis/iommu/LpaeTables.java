// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.iotlb.HalvesTranslation;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.iotlb.WalkedTranslation;
import org.ioasis.iommu.mapping.Blocked;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.smmuv3.Granule;
import org.ioasis.memory.GuestMemory;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.SmmuTables;
import org.jspecify.annotations.Nullable;

/**
 * ARM's 64-bit tables of stage 1 that their driver owns, one for low addresses and one for high
 * ones, as registers of the processor say them (Arm Architecture Reference Manual for A-profile,
 * D19.2). Immutable; any thread.
 *
 * @param asid 16 bits
 * @param tcr TCR_EL1: sizes, granules, and which of the two there is
 * @param ttbr0 the address of the table of low addresses, guest-physical, and nothing else
 * @param ttbr1 the same of high ones
 * @param mair what attributes of pages stand for, which says nothing of where they lead
 */
public record LpaeTables(int asid, long tcr, long ttbr0, long ttbr1, long mair)
        implements HandedTable {
    private static final int ENTRY_LG2 = 3;

    @Override
    public boolean isPossible() {
        return (tcr & ~ArmTable.TCR_KNOWN) == 0 && isPossible(lower()) && isPossible(upper());
    }

    private static boolean isPossible(Registers half) {
        return half.isDisabled || half.stage() != null;
    }

    @Override
    public boolean hasContexts() {
        return false;
    }

    /** Bits of an address of the lower half. */
    public int width() {
        return Long.SIZE - (int) (tcr & ArmTable.TCR_T0SZ);
    }

    @Override
    public Translation translation(int tag, GuestMemory memory, Iotlb cached) {
        return new HalvesTranslation(
                walked(lower(), tag, memory, cached), walked(upper(), tag, memory, cached));
    }

    private Translation walked(Registers half, int tag, GuestMemory memory, Iotlb cached) {
        Stage stage = half.isDisabled ? null : half.stage();
        return stage == null
                ? Blocked.BLOCKED
                : WalkedTranslation.of(
                        new AddressSpace(stage, null, tag, asid, Rights.ALL), memory, cached);
    }

    private Registers lower() {
        int granule = (int) (tcr >>> ArmTable.TCR_TG0_AT & SmmuTables.TG_MASK);
        return new Registers(
                Half.LOWER,
                ttbr0,
                (tcr & ArmTable.TCR_EPD0) != 0,
                (int) (tcr & ArmTable.TCR_T0SZ),
                Granule.lg2(granule),
                (tcr & ArmTable.TCR_TBI0) != 0);
    }

    private Registers upper() {
        return new Registers(
                Half.UPPER,
                ttbr1,
                (tcr & ArmTable.TCR_EPD1) != 0,
                (int) (tcr >>> ArmTable.TCR_T1SZ_AT & ArmTable.TCR_T0SZ),
                upperGranuleLg2((int) (tcr >>> ArmTable.TCR_TG1_AT & SmmuTables.TG_MASK)),
                (tcr & ArmTable.TCR_TBI1) != 0);
    }

    private static int upperGranuleLg2(int bits) {
        return switch (bits) {
            case ArmTable.TG1_4K -> Granule.LG2_4K;
            case ArmTable.TG1_16K -> Granule.LG2_16K;
            case ArmTable.TG1_64K -> Granule.LG2_64K;
            default -> Granule.NONE;
        };
    }

    /** What the registers say of one half. */
    private final class Registers {
        private final Half half;
        private final long table;
        private final boolean isDisabled;
        private final int size;
        private final int granuleLg2;
        private final boolean ignoresTopByte;

        Registers(
                Half half,
                long table,
                boolean isDisabled,
                int size,
                int granuleLg2,
                boolean ignoresTopByte) {
            this.half = half;
            this.table = table;
            this.isDisabled = isDisabled;
            this.size = size;
            this.granuleLg2 = granuleLg2;
            this.ignoresTopByte = ignoresTopByte;
        }

        /** Null if none can be so. Requests of devices are a user's. */
        @Nullable Stage stage() {
            if (granuleLg2 == Granule.NONE
                    || size < SmmuTables.TSZ_MIN
                    || size > SmmuTables.TSZ_MAX) {
                return null;
            }
            int ips = (int) (tcr >>> ArmTable.TCR_IPS_AT & ArmTable.TCR_IPS_MASK);
            int output = Granule.outputBits(ips, ArmTable.ADDRESS_BITS);
            boolean marks = (tcr & ArmTable.TCR_HA) != 0;
            int traits =
                    (marks && (tcr & ArmTable.TCR_HD) != 0 ? ArmFormat.MARKS_DIRTY : 0)
                            | (ignoresTopByte ? ArmFormat.IGNORES_TOP_BYTE : 0);
            ArmFormat format = ArmFormat.stage1(granuleLg2, Long.SIZE - size, output, half, traits);
            int level = format.firstTop();
            // A top table of few entries is aligned to its own size.
            int alignedLg2 = format.reachLg2(level) - format.itemLg2(level) + ENTRY_LG2;
            return Bits.fits(table, output) && (table & Bits.mask(alignedLg2)) == 0
                    ? new Stage(format, Root.of(table, level), marks, Rights.USER)
                    : null;
        }
    }
}
