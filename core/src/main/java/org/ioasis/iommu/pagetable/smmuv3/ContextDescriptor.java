// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.smmuv3;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.spec.SmmuTables;
import org.jspecify.annotations.Nullable;

/**
 * A context descriptor (SMMUv3, 5.4), by its words. Only the table of low addresses (TTB0) is
 * walked: what lies above is refused as if EPD1 said so. Immutable; any thread.
 */
public record ContextDescriptor(long word0, long word1) {

    public boolean isValid() {
        return (word0 & SmmuTables.CD_VALID) != 0;
    }

    public int asid() {
        return (int) (word0 >>> SmmuTables.CD_ASID_AT);
    }

    /** True if a walk of the table is a translation fault at once (EPD0). */
    boolean isDisabled() {
        return (word0 & SmmuTables.CD_EPD0) != 0;
    }

    /**
     * Stage 1; null if the descriptor is none that there is.
     *
     * @param outputBits of addresses behind it
     */
    @Nullable Stage stage1(int outputBits) {
        int granuleLg2 = Granule.lg2((int) (word0 >>> SmmuTables.CD_TG0_AT & SmmuTables.TG_MASK));
        int size = (int) (word0 & SmmuTables.CD_T0SZ);
        boolean isKnown =
                isValid()
                        && (word0 & SmmuTables.CD_AA64) != 0
                        && (word0 & SmmuTables.CD_ENDI) == 0
                        && granuleLg2 != Granule.NONE
                        && size >= SmmuTables.TSZ_MIN
                        && size <= SmmuTables.TSZ_MAX;
        if (!isKnown) {
            return null;
        }
        int output =
                Granule.outputBits(
                        (int) (word0 >>> SmmuTables.CD_IPS_AT & SmmuTables.CD_IPS_MASK),
                        outputBits);
        boolean marks = (word0 & SmmuTables.CD_HA) != 0;
        int traits =
                (marks && (word0 & SmmuTables.CD_HD) != 0 ? ArmFormat.MARKS_DIRTY : 0)
                        | ((word0 & SmmuTables.CD_AFFD) != 0 ? ArmFormat.IGNORES_ACCESS_FLAG : 0)
                        | ((word0 & SmmuTables.CD_TBI0) != 0 ? ArmFormat.IGNORES_TOP_BYTE : 0);
        int bits = Long.SIZE - size;
        ArmFormat format = ArmFormat.stage1(granuleLg2, bits, output, Half.LOWER, traits);
        long table = word1 & SmmuTables.CD_TTB0;
        if (!Bits.fits(table, output)) {
            return null;
        }
        int level = format.firstTop();
        // A top table of few entries is aligned to its own size and no more.
        int alignedLg2 = format.reachLg2(level) - format.itemLg2(level) + 3;
        return new Stage(format, Root.of(table & -(1L << alignedLg2), level), marks, 0);
    }
}
