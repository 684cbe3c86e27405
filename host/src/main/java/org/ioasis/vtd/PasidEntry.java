// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.spec.VtdTables;
import org.jspecify.annotations.Nullable;

/** A PASID table entry (VT-d, 9.6), by the words that say something. Immutable; any thread. */
public record PasidEntry(long word0, long word1, long word2) {
    private static final int BITS_4_LEVELS = 48;
    private static final int BITS_5_LEVELS = 57;
    private static final int BITS_3_LEVELS = 39;
    private static final int LEVEL_LG2 = 9;

    public boolean isPresent() {
        return (word0 & VtdTables.PRESENT) != 0;
    }

    /** PGTT: first, second, nested or pass-through; others are reserved. */
    public int type() {
        return (int) (word0 >>> VtdTables.PASID_TYPE_AT & VtdTables.PASID_TYPE_MASK);
    }

    public boolean hasFirst() {
        return type() == VtdTables.TYPE_FIRST || type() == VtdTables.TYPE_NESTED;
    }

    public boolean hasSecond() {
        return type() == VtdTables.TYPE_SECOND || type() == VtdTables.TYPE_NESTED;
    }

    public int domain() {
        return (int) (word1 & VtdTables.PASID_DOMAIN);
    }

    /** SRE: privileged requests are let in. */
    public boolean admitsSupervisor() {
        return (word2 & VtdTables.PASID_SUPERVISOR) != 0;
    }

    /** True if the type is one that there is. */
    boolean isTypeKnown() {
        return type() >= VtdTables.TYPE_FIRST && type() <= VtdTables.TYPE_PASS;
    }

    /**
     * The first stage; null if it has as many levels as none has, or begins beyond all addresses.
     *
     * @param outputBits of addresses behind it
     */
    @Nullable Stage first(int outputBits, boolean isPrivileged) {
        int levels = (int) (word2 >>> VtdTables.PASID_LEVELS_AT & VtdTables.PASID_LEVELS_MASK);
        long table = word2 & VtdTables.ADDRESS;
        if (levels > 1 || !Bits.fits(table, outputBits)) {
            return null;
        }
        boolean ignoresProtection = isPrivileged && (word2 & VtdTables.PASID_WRITE_PROTECT) == 0;
        boolean isExtended = (word2 & VtdTables.PASID_EXTENDED_ACCESSED) != 0;
        int traits =
                (ignoresProtection ? X86Format.IGNORES_WRITE_PROTECTION : 0)
                        | (isExtended ? X86Format.MARKS_EXTENDED : 0);
        int bits = levels == 0 ? BITS_4_LEVELS : BITS_5_LEVELS;
        PageTableFormat format = new X86Format(bits, true, outputBits, traits);
        long root = Root.of(table, format.firstTop());
        // Accessed and dirty bits of the first stage are always kept (3.6.2).
        return new Stage(format, root, true, isPrivileged ? 0 : Rights.USER);
    }

    /** The second stage; null as for the first. */
    @Nullable Stage second(int outputBits) {
        int width = (int) (word0 >>> VtdTables.PASID_WIDTH_AT & VtdTables.PASID_WIDTH_MASK);
        boolean marks = (word0 & VtdTables.PASID_SECOND_MARKS) != 0;
        return second(word0 & VtdTables.ADDRESS, width, outputBits, marks);
    }

    /** A second stage by an address and AW; null if there is none such. */
    static @Nullable Stage second(long table, int width, int outputBits, boolean marks) {
        if (width < VtdTables.WIDTH_39
                || width > VtdTables.WIDTH_57
                || !Bits.fits(table, outputBits)) {
            return null;
        }
        int bits = BITS_3_LEVELS + LEVEL_LG2 * (width - VtdTables.WIDTH_39);
        PageTableFormat format = new VtdSecondStageFormat(bits, outputBits, false);
        return new Stage(format, Root.of(table, format.firstTop()), marks, 0);
    }
}
