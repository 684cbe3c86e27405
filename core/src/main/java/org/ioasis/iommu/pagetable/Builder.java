// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * Writes the pages of one range into a table of any format, in two passes: {@link #plan} refuses or
 * says how many tables it takes and changes nothing, {@link #build} cannot fail. The thread that
 * owns the table.
 *
 * <p>A table is filled before the entry that leads to it is published, so a reader sees a table
 * with all that it has, or none. Ranges here are offsets: the part of an address that selects
 * entries.
 */
final class Builder {
    /** Answer of {@link #plan}: something of the range is mapped. */
    static final long OVERLAPS = -1;

    /** No table yet. */
    private static final long NONE = 0;

    /** A top table that is not there yet; its first entry will lead to the present top. */
    private static final long GROWN = -1;

    /** A page where a table could be. */
    private static final long OCCUPIED = -2;

    private final PageTableFormat format;
    private final TableArena arena;
    private final long sizes;

    /**
     * @param sizes of all pages that may be made
     */
    Builder(PageTableFormat format, TableArena arena, long sizes) {
        this.format = format;
        this.arena = arena;
        this.sizes = sizes;
    }

    /**
     * How many tables it takes to map {@code first..last}, or {@link #OVERLAPS}.
     *
     * @param top level that the top table needs; above the one of {@code root} it grows
     */
    long plan(long root, int top, long first, long last, long output) {
        int level = Root.level(root);
        long address = Root.address(root);
        if (top == level) {
            return plan(root, address, level, true, first, last, output);
        }
        // An empty top is replaced, another one gets a chain above it.
        long grown = arena.isEmpty(address) ? 1 : top - level;
        long needed = plan(root, GROWN, top, true, first, last, output);
        return needed == OVERLAPS ? OVERLAPS : grown + needed;
    }

    private long plan(
            long root, long table, int level, boolean isTop, long first, long last, long output) {
        if (table == NONE && level == 0) {
            return 0;
        }
        long needed = 0;
        long at = first;
        while (true) {
            int best = best(level, at, last, output + (at - first));
            long pieceLast;
            if (best != Bits.NONE) {
                pieceLast = runLast(level, at, last, output + (at - first), best);
                if (!isFree(root, table, level, isTop, at, pieceLast)) {
                    return OVERLAPS;
                }
            } else {
                pieceLast = min(last, at | Bits.mask(format.itemLg2(level)));
                long below = below(root, table, level, isTop, at);
                if (below == OCCUPIED) {
                    return OVERLAPS;
                }
                long more =
                        plan(root, below, level - 1, false, at, pieceLast, output + (at - first));
                if (more == OVERLAPS) {
                    return OVERLAPS;
                }
                needed += more + (below == NONE ? 1 : 0);
            }
            if (pieceLast == last) {
                return needed;
            }
            at = pieceLast + 1;
        }
    }

    /** The table below the item of {@code at}: an address, NONE, GROWN or OCCUPIED. */
    private long below(long root, long table, int level, boolean isTop, long at) {
        if (table == NONE) {
            return NONE;
        }
        long index = format.index(at, level, isTop);
        if (table == GROWN) {
            long top = Root.address(root);
            if (index != 0 || arena.isEmpty(top)) {
                return NONE;
            }
            return level - 1 == Root.level(root) ? top : GROWN;
        }
        long entry = arena.get(table + index * Long.BYTES);
        return switch (format.kind(entry, level)) {
            case EMPTY -> NONE;
            case TABLE -> format.table(entry, level);
            case LEAF, INVALID -> OCCUPIED;
        };
    }

    /** True if no item of {@code first..last} has an entry: no table is without pages. */
    private boolean isFree(long root, long table, int level, boolean isTop, long first, long last) {
        int shift = format.itemLg2(level);
        for (long item = first >>> shift; item <= last >>> shift; item++) {
            if (below(root, table, level, isTop, item << shift) != NONE) {
                return false;
            }
        }
        return true;
    }

    /** Maps what was planned, below a top table that reaches far enough. */
    void build(long root, long first, long last, long output, long attributes) {
        build(Root.address(root), Root.level(root), true, first, last, output, attributes);
    }

    private void build(
            long table,
            int level,
            boolean isTop,
            long first,
            long last,
            long output,
            long attributes) {
        long at = first;
        while (true) {
            long out = output + (at - first);
            long entryAt = table + format.index(at, level, isTop) * Long.BYTES;
            int best = best(level, at, last, out);
            long pieceLast;
            if (best != Bits.NONE) {
                pieceLast = runLast(level, at, last, out, best);
                int itemLg2 = format.itemLg2(level);
                int inPage = (1 << (best - itemLg2)) - 1;
                int items = (int) ((pieceLast - at) >>> itemLg2) + 1;
                for (int i = 0; i < items; i++) {
                    long page = out + ((long) (i & ~inPage) << itemLg2);
                    arena.setRelease(
                            entryAt + (long) i * Long.BYTES,
                            format.leafEntry(page, level, best, attributes, i & inPage));
                }
                arena.count(table, items);
            } else {
                pieceLast = min(last, at | Bits.mask(format.itemLg2(level)));
                long entry = arena.get(entryAt);
                if (format.kind(entry, level) == EntryKind.EMPTY) {
                    long below = arena.take(format.tableLg2());
                    build(below, level - 1, false, at, pieceLast, out, attributes);
                    arena.setRelease(entryAt, format.tableEntry(below, level));
                    arena.count(table, 1);
                } else {
                    long below = format.table(entry, level);
                    build(below, level - 1, false, at, pieceLast, out, attributes);
                }
            }
            if (pieceLast == last) {
                return;
            }
            at = pieceLast + 1;
        }
    }

    /** Writes the entries of one page anew; false: no page of this size begins there. */
    boolean replace(long root, long first, int sizeLg2, long output, long attributes) {
        int level = Root.level(root);
        if (!Bits.fits(first, format.reachLg2(level))) {
            return false;
        }
        long table = Root.address(root);
        boolean isTop = true;
        while (true) {
            long entryAt = table + format.index(first, level, isTop) * Long.BYTES;
            long entry = arena.get(entryAt);
            EntryKind kind = format.kind(entry, level);
            if (kind == EntryKind.LEAF) {
                if (format.leafLg2(entry, level) != sizeLg2 || (first & Bits.mask(sizeLg2)) != 0) {
                    return false;
                }
                int items = 1 << (sizeLg2 - format.itemLg2(level));
                for (int i = 0; i < items; i++) {
                    arena.setRelease(
                            entryAt + (long) i * Long.BYTES,
                            format.leafEntry(output, level, sizeLg2, attributes, i));
                }
                return true;
            }
            if (kind != EntryKind.TABLE) {
                return false;
            }
            table = format.table(entry, level);
            level--;
            isTop = false;
        }
    }

    private int best(int level, long at, long last, long output) {
        return Bits.bestPageLg2(format.pageSizes(level) & sizes, at, last, output);
    }

    /** Last address of the pages of one size that begin at {@code at}. */
    private long runLast(int level, long at, long last, long output, int pageLg2) {
        long usable = format.pageSizes(level) & sizes;
        return at + (Bits.pageCount(usable, at, last, output, pageLg2) << pageLg2) - 1;
    }

    private static long min(long a, long b) {
        return Long.compareUnsigned(a, b) < 0 ? a : b;
    }
}
