// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.jspecify.annotations.Nullable;

/**
 * A format of page tables with its sizes: pure functions over the bits of an entry. Any thread.
 *
 * <p>Levels count from 0, the tables of the smallest pages, whatever a specification calls them. An
 * <em>item</em> is what one entry of a table covers. A page may span several items of one table;
 * then each has an entry.
 *
 * <p>The walker reads entries that somebody else wrote: each function is defined for any bits, but
 * what an entry means is asked only if {@link #kind} says that it is there.
 */
public abstract class PageTableFormat {
    private static final int ENTRY_LG2 = 3;

    /** Answer of {@link #attributes}: the format has no such page. */
    public static final long NO_ATTRIBUTES = -1;

    private final String name;
    private final int pageLg2;
    private final int indexLg2;
    private final int inputBits;
    private final int outputBits;
    private final int firstTop;
    private final int lastTop;
    private final Half half;

    // What becomes of bits of an address that may be anything.
    private final long keptBits;
    private final long setBits;

    // Bits of an address that select nothing, and what they are.
    private final long restMask;
    private final long restValue;

    // Made when the first walk asks; whoever makes them makes the same.
    private volatile LevelRules @Nullable [] rules;

    /** For a format that looks at every bit of an address. */
    protected PageTableFormat(
            String name,
            int pageLg2,
            int tableLg2,
            int inputBits,
            int outputBits,
            int firstTop,
            int lastTop,
            Half half) {
        this(name, pageLg2, tableLg2, inputBits, outputBits, firstTop, lastTop, half, Long.SIZE);
    }

    /**
     * @param pageLg2 smallest page
     * @param tableLg2 bytes of a table
     * @param inputBits most bits of an address
     * @param outputBits most bits of what it is translated to, and of addresses of tables
     * @param firstTop level of the top table at the start
     * @param lastTop level that it may grow to
     * @param addressBits bits of an address that count; above them may be anything
     */
    protected PageTableFormat(
            String name,
            int pageLg2,
            int tableLg2,
            int inputBits,
            int outputBits,
            int firstTop,
            int lastTop,
            Half half,
            int addressBits) {
        this.name = name;
        this.pageLg2 = pageLg2;
        this.indexLg2 = tableLg2 - ENTRY_LG2;
        this.inputBits = inputBits;
        this.outputBits = outputBits;
        this.firstTop = firstTop;
        this.lastTop = lastTop;
        this.half = half;
        long addressMask = Bits.mask(addressBits);
        this.keptBits = half == Half.UPPER ? -1 : addressMask;
        this.setBits = half == Half.UPPER ? ~addressMask : 0;
        this.restMask = ~Bits.mask(half == Half.BOTH ? inputBits - 1 : inputBits) & addressMask;
        this.restValue = half == Half.UPPER ? restMask : 0;
        if (itemLg2(firstTop) >= inputBits || firstTop > lastTop || lastTop > Root.LEVEL_MAX) {
            throw new IllegalArgumentException(
                    "%s: no table of level %d..%d for %d bits"
                            .formatted(name, firstTop, lastTop, inputBits));
        }
        if (firstTop != lastTop && (half != Half.LOWER || topLg2(lastTop) != tableLg2)) {
            throw new IllegalArgumentException(
                    name + ": only a lower half of single tables can grow");
        }
    }

    // What the sizes say, the same for all formats.

    public final String name() {
        return name;
    }

    /** Smallest page. */
    public final int pageLg2() {
        return pageLg2;
    }

    /** Bytes of a table that is not the top one. */
    public final int tableLg2() {
        return indexLg2 + ENTRY_LG2;
    }

    public final int inputBits() {
        return inputBits;
    }

    public final int outputBits() {
        return outputBits;
    }

    public final int firstTop() {
        return firstTop;
    }

    public final int lastTop() {
        return lastTop;
    }

    public final Half half() {
        return half;
    }

    /** What an entry of a table of {@code level} covers. */
    public final int itemLg2(int level) {
        return pageLg2 + indexLg2 * level;
    }

    /** Bits of address below the top table of {@code level}: the last one has what is left. */
    public final int reachLg2(int level) {
        return level == lastTop ? inputBits : Math.min(inputBits, itemLg2(level + 1));
    }

    /** Bytes of the top table: several tables side by side where the format says so. */
    public final int topLg2(int level) {
        return Math.max(tableLg2(), reachLg2(level) - itemLg2(level) + ENTRY_LG2);
    }

    /** The part of an address that selects entries. */
    public final long offset(long iova) {
        return iova & Bits.mask(inputBits);
    }

