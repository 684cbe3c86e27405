// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.spec.Amdv1Table;

/**
 * AMD's table for host translations (AMD I/O Virtualization Technology (IOMMU) Specification,
 * 2.2.3). Any thread.
 *
 * <p>Pages have any power of two: one that is no item of its level says its size in its address, as
 * a run of ones below a zero, and stands in each entry that it spans. The level of a table is in
 * the entry that leads to it, so levels may be left out, and the top can grow.
 */
public final class Amdv1Format extends PageTableFormat {
    private static final int TABLE_LG2 = 12;
    private static final int INDEX_LG2 = 9;

    /** Whether there is an entry, and what it leads to. */
    private static final long NEXT_LEVEL =
            Amdv1Table.PRESENT | (long) Amdv1Table.NEXT_LEVEL_MASK << Amdv1Table.NEXT_LEVEL_AT;

    // What lies below the address field in an address: less than there for a smaller page.
    private final int addressShift;
    private final boolean isCoherent;

    private Amdv1Format(
            String name,
            int pageLg2,
            int inputBits,
            int outputBits,
            int firstTop,
            int lastTop,
            boolean isCoherent) {
        super(name, pageLg2, TABLE_LG2, inputBits, outputBits, firstTop, lastTop, Half.LOWER);
        this.addressShift = Amdv1Table.ADDRESS_AT - pageLg2;
        this.isCoherent = isCoherent;
    }

    /**
     * Grows with what is mapped, up to all of 64 bits, from {@code levels}.
     *
     * @param isCoherent whether pages force accesses to be coherent
     */
    public static Amdv1Format growing(int levels, boolean isCoherent) {
        return new Amdv1Format(
                "amdv1",
                Amdv1Table.PAGE_LG2,
                Amdv1Table.INPUT_BITS,
                Amdv1Table.OUTPUT_BITS,
                levels - 1,
                Amdv1Table.LEVELS - 1,
                isCoherent);
    }

    /** As many levels as addresses of {@code bits} take, and no more. */
    public static Amdv1Format fixed(int bits, boolean isCoherent) {
        int top = Math.max(1, (bits - Amdv1Table.PAGE_LG2 - 1) / INDEX_LG2);
        return new Amdv1Format(
                "amdv1-" + bits,
                Amdv1Table.PAGE_LG2,
                bits,
                Amdv1Table.OUTPUT_BITS,
                top,
                top,
                isCoherent);
    }

    /** As many levels as a device table entry's mode says, 1 to 6. */
    public static Amdv1Format ofMode(int levels, boolean isCoherent) {
        int bits = Math.min(Amdv1Table.INPUT_BITS, Amdv1Table.PAGE_LG2 + levels * INDEX_LG2);
        return new Amdv1Format(
                "amdv1-mode-" + levels,
                Amdv1Table.PAGE_LG2,
                bits,
                Amdv1Table.OUTPUT_BITS,
                levels - 1,
                levels - 1,
                isCoherent);
    }

    /**
     * The form that the mock device of Linux's tests has: pages of 2 KiB, so that a page of the
     * IOMMU is none of the CPU. The address field holds addresses in units of that page.
     */
    public static Amdv1Format mock() {
        int pageLg2 = 11;
        int inputBits = pageLg2 + 5 * INDEX_LG2;
        return new Amdv1Format("amdv1-mock", pageLg2, inputBits, 51, 2, 4, false);
    }

    @Override
    public long pageSizes(int level) {
        if (level == Amdv1Table.LEVELS - 1) {
            return 0;
        }
        int item = itemLg2(level);
        int largest = Math.min(Amdv1Table.LARGEST_LG2, item + INDEX_LG2 - 1);
        return Bits.mask(largest + 1) & ~Bits.mask(item) & ~(1L << Amdv1Table.AVOIDED_LG2);
    }

    @Override
    public EntryKind kind(long entry, int level) {
        if ((entry & Amdv1Table.PRESENT) == 0) {
            return EntryKind.EMPTY;
        }
        return switch (nextLevel(entry)) {
            case Amdv1Table.NEXT_LEVEL_PAGE ->
                    level == Amdv1Table.LEVELS - 1 ? EntryKind.INVALID : EntryKind.LEAF;
            case Amdv1Table.NEXT_LEVEL_SIZED ->
                    isSizeOf(sizedLg2(entry), level) ? EntryKind.LEAF : EntryKind.INVALID;
            // Tables of level n hold entries that lead to tables of level n - 1 at most.
            default -> nextLevel(entry) <= level ? EntryKind.TABLE : EntryKind.INVALID;
        };
    }

