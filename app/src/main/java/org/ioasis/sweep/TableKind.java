// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.Arrays;
import java.util.stream.Collectors;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.spec.ArmTable;
import org.ioasis.spec.X86Table;

/** The page tables that a design can have. */
public enum TableKind {
    /** Four levels of what the processor has too, as VT-d's first stage walks them. */
    X86_64("x86-64"),
    /** Stage 1 of SMMUv3, with the granule as its own. */
    ARM64("arm64"),
    /** AMD's, three levels at first, with pages of any power of two. */
    AMD("amd");

    private static final int ADDRESS_BITS = 48;

    /** Tables of 16 KiB have a whole top one with so many. */
    private static final int ADDRESS_BITS_16K = 47;

    private static final int GRANULE_16K_LG2 = 14;

    private final String text;

    TableKind(String text) {
        this.text = text;
    }

    /**
     * @throws IllegalArgumentException with what it can be
     */
    public static TableKind of(String text) {
        for (TableKind kind : values()) {
            if (kind.text.equals(text)) {
                return kind;
            }
        }
        throw new IllegalArgumentException(
                "%s, not %s"
                        .formatted(
                                Arrays.stream(values())
                                        .map(TableKind::toString)
                                        .collect(Collectors.joining(", ")),
                                text));
    }

    /**
     * Only {@link #ARM64} has pages as large as the granule for smallest; the others have as many
     * small ones in a row, or one of a larger size.
     */
    PageTableFormat format(int granuleLg2) {
        return switch (this) {
            case X86_64 -> new X86Format(ADDRESS_BITS, true, X86Table.OUTPUT_BITS);
            case ARM64 ->
                    ArmFormat.stage1(
                            granuleLg2,
                            granuleLg2 == GRANULE_16K_LG2 ? ADDRESS_BITS_16K : ADDRESS_BITS,
                            ArmTable.ADDRESS_BITS,
                            Half.LOWER);
            case AMD -> Amdv1Format.growing(3, false);
        };
    }

    @Override
    public String toString() {
        return text;
    }
}
