// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.jspecify.annotations.Nullable;

/**
 * What a walk compares entries of one level with before it asks their format: nearly all entries
 * lead to the table below and forbid nothing, or are a page of one item. Those are told by some of
 * their bits, alike in all formats, so that a walk makes no call for them that depends on the
 * format. What is not told so is not wrong: the format's functions say what it is. Immutable; any
 * thread.
 */
final class LevelRules {
    private static final int ENTRY_LG2 = 3;

    /** Compared with under a mask of 0: no entry has it. */
    private static final long NEVER = -1;

    final int level;

    /** What one entry covers. */
    final int itemLg2;

    /** The rest of an address, below that. */
    final long within;

    /** Bits of an address that a top table of this level has no entry for. */
    final long outside;

    // Bits of an entry that leads to the next table, and what they are then; the same when an
    // access would mark it.
    private final long tableBits;
    private final long tableValue;
    private final long markedTableBits;
    private final long markedTableValue;

    /** Where the next table's address is. */
    final long tableAddress;

    // Bits of an entry that is a page of one item, and what they are then; where its address is.
    final long pageBits;
    final long pageValue;
    final long pageAddress;

    /** The level below; at the lowest, itself: no entry there leads on. */
    final LevelRules below;

    private final int shift;
    private final long indexMask;

    private LevelRules(PageTableFormat format, int level, @Nullable LevelRules below) {
        this.level = level;
        this.below = below == null ? this : below;
        itemLg2 = format.itemLg2(level);
        within = Bits.mask(itemLg2);
        outside = ~Bits.mask(format.reachLg2(level));
        shift = itemLg2 - ENTRY_LG2;
        indexMask = Bits.mask(format.tableLg2()) & -1L << ENTRY_LG2;
        long bits = below == null ? 0 : format.tableBits(level);
        long table = bits == 0 ? 0 : format.tableEntry(0, level);
        // Marks are bits that are added, whatever else an entry says.
        long marks = bits == 0 ? 0 : format.marked(0, EntryKind.TABLE, false);
        tableBits = bits;
        tableValue = bits == 0 ? NEVER : table & bits;
        markedTableBits = bits | marks;
        markedTableValue = bits == 0 ? NEVER : (table & bits) | marks;
        tableAddress = format.addressBits();
        pageBits = format.pageBits(level);
        pageValue =
                pageBits == 0
                        ? NEVER
                        : format.leafEntry(0, level, itemLg2, format.attributes(Rights.ALL), 0)
                                & pageBits;
        pageAddress = tableAddress & ~within;
    }

    /** Those of all levels. */
    static LevelRules[] of(PageTableFormat format) {
        LevelRules[] rules = new LevelRules[format.lastTop() + 1];
        LevelRules below = null;
        for (int level = 0; level <= format.lastTop(); level++) {
            below = new LevelRules(format, level, below);
            rules[level] = below;
        }
        return rules;
    }

    long tableBits(boolean marks) {
        return marks ? markedTableBits : tableBits;
    }

    long tableValue(boolean marks) {
        return marks ? markedTableValue : tableValue;
    }

    /** Where in its table the entry of {@code offset} is, if the table is not the top one. */
    long at(long offset) {
        return offset >>> shift & indexMask;
    }

    /** The same of the top table, which may be several side by side. */
    long atTop(long offset) {
        return offset >>> shift & -1L << ENTRY_LG2;
    }
}