    private boolean isSizeOf(int sizeLg2, int level) {
        int item = itemLg2(level);
        return level < Amdv1Table.LEVELS - 1
                && sizeLg2 > item
                && sizeLg2 < item + INDEX_LG2
                && sizeLg2 <= Amdv1Table.LARGEST_LG2;
    }

    private static int nextLevel(long entry) {
        return (int) (entry >>> Amdv1Table.NEXT_LEVEL_AT) & Amdv1Table.NEXT_LEVEL_MASK;
    }

    /** Size of a page by the run of ones at the low end of its address. */
    private int sizedLg2(long entry) {
        return pageLg2() + 1 + Long.numberOfTrailingZeros(~(entry >>> Amdv1Table.ADDRESS_AT));
    }

    @Override
    public long table(long entry, int level) {
        return (entry & Amdv1Table.ADDRESS_MASK) >>> addressShift;
    }

    @Override
    public int tableLevel(long entry, int level) {
        return nextLevel(entry) - 1;
    }

    @Override
    public int leafLg2(long entry, int level) {
        return nextLevel(entry) == Amdv1Table.NEXT_LEVEL_PAGE ? itemLg2(level) : sizedLg2(entry);
    }

    @Override
    public long output(long entry, int level) {
        return ((entry & Amdv1Table.ADDRESS_MASK) >>> addressShift)
                & ~Bits.mask(leafLg2(entry, level));
    }

    @Override
    public int rights(long entry, int level) {
        return Rights.EXECUTE
                | Rights.USER
                | ((entry & Amdv1Table.READ) == 0 ? 0 : Rights.READ)
                | ((entry & Amdv1Table.WRITE) == 0 ? 0 : Rights.WRITE);
    }

    @Override
    protected long addressBits() {
        return Amdv1Table.ADDRESS_MASK;
    }

    @Override
    protected long tableBits(int level) {
        return isPlain() ? NEXT_LEVEL | Amdv1Table.READ | Amdv1Table.WRITE | reserved() : 0;
    }

    @Override
    protected long pageBits(int level) {
        return isPlain() && level < Amdv1Table.LEVELS - 1 ? NEXT_LEVEL | reserved() : 0;
    }

    /** Whether addresses are in entries as they are. */
    private boolean isPlain() {
        return addressShift == 0;
    }

    private long reserved() {
        return Amdv1Table.ADDRESS_MASK & ~Bits.mask(outputBits());
    }

    @Override
    public long tableEntry(long address, int level) {
        return Amdv1Table.PRESENT
                | ((long) level << Amdv1Table.NEXT_LEVEL_AT)
                | (address << addressShift)
                | Amdv1Table.READ
                | Amdv1Table.WRITE;
    }

    @Override
    public long leafEntry(long output, int level, int sizeLg2, long attributes, int item) {
        long entry = Amdv1Table.PRESENT | (output << addressShift) | attributes;
        if (sizeLg2 == itemLg2(level)) {
            return entry;
        }
        long ones = Bits.mask(sizeLg2 - pageLg2() - 1);
        return entry
                | ((long) Amdv1Table.NEXT_LEVEL_SIZED << Amdv1Table.NEXT_LEVEL_AT)
                | (ones << Amdv1Table.ADDRESS_AT);
    }

    @Override
    public long attributes(int rights) {
        return (isCoherent ? Amdv1Table.FORCE_COHERENT : 0)
                | ((rights & Rights.READ) == 0 ? 0 : Amdv1Table.READ)
                | ((rights & Rights.WRITE) == 0 ? 0 : Amdv1Table.WRITE);
    }

    @Override
    public long attributesOf(long entry, int level) {
        return entry & (Amdv1Table.FORCE_COHERENT | Amdv1Table.READ | Amdv1Table.WRITE);
    }

    @Override
    public long marked(long entry, EntryKind kind, boolean isWrite) {
        return kind == EntryKind.LEAF && isWrite ? entry | Amdv1Table.DIRTY : entry;
    }

    @Override
    public boolean tracksDirty() {
        return true;
    }

    @Override
    public boolean isDirty(long entry) {
        return (entry & Amdv1Table.DIRTY) != 0;
    }

    @Override
    public long clean(long entry) {
        return entry & ~Amdv1Table.DIRTY;
    }
}
