// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * Goes through the pages of a range: shows them, or collects which were written. The thread that
 * owns the table. Ranges here are offsets, as in {@link Builder}.
 */
final class LeafScan {
    private final PageTableFormat format;
    private final TableArena arena;

    LeafScan(PageTableFormat format, TableArena arena) {
        this.format = format;
        this.arena = arena;
    }

    /** Shows each page with an address in {@code first..last}. Returns false if it was stopped. */
    boolean leaves(long root, long first, long last, LeafVisitor visitor) {
        return scan(
                Root.address(root),
                Root.level(root),
                true,
                first,
                last,
                (entryAt, level, at, entry) ->
                        visitor.leaf(
                                format.iova(at),
                                format.leafLg2(entry, level),
                                format.output(entry, level),
                                level,
                                entry));
    }

    /**
     * Tells the visitor of each page in the range that was written, and makes it clean unless
     * {@code isKept}. A write that happens meanwhile is seen now or the next time: the bits of an
     * entry are taken in one step.
     */
    void dirty(long root, long first, long last, boolean isKept, DirtyVisitor visitor) {
        scan(
                Root.address(root),
                Root.level(root),
                true,
                first,
                last,
                (entryAt, level, at, entry) -> {
                    int pageLg2 = format.leafLg2(entry, level);
                    int items = 1 << (pageLg2 - format.itemLg2(level));
                    boolean isDirty = false;
                    // Written if any item of the page says so.
                    for (int i = 0; i < items; i++) {
                        isDirty |= takeDirty(entryAt + (long) i * Long.BYTES, isKept);
                    }
                    if (isDirty) {
                        long pageLast = at | Bits.mask(pageLg2);
                        visitor.dirty(
                                format.iova(Long.compareUnsigned(at, first) < 0 ? first : at),
                                format.iova(
                                        Long.compareUnsigned(pageLast, last) > 0
                                                ? last
                                                : pageLast));
                    }
                    return true;
                });
    }

    private boolean takeDirty(long entryAt, boolean isKept) {
        while (true) {
            long entry = arena.get(entryAt);
            if (!format.isDirty(entry)) {
                return false;
            }
            // Fails only when a walker has set another bit of the few that it sets.
            if (isKept || arena.compareAndSet(entryAt, entry, format.clean(entry))) {
                return true;
            }
        }
    }

    /** One page: where its first entry is, and the offset of its first byte. */
    private interface Page {
        boolean page(long entryAt, int level, long at, long entry);
    }

    private boolean scan(long table, int level, boolean isTop, long first, long last, Page page) {
        int itemLg2 = format.itemLg2(level);
        long at = first;
        while (true) {
            long entryAt = table + format.index(at, level, isTop) * Long.BYTES;
            long entry = arena.get(entryAt);
            long pieceLast = at | Bits.mask(itemLg2);
            EntryKind kind = format.kind(entry, level);
            if (kind == EntryKind.LEAF) {
                // The range may begin inside the page, in any of its items.
                int pageLg2 = format.leafLg2(entry, level);
                long pageFirst = at & ~Bits.mask(pageLg2);
                long items = (at >>> itemLg2) - (pageFirst >>> itemLg2);
                long firstEntryAt = entryAt - items * Long.BYTES;
                pieceLast = at | Bits.mask(pageLg2);
                if (!page.page(firstEntryAt, level, pageFirst, entry)) {
                    return false;
                }
            } else if (kind == EntryKind.TABLE) {
                long end = Long.compareUnsigned(pieceLast, last) < 0 ? pieceLast : last;
                if (!scan(format.table(entry, level), level - 1, false, at, end, page)) {
                    return false;
                }
            }
            if (Long.compareUnsigned(pieceLast, last) >= 0) {
                return true;
            }
            at = pieceLast + 1;
        }
    }
}
