// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;

/**
 * What the table of x86-64 and the second stage of VT-d have in common: tables of 512 entries, and
 * a bit that makes an entry above the lowest level a page of as much as the entry covers. Bits of
 * an address that the output does not have, or that a page's size leaves no room for, are reserved.
 * Any thread.
 */
abstract class PageSizeBitFormat extends PageTableFormat {
    static final int INDEX_LG2 = 9;

    private static final int TABLE_LG2 = 12;

    private final Layout layout;

    /**
     * Where the bits are.
     *
     * @param addressMask the address of a table or page
     * @param pageSize the bit of a page above the lowest level
     * @param freeInPages bits of the address field that mean something else in such a page
     * @param dirty the bit of a page that was written
     * @param largestPageLevel last level that has pages
     */
    record Layout(
            int pageLg2,
            long addressMask,
            long pageSize,
            long freeInPages,
            long dirty,
            int largestPageLevel) {}

    PageSizeBitFormat(String name, Layout layout, int bits, int outputBits, int top, Half half) {
        super(name, layout.pageLg2, TABLE_LG2, bits, outputBits, top, top, half);
        this.layout = layout;
    }

    abstract boolean isPresent(long entry);

    @Override
    public final long pageSizes(int level) {
        return level <= layout.largestPageLevel ? 1L << itemLg2(level) : 0;
    }

    @Override
    public final EntryKind kind(long entry, int level) {
        if (!isPresent(entry)) {
            return EntryKind.EMPTY;
        }
        boolean isLarge = level > 0 && (entry & layout.pageSize) != 0;
        if (isLarge && level > layout.largestPageLevel) {
            return EntryKind.INVALID;
        }
        long reserved = ~Bits.mask(outputBits());
        if (isLarge) {
            reserved |= Bits.mask(itemLg2(level)) & ~layout.freeInPages;
        }
        if ((entry & layout.addressMask & reserved) != 0) {
            return EntryKind.INVALID;
        }
        return isLarge || level == 0 ? EntryKind.LEAF : EntryKind.TABLE;
    }

    @Override
    public final long table(long entry, int level) {
        return entry & layout.addressMask;
    }

    @Override
    public final int leafLg2(long entry, int level) {
        return itemLg2(level);
    }

    @Override
    public final long output(long entry, int level) {
        return entry & layout.addressMask & ~Bits.mask(itemLg2(level));
    }

    @Override
    public final boolean isDirty(long entry) {
        return (entry & layout.dirty) != 0;
    }

    @Override
    public final long clean(long entry) {
        return entry & ~layout.dirty;
    }
}