    /** An address without the bits that may be anything. */
    public final long untagged(long iova) {
        return (iova & keptBits) | setBits;
    }

    /** The address that {@code offset} is the selecting part of. */
    public final long iova(long offset) {
        boolean isUpper =
                half == Half.UPPER
                        || (half == Half.BOTH && ((offset >>> (inputBits - 1)) & 1) != 0);
        return isUpper ? offset | ~Bits.mask(inputBits) : offset;
    }

    /** True if a table of this format can have all of {@code first..last}. */
    public final boolean admits(long first, long last) {
        return switch (half) {
            case LOWER -> Long.compareUnsigned(untagged(last), Bits.mask(inputBits)) <= 0;
            case UPPER -> Long.compareUnsigned(untagged(first), ~Bits.mask(inputBits)) >= 0;
            case BOTH ->
                    Long.compareUnsigned(last, Bits.mask(inputBits - 1)) <= 0
                            || Long.compareUnsigned(first, ~Bits.mask(inputBits - 1)) >= 0;
        };
    }

    /** The same of one address. */
    final boolean admits(long iova) {
        long rest = iova & restMask;
        return rest == restValue || (half == Half.BOTH && rest == restMask);
    }

    /** What walks compare entries with, by level, up to the last that a top table can have. */
    final LevelRules[] rules() {
        LevelRules[] known = rules;
        if (known == null) {
            known = LevelRules.of(this);
            rules = known;
        }
        return known;
    }

    /** The index of the item of {@code offset} in a table of {@code level}. */
    final long index(long offset, int level, boolean isTop) {
        long index = offset >>> itemLg2(level);
        return isTop ? index : index & Bits.mask(indexLg2);
    }

    // What a format says.

    /**
     * Sizes of pages in a table of {@code level}, a bit for each: at least an item, and less than
     * the whole table.
     */
    public abstract long pageSizes(int level);

    public abstract EntryKind kind(long entry, int level);

    /** Address of the table that an entry leads to. */
    public abstract long table(long entry, int level);

    /** Level of that table; a format whose entries say so may leave levels out. */
    public int tableLevel(long entry, int level) {
        return level - 1;
    }

    /** Size of the page that a leaf belongs to. */
    public abstract int leafLg2(long entry, int level);

    /** What the first byte of that page is translated to. */
    public abstract long output(long entry, int level);

    /** What the entry of a table or leaf allows. */
    public abstract int rights(long entry, int level);

    // What walks can tell without asking what an entry is.

    /** The address field of an entry, where an address is in it as it is. */
    protected abstract long addressBits();

    /**
     * Bits by which an entry is known to lead to the table of the level below, in an address that
     * can be, and to forbid nothing: all of them as in a {@link #tableEntry} at 0, whatever the
     * others are. 0: nothing is known by bits alone.
     */
    protected abstract long tableBits(int level);

    /**
     * Bits by which an entry is known to be a page of one item, with an address that can be, that
     * needs no mark before an access: all of them as in a {@link #leafEntry} at 0 for {@link
     * Rights#ALL}, whatever the others are; what it allows is asked. 0: nothing is known by bits
     * alone.
     */
    protected abstract long pageBits(int level);

    /** An entry that leads to the table of {@code level - 1} at {@code address}. */
    public abstract long tableEntry(long address, int level);

    /**
     * The entry of one item of a page.
     *
     * @param output what the page begins with
     * @param sizeLg2 one of {@link #pageSizes}
     * @param attributes from {@link #attributes} or {@link #attributesOf}
     * @param item which of the page's items
     */
    public abstract long leafEntry(long output, int level, int sizeLg2, long attributes, int item);

    /** The bits of a leaf that allows {@code rights}, or {@link #NO_ATTRIBUTES}. */
    public abstract long attributes(int rights);

    /** The bits of a leaf that neither say where the page is nor how large. */
    public abstract long attributesOf(long entry, int level);

    /**
     * The entry after an access through it, if the format has such bits and they are not set yet.
     *
     * @param isWrite only of a leaf
     */
    public abstract long marked(long entry, EntryKind kind, boolean isWrite);

    /** True of a leaf that an access must not go through before it is marked as accessed. */
    public boolean isUnaccessed(long entry) {
        return false;
    }

    /** True of a leaf that is the same in every address space of its domain. */
    public boolean isGlobal(long entry) {
        return false;
    }

    /** True if a leaf tells whether its page was written. */
    public abstract boolean tracksDirty();

    public abstract boolean isDirty(long entry);

    /** The leaf as if its page had not been written. */
    public abstract long clean(long entry);

    @Override
    public final String toString() {
        return name;
    }
}
