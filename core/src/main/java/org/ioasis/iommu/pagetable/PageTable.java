// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * An address space in a page table of the engine's own, of any format. One thread at a time changes
 * it, the one that owns its arena; any thread walks it, inside a guarded section and without a
 * lock.
 *
 * <p>A change is seen at once; what it took away goes into the {@link Gather} of who asked, with
 * the tables that are empty now.
 */
public final class PageTable {
    private static final VarHandle ROOT;

    static {
        try {
            ROOT = MethodHandles.lookup().findVarHandle(PageTable.class, "root", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final PageTableFormat format;
    private final TableArena arena;
    private final long sizes;
    private final Builder builder;
    private final Unmapper unmapper;
    private final LeafScan scan;
    private long root;

    private PageTable(PageTableFormat format, TableArena arena, long wanted) {
        this.format = format;
        this.arena = arena;
        this.sizes = sizes(format) & wanted;
        this.builder = new Builder(format, arena, sizes);
        this.unmapper = new Unmapper(format, arena);
        this.scan = new LeafScan(format, arena);
    }

    /** A table without pages, which takes its top table from {@code arena}. */
    public static PageTable create(PageTableFormat format, TableArena arena) {
        return create(format, arena, -1L);
    }

    /**
     * The same with pages of some sizes only.
     *
     * @param sizes a bit for each; the smallest page of the format is one of them
     */
    public static PageTable create(PageTableFormat format, TableArena arena, long sizes) {
        if ((sizes >>> format.pageLg2() & 1) == 0) {
            throw new IllegalArgumentException(
                    "%s without its smallest page: 0x%x".formatted(format, sizes));
        }
        PageTable table = new PageTable(format, arena, sizes);
        table.root = Root.of(arena.take(format.topLg2(format.firstTop())), format.firstTop());
        return table;
    }

    /** True if the arena has room for the top table of one more. */
    public static boolean fits(PageTableFormat format, TableArena arena) {
        return arena.has(1, format.topLg2(format.firstTop()));
    }

    private static long sizes(PageTableFormat format) {
        long sizes = 0;
        for (int level = 0; level <= format.lastTop(); level++) {
            sizes |= format.pageSizes(level);
        }
        // No page is larger than what it maps to, nor than the half that it lies in.
        int bits = format.inputBits() - (format.half() == Half.BOTH ? 1 : 0);
        return sizes & Bits.mask(Math.min(bits, format.outputBits()));
    }

    public PageTableFormat format() {
        return format;
    }

    /** Sizes of pages that {@link #map} makes, a bit for each. */
    public long pageSizes() {
        return sizes;
    }

    /** The top table, as {@link Root} has it. Any thread. */
    public long root() {
        return (long) ROOT.getAcquire(this);
    }

    /** Translates an address, as {@link Walker#walk}. Any thread. */
    public boolean walk(long iova, int access, boolean marks, Walk walk) {
        return Walker.walk(format, arena, root(), iova, access, marks, walk);
    }

    /**
     * Maps {@code first..last} to {@code output}, in pages as large as the addresses allow.
     *
     * @param rights bits of {@link Rights}
     * @param gather gets the top table that was replaced, if it had no pages
     */
    public PageTableStatus map(long first, long last, long output, int rights, Gather gather) {
        PageTableStatus status = check(first, last);
        if (status != PageTableStatus.OK) {
            return status;
        }
        long outputLast = output + (last - first);
        if ((output & Bits.mask(format.pageLg2())) != 0
                || Long.compareUnsigned(outputLast, output) < 0
                || !Bits.fits(output, format.outputBits())
                || !Bits.fits(outputLast, format.outputBits())) {
            return PageTableStatus.MISFIT;
        }
        long attributes = format.attributes(rights);
        if (attributes == PageTableFormat.NO_ATTRIBUTES) {
            return PageTableStatus.RIGHTS;
        }
        long from = format.offset(first);
        long to = format.offset(last);
        // High enough for the last address, and for a page as large as all that a lower one
        // reaches.
        int best = Bits.bestPageLg2(sizes, from, to, output);
        int top = Root.level(root);
        while (!Bits.fits(to, format.reachLg2(top)) || best >= format.reachLg2(top)) {
            top++;
        }
        long needed = builder.plan(root, top, from, to, output);
        if (needed == Builder.OVERLAPS) {
            return PageTableStatus.OVERLAPS;
        }
        if (!arena.has(needed, format.tableLg2())) {
            return PageTableStatus.NO_MEMORY;
        }
        if (top > Root.level(root)) {
            grow(top, gather);
        }
        builder.build(root, from, to, output, attributes);
        return PageTableStatus.OK;
    }

    /** Puts tables above the top one, or a higher one in its place if it has no pages. */
    private void grow(int top, Gather gather) {
        long address = Root.address(root);
        int level = Root.level(root);
        if (arena.isEmpty(address)) {
            gather.unlinked(address, format.topLg2(level));
            address = arena.take(format.tableLg2());
        } else {
            while (level < top) {
                level++;
                long above = arena.take(format.tableLg2());
                arena.setRelease(above, format.tableEntry(address, level));
                arena.count(above, 1);
                address = above;
            }
        }
        ROOT.setRelease(this, Root.of(address, top));
    }

    /**
     * Leads one page elsewhere. Who looks meanwhile sees what it was or what it is, and nothing
     * between, unless the page spans several items.
     *
     * @param first where it begins
     * @param sizeLg2 its size
     * @param rights bits of {@link Rights}
     * @return RANGE if no such page is mapped there
     */
    public PageTableStatus replace(long first, int sizeLg2, long output, int rights) {
        long size = 1L << sizeLg2;
        PageTableStatus status = check(first, first + size - 1);
        if (status != PageTableStatus.OK) {
            return status;
        }
        if ((output & (size - 1)) != 0 || !Bits.fits(output + size - 1, format.outputBits())) {
            return PageTableStatus.MISFIT;
        }
        long attributes = format.attributes(rights);
        if (attributes == PageTableFormat.NO_ATTRIBUTES) {
            return PageTableStatus.RIGHTS;
        }
        return builder.replace(root, format.offset(first), sizeLg2, output, attributes)
                ? PageTableStatus.OK
                : PageTableStatus.RANGE;
    }

    /**
     * Unmaps what is mapped of {@code first..last}. A page that the range ends in goes as a whole,
     * as {@code gather} says; a range that begins inside one is refused.
     */
    public PageTableStatus unmap(long first, long last, Gather gather) {
        PageTableStatus status = check(first, last);
        if (status != PageTableStatus.OK) {
            return status;
        }
        int reach = format.reachLg2(Root.level(root));
        long from = format.offset(first);
        if (!Bits.fits(from, reach)) {
            return PageTableStatus.OK;
        }
        if (!unmapper.startsWhole(root, from)) {
            return PageTableStatus.SPLITS;
        }
        unmapper.unmap(root, from, reachable(last, reach), gather);
        return PageTableStatus.OK;
    }

    /**
     * Shows each page that has an address in {@code first..last}, in order. Returns false if the
     * visitor stopped or the range is none of this table's.
     */
    public boolean leaves(long first, long last, LeafVisitor visitor) {
        int reach = format.reachLg2(Root.level(root));
        long from = format.offset(first);
        if (!isOrdered(first, last)) {
            return false;
        }
        return !Bits.fits(from, reach) || scan.leaves(root, from, reachable(last, reach), visitor);
    }

    /**
     * Tells which parts of {@code first..last} were written through pages that say so, and makes
     * those pages clean unless {@code isKept}. A page counts as a whole, however little of it is in
     * the range.
     *
     * @throws IllegalStateException if the format {@linkplain PageTableFormat#tracksDirty cannot
     *     tell}
     */
    public PageTableStatus dirty(long first, long last, boolean isKept, DirtyVisitor visitor) {
        if (!format.tracksDirty()) {
            throw new IllegalStateException(format + " does not tell what was written");
        }
        if (!isOrdered(first, last)) {
            return PageTableStatus.RANGE;
        }
        int reach = format.reachLg2(Root.level(root));
        long from = format.offset(first);
        if (Bits.fits(from, reach)) {
            scan.dirty(root, from, reachable(last, reach), isKept, visitor);
        }
        return PageTableStatus.OK;
    }

    /** Takes everything away, the top table too; the table is not used again. */
    public void close(Gather gather) {
        long top = root;
        int reach = format.reachLg2(Root.level(top));
        unmapper.unmap(top, 0, Bits.mask(reach), gather);
        gather.unlinked(Root.address(top), format.topLg2(Root.level(top)));
    }

    /** The offset of {@code last}, or of the last address below the top table. */
    private long reachable(long last, int reach) {
        long offset = format.offset(last);
        return Bits.fits(offset, reach) ? offset : Bits.mask(reach);
    }

    private boolean isOrdered(long first, long last) {
        return Long.compareUnsigned(first, last) <= 0 && format.admits(first, last);
    }

    private PageTableStatus check(long first, long last) {
        if (!isOrdered(first, last)) {
            return PageTableStatus.RANGE;
        }
        if (((first | (last + 1)) & Bits.mask(format.pageLg2())) != 0) {
            return PageTableStatus.MISFIT;
        }
        return PageTableStatus.OK;
    }
}
