// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.spec.SpaprTce;

/**
 * The table of a DMA window on POWER (LoPAPR 14.5.4): translation control entries of one size of
 * page, in one level or several whose tables have all the same size. Any thread.
 *
 * <p>Addresses here begin with the window. An entry that leads to a table looks like one that is a
 * page: only its level tells them apart. Hardware reads them big-endian; in which order they lie is
 * a matter of the memory that they are in.
 */
public final class TceFormat extends PageTableFormat {
    private static final int ENTRY_LG2 = 3;
    private static final int TABLE_LG2_MIN = 12;

    /** The largest table, and with one level the largest window: 262,144 entries. */
    private static final int TABLE_LG2_MAX = 21;

    private TceFormat(String name, int pageLg2, int tableLg2, int sizeLg2, int top) {
        super(name, pageLg2, tableLg2, sizeLg2, SpaprTce.OUTPUT_BITS, top, top, Half.LOWER);
    }

    /** Whether there is a table for such a window; the arguments can be anything. */
    public static boolean admits(int pageLg2, int sizeLg2, int levels) {
        return pageLg2 >= SpaprTce.PAGE_LG2
                && pageLg2 <= SpaprTce.PAGE_LG2_MAX
                && sizeLg2 > pageLg2
                && sizeLg2 < Long.SIZE
                && levels >= 1
                && levels <= SpaprTce.LEVELS_MAX
                && tableLg2(sizeLg2 - pageLg2, levels) <= TABLE_LG2_MAX;
    }

    /** Bytes of each table, when so many levels share the bits of an index. */
    private static int tableLg2(int indexLg2, int levels) {
        return Math.max(TABLE_LG2_MIN, (indexLg2 + levels - 1) / levels + ENTRY_LG2);
    }

    /**
     * A window.
     *
     * @param sizeLg2 bytes of the window
     * @param levels at most; there are no more than the window needs
     */
    public static TceFormat window(int pageLg2, int sizeLg2, int levels) {
        if (!admits(pageLg2, sizeLg2, levels)) {
            throw new IllegalArgumentException(
                    "no window of 2^%d bytes in pages of 2^%d with %d levels"
                            .formatted(sizeLg2, pageLg2, levels));
        }
        int tableLg2 = tableLg2(sizeLg2 - pageLg2, levels);
        return new TceFormat(
                "tce-%d-%d-%d".formatted(pageLg2, sizeLg2, levels),
                pageLg2,
                tableLg2,
                sizeLg2,
                (sizeLg2 - pageLg2 - 1) / (tableLg2 - ENTRY_LG2));
    }

    @Override
    public long pageSizes(int level) {
        return level == 0 ? 1L << pageLg2() : 0;
    }

    @Override
    public EntryKind kind(long entry, int level) {
        if ((entry & (SpaprTce.READ | SpaprTce.WRITE)) == 0) {
            return EntryKind.EMPTY;
        }
        return level == 0 ? EntryKind.LEAF : EntryKind.TABLE;
    }

    @Override
    public long table(long entry, int level) {
        return entry & SpaprTce.ADDRESS_MASK;
    }

    @Override
    public int leafLg2(long entry, int level) {
        return pageLg2();
    }

    @Override
    public long output(long entry, int level) {
        return entry & SpaprTce.ADDRESS_MASK & ~Bits.mask(pageLg2());
    }

    @Override
    public int rights(long entry, int level) {
        return Rights.EXECUTE
                | Rights.USER
                | ((entry & SpaprTce.READ) == 0 ? 0 : Rights.READ)
                | ((entry & SpaprTce.WRITE) == 0 ? 0 : Rights.WRITE);
    }

    @Override
    protected long addressBits() {
        return SpaprTce.ADDRESS_MASK;
    }

    @Override
    protected long tableBits(int level) {
        return SpaprTce.READ | SpaprTce.WRITE | reserved();
    }

    @Override
    protected long pageBits(int level) {
        return level == 0 ? SpaprTce.READ | reserved() : 0;
    }

    private long reserved() {
        return SpaprTce.ADDRESS_MASK & ~Bits.mask(outputBits());
    }

    @Override
    public long tableEntry(long address, int level) {
        return address | SpaprTce.READ | SpaprTce.WRITE;
    }

    @Override
    public long leafEntry(long output, int level, int sizeLg2, long attributes, int item) {
        return output | attributes;
    }

    @Override
    public long attributes(int rights) {
        // An entry without both would translate nothing.
        if ((rights & (Rights.READ | Rights.WRITE)) == 0) {
            return NO_ATTRIBUTES;
        }
        return ((rights & Rights.READ) == 0 ? 0 : SpaprTce.READ)
                | ((rights & Rights.WRITE) == 0 ? 0 : SpaprTce.WRITE);
    }

    @Override
    public long attributesOf(long entry, int level) {
        return entry & (SpaprTce.READ | SpaprTce.WRITE);
    }

    @Override
    public long marked(long entry, EntryKind kind, boolean isWrite) {
        return entry;
    }

    @Override
    public boolean tracksDirty() {
        return false;
    }

    @Override
    public boolean isDirty(long entry) {
        return false;
    }

    @Override
    public long clean(long entry) {
        return entry;
    }
}
