// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

import org.jspecify.annotations.Nullable;

/**
 * A table of 512 entries at each level, as many levels as the range is long; each table is made
 * with the first pin below it and gone with the last. Costs what is pinned where pins lie together,
 * whatever the range spans. Under its owner's lock.
 */
public final class SparsePageTable implements PinTracker {
    private static final int TABLE_LG2 = 9;
    private static final int TABLE = 1 << TABLE_LG2;

    private abstract static sealed class Table {
        int used;
    }

    private static final class Leaf extends Table {
        private final long[] addresses = new long[TABLE];
        private final int[] users = new int[TABLE];
    }

    private static final class Inner extends Table {
        private final @Nullable Table[] below = new @Nullable Table[TABLE];
    }

    private final long size;

    /** Levels above the leaves. */
    private final int height;

    private @Nullable Table root;
    private long leaves;
    private long inners;
    private long pinned;

    public SparsePageTable(long pages) {
        size = pages;
        int levels = 0;
        while ((pages - 1) >>> ((levels + 1) * TABLE_LG2) != 0) {
            levels++;
        }
        height = levels;
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public long pinned() {
        return pinned;
    }

    private static int slot(long page, int level) {
        return (int) (page >>> (level * TABLE_LG2)) & (TABLE - 1);
    }

    private @Nullable Leaf leaf(long page) {
        Table table = root;
        for (int level = height; table instanceof Inner inner; level--) {
            table = inner.below[slot(page, level)];
        }
        return (Leaf) table;
    }

    @Override
    public long address(long page) {
        Leaf leaf = leaf(page);
        int at = slot(page, 0);
        return leaf == null || leaf.users[at] == 0 ? NONE : leaf.addresses[at];
    }

    @Override
    public boolean retain(long page) {
        Leaf leaf = leaf(page);
        int at = slot(page, 0);
        if (leaf == null || leaf.users[at] == 0) {
            return false;
        }
        leaf.users[at]++;
        return true;
    }

    @Override
    public void add(long page, long address) {
        root = add(root, height, page, address);
        pinned++;
    }

    private Table add(@Nullable Table table, int level, long page, long address) {
        int at = slot(page, level);
        if (level == 0) {
            Leaf leaf = (Leaf) table;
            if (leaf == null) {
                leaf = new Leaf();
                leaves++;
            }
            leaf.addresses[at] = address;
            leaf.users[at] = 1;
            leaf.used++;
            return leaf;
        }
        Inner inner = (Inner) table;
        if (inner == null) {
            inner = new Inner();
            inners++;
        }
        if (inner.below[at] == null) {
            inner.used++;
        }
        inner.below[at] = add(inner.below[at], level - 1, page, address);
        return inner;
    }

    @Override
    public int release(long page) {
        Leaf leaf = leaf(page);
        int at = slot(page, 0);
        if (leaf == null || leaf.users[at] == 0) {
            return -1;
        }
        int left = --leaf.users[at];
        if (left == 0) {
            pinned--;
            if (--leaf.used == 0) {
                root = root == null ? null : without(root, height, page);
            }
        }
        return left;
    }

    /** Drops an empty leaf and what is empty above it. */
    private @Nullable Table without(Table table, int level, long page) {
        if (table instanceof Inner inner) {
            int at = slot(page, level);
            Table below = inner.below[at];
            inner.below[at] = below == null ? null : without(below, level - 1, page);
            if (inner.below[at] == null && --inner.used == 0) {
                inners--;
                return null;
            }
            return inner;
        }
        leaves--;
        return null;
    }

    @Override
    public long nextPinned(long page) {
        return next(root, height, page, 0);
    }

    /** The first pinned page from one on below a table whose first page is {@code base}. */
    private static long next(@Nullable Table table, int level, long page, long base) {
        if (table == null) {
            return NONE;
        }
        long each = 1L << (level * TABLE_LG2);
        int at = page <= base ? 0 : (int) Math.min(TABLE, (page - base) / each);
        for (; at < TABLE; at++) {
            long first = base + at * each;
            if (table instanceof Inner inner) {
                long found = next(inner.below[at], level - 1, page, first);
                if (found != NONE) {
                    return found;
                }
            } else if (table instanceof Leaf leaf && leaf.users[at] != 0) {
                return first;
            }
        }
        return NONE;
    }

    @Override
    public long bytes() {
        long leaf = Sizes.object(12) + Sizes.array(TABLE, Long.BYTES) + Sizes.array(TABLE, 4);
        long inner = Sizes.object(8) + Sizes.array(TABLE, 4);
        return Sizes.object(40) + leaves * leaf + inners * inner;
    }
}
