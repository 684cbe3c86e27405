// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.smmuv3;

import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.SmmuTables;
import org.jspecify.annotations.Nullable;

/**
 * A stream table entry (SMMUv3, 5.2), by its words: as the table has it, or as a VMM hands the
 * first two over. Immutable; any thread.
 */
public record StreamEntry(long word0, long word1, long word2, long word3) {

    public boolean isValid() {
        return (word0 & SmmuTables.STE_VALID) != 0;
    }

    /** Abort, bypass, or from {@code SmmuTables.CONFIG_BYPASS} on a bit for each stage. */
    public int config() {
        return (int) (word0 >>> SmmuTables.STE_CONFIG_AT & SmmuTables.STE_CONFIG_MASK);
    }

    public boolean hasStage1() {
        return config() >= SmmuTables.CONFIG_BYPASS && (config() & SmmuTables.CONFIG_STAGE1) != 0;
    }

    public boolean hasStage2() {
        return config() >= SmmuTables.CONFIG_BYPASS && (config() & SmmuTables.CONFIG_STAGE2) != 0;
    }

    /** Linear, or with second levels of one of two sizes. */
    public int contextFormat() {
        return (int) (word0 >>> SmmuTables.STE_S1FMT_AT & SmmuTables.STE_S1FMT_MASK);
    }

    /** Context descriptors, behind stage 2 if there is one. */
    public long contexts() {
        return word0 & SmmuTables.STE_S1CONTEXTPTR;
    }

    /** Substreams, as a power of two; 0: there is only the stream. */
    public int contextsLg2() {
        return (int) (word0 >>> SmmuTables.STE_S1CDMAX_AT & SmmuTables.STE_S1CDMAX_MASK);
    }

    /** What becomes of requests without a substream where there are several. */
    public int withoutSubstream() {
        return (int) (word1 & SmmuTables.STE_S1DSS_MASK);
    }

    public int vmid() {
        return (int) (word2 & SmmuTables.STE_S2VMID);
    }

    /** True if it says nothing that an entry may not say, given what is reserved (5.2). */
    public boolean isLegal() {
        if (!isValid()
                || (config() != SmmuTables.CONFIG_ABORT && config() < SmmuTables.CONFIG_BYPASS)) {
            return false;
        }
        if (hasStage1() && contextsLg2() != 0) {
            boolean isKnown =
                    contextFormat() <= SmmuTables.S1FMT_64K
                            && withoutSubstream() <= SmmuTables.S1DSS_SUBSTREAM0;
            return isKnown && contextsLg2() <= SmmuTables.SUBSTREAM_ID_BITS;
        }
        return true;
    }

    /**
     * Stage 2; null if the entry's control of it is none that there is.
     *
     * @param outputBits of the SMMU
     */
    @Nullable Stage stage2(int outputBits) {
        long control = word2 >>> SmmuTables.STE_VTCR_AT;
        int granuleLg2 =
                Granule.lg2((int) (control >>> SmmuTables.VTCR_TG_AT & SmmuTables.TG_MASK));
        int bits = Long.SIZE - (int) (control & SmmuTables.VTCR_T0SZ);
        int level =
                top(granuleLg2, (int) (control >>> SmmuTables.VTCR_SL0_AT & SmmuTables.TG_MASK));
        boolean isKnown =
                (word2 & SmmuTables.STE_S2AA64) != 0
                        && (word2 & SmmuTables.STE_S2ENDI) == 0
                        && granuleLg2 != Granule.NONE
                        && bits <= ArmTable.ADDRESS_BITS;
        if (!isKnown || !ArmFormat.canBegin(granuleLg2, bits, level)) {
            return null;
        }
        int output =
                Granule.outputBits(
                        (int) (control >>> SmmuTables.VTCR_PS_AT & SmmuTables.VTCR_PS_MASK),
                        outputBits);
        boolean marks = (word2 & SmmuTables.STE_S2HA) != 0;
        int traits =
                (marks && (word2 & SmmuTables.STE_S2HD) != 0 ? ArmFormat.MARKS_DIRTY : 0)
                        | ((word2 & SmmuTables.STE_S2AFFD) != 0
                                ? ArmFormat.IGNORES_ACCESS_FLAG
                                : 0);
        ArmFormat format = ArmFormat.stage2(granuleLg2, bits, output, level, traits);
        long table = word3 & SmmuTables.STE_S2TTB & -(1L << format.topLg2(level));
        return new Stage(format, Root.of(table, level), marks, 0);
    }

    /** The level of the top tables, 0 the lowest, by SL0 (VTCR_EL2 of the architecture). */
    private static int top(int granuleLg2, int startLevel) {
        // With 4 KiB the numbers begin one level higher, and the last of them is the lowest level.
        if (granuleLg2 == Granule.LG2_4K) {
            return startLevel == 3 ? 0 : startLevel + 1;
        }
        return startLevel;
    }
}
