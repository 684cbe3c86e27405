// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * Takes the pages of one range out of a table of any format, and the tables that have none left.
 * The thread that owns the table.
 *
 * <p>A table goes by its link: its own entries stay as they are until it is given back, for nothing
 * is written where a reader may still be. Ranges here are offsets, as in {@link Builder}.
 */
final class Unmapper {
    private final PageTableFormat format;
    private final TableArena arena;

    Unmapper(PageTableFormat format, TableArena arena) {
        this.format = format;
        this.arena = arena;
    }

    /** True if {@code first} is not inside a page that begins before it. */
    boolean startsWhole(long root, long first) {
        long table = Root.address(root);
        int level = Root.level(root);
        boolean isTop = true;
        while (true) {
            long entry = arena.get(table + format.index(first, level, isTop) * Long.BYTES);
            EntryKind kind = format.kind(entry, level);
            if (kind != EntryKind.TABLE) {
                return kind == EntryKind.EMPTY
                        || (first & Bits.mask(format.leafLg2(entry, level))) == 0;
            }
            table = format.table(entry, level);
            level--;
            isTop = false;
        }
    }

    /** Removes every page that has an address in {@code first..last}; the first begins there. */
    void unmap(long root, long first, long last, Gather gather) {
        unmap(Root.address(root), Root.level(root), true, first, last, gather);
    }

    private void unmap(long table, int level, boolean isTop, long first, long last, Gather gather) {
        int itemLg2 = format.itemLg2(level);
        long at = first;
        while (true) {
            long entryAt = table + format.index(at, level, isTop) * Long.BYTES;
            long entry = arena.get(entryAt);
            long pieceLast = at | Bits.mask(itemLg2);
            EntryKind kind = format.kind(entry, level);
            if (kind == EntryKind.LEAF) {
                int pageLg2 = format.leafLg2(entry, level);
                pieceLast = at | Bits.mask(pageLg2);
                int items = 1 << (pageLg2 - itemLg2);
                for (int i = 0; i < items; i++) {
                    arena.setRelease(entryAt + (long) i * Long.BYTES, 0);
                }
                arena.count(table, -items);
                gather.removed(format.iova(at), format.iova(pieceLast));
            } else if (kind == EntryKind.TABLE) {
                long below = format.table(entry, level);
                boolean isWhole =
                        (at & Bits.mask(itemLg2)) == 0
                                && Long.compareUnsigned(pieceLast, last) <= 0;
                if (isWhole) {
                    remove(table, entryAt);
                    gatherTree(below, level - 1, at, gather);
                } else {
                    long end = Long.compareUnsigned(pieceLast, last) < 0 ? pieceLast : last;
                    unmap(below, level - 1, false, at, end, gather);
                    if (arena.isEmpty(below)) {
                        remove(table, entryAt);
                        gather.unlinked(below, format.tableLg2());
                    }
                }
            }
            if (Long.compareUnsigned(pieceLast, last) >= 0) {
                return;
            }
            at = pieceLast + 1;
        }
    }

    private void remove(long table, long entryAt) {
        arena.setRelease(entryAt, 0);
        arena.count(table, -1);
    }

    /** Gathers a table that nothing leads to any more, with all below it. */
    private void gatherTree(long table, int level, long first, Gather gather) {
        int itemLg2 = format.itemLg2(level);
        int entries = 1 << (format.tableLg2() - 3);
        int i = 0;
        while (i < entries) {
            long entry = arena.get(table + (long) i * Long.BYTES);
            long at = first + ((long) i << itemLg2);
            i++;
            EntryKind kind = format.kind(entry, level);
            if (kind == EntryKind.LEAF) {
                int pageLg2 = format.leafLg2(entry, level);
                gather.removed(format.iova(at), format.iova(at | Bits.mask(pageLg2)));
                i += (1 << (pageLg2 - itemLg2)) - 1;
            } else if (kind == EntryKind.TABLE) {
                gatherTree(format.table(entry, level), level - 1, at, gather);
            }
        }
        gather.unlinked(table, format.tableLg2());
    }
}
