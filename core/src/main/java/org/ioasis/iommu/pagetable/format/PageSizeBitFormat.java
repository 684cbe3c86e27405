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

    /** Bits of an entry that is present, as there are in all that are made. */
    abstract long present();

    /** Bits of an entry of a table that can forbid something. */
    abstract long forbidding();

    @Override
    protected final long addressBits() {
        return layout.addressMask;
    }

    @Override
    protected final long tableBits(int level) {
        return present() | forbidding() | layout.pageSize | reserved(level, false);
    }

    @Override
    protected final long pageBits(int level) {
        if (level > layout.largestPageLevel) {
            return 0;
        }
        return present() | (level > 0 ? layout.pageSize : 0) | reserved(level, level > 0);
    }

    /** Bits of the address field that are 0. */
    private long reserved(int level, boolean isLarge) {
        long reserved = ~Bits.mask(outputBits());
        if (isLarge) {
            reserved |= Bits.mask(itemLg2(level)) & ~layout.freeInPages;
        }
        return layout.addressMask & reserved;
    }

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
        if ((entry & reserved(level, isLarge)) != 0) {
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
