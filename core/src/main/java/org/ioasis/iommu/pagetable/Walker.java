// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;

/**
 * Looks an address up in a page table of any format, whoever owns it. Any thread, inside a guarded
 * section; takes no lock and allocates nothing.
 *
 * <p>Tables may be written while they are walked, and by a guest with anything: each entry is read
 * once, the level goes down with each table, and how often a mark is tried is bounded.
 */
public final class Walker {
    /**
     * How often a mark is tried at one entry. Other devices set the same few bits, so a second look
     * nearly always finds them set; a guest that changes its entry all the time gets a fault.
     */
    static final int MARK_TRIES = 16;

    /** Answers of {@link #ask} that are no address: those are multiples of eight. */
    private static final long DONE = 1;

    private static final long FAILED = 2;

    private Walker() {}

    /**
     * Translates {@code iova}.
     *
     * @param root as {@link Root} has it
     * @param access bits of {@link Rights}; none asks only what is there
     * @param marks whether accessed and dirty bits are set on the way
     * @return whether {@code walk} has an output and no fault
     */
    public static boolean walk(
            PageTableFormat format,
            TableAccess tables,
            long root,
            long iova,
            int access,
            boolean marks,
            Walk walk) {
        walk.begin();
        LevelRules[] levels = format.rules();
        LevelRules rules = levels[Root.level(root)];
        long offset = format.offset(iova);
        if (!format.admits(iova) || (offset & rules.outside) != 0) {
            return walk.fail(WalkFault.RANGE, rules.level, 0);
        }
        long at = Root.address(root) + rules.atTop(offset);
        Cell cell = walk.cell;
        while (true) {
            Outcome loaded = tables.load(at, cell);
            if (loaded != Outcome.OK) {
                return walk.fail(loaded, rules.level, at);
            }
            long entry = cell.word();
            if ((entry & rules.tableBits(marks)) == rules.tableValue(marks)) {
                at = entry & rules.tableAddress;
                rules = rules.below;
                at += rules.at(offset);
                continue;
            }
            walk.found(entry, rules.level, at);
            if (!marks && (entry & rules.pageBits) == rules.pageValue) {
                int allowed = walk.rights & format.rights(entry, rules.level);
                long output = (entry & rules.pageAddress) | (offset & rules.within);
                return walk.leaf(output, rules.itemLg2, allowed, access);
            }
            long next = ask(format, tables, offset, access, marks, walk);
            if (next == DONE || next == FAILED) {
                return next == DONE;
            }
            at = next;
            rules = levels[walk.level];
        }
    }

    /**
     * Asks the format what an entry is, and marks it.
     *
     * @return where to look next, at the level that the walk then has: at an entry of the next
     *     table, or at the same one again if somebody was faster with a mark; {@link #DONE} and
     *     {@link #FAILED} are no such places
     */
    private static long ask(
            PageTableFormat format,
            TableAccess tables,
            long offset,
            int access,
            boolean marks,
            Walk walk) {
        long entry = walk.entry;
        int level = walk.level;
        EntryKind kind = format.kind(entry, level);
        if (kind == EntryKind.EMPTY || kind == EntryKind.INVALID) {
            walk.fail(kind == EntryKind.EMPTY ? WalkFault.TRANSLATION : WalkFault.FORMAT);
            return FAILED;
        }
        boolean isLeaf = kind == EntryKind.LEAF;
        int allowed = walk.rights & format.rights(entry, level);
        if (!(isLeaf
                ? leads(format, offset, allowed, access, marks, walk)
                : leadsOn(format, offset, walk))) {
            return FAILED;
        }
        long marked = marks ? marked(format, kind, access, walk) : entry;
        if (marked != entry) {
            Outcome outcome = tables.exchange(walk.entryAddress, entry, marked, walk.cell);
            if (outcome != Outcome.OK) {
                walk.fail(outcome);
                return FAILED;
            }
            if (walk.cell.word() != entry) {
                // Somebody was faster: what the entry says now counts.
                if (++walk.tries < MARK_TRIES) {
                    return walk.entryAddress;
                }
                walk.fail(Outcome.FAULT);
                return FAILED;
            }
            walk.entry = marked;
        }
        walk.rights = allowed;
        if (isLeaf) {
            return DONE;
        }
        walk.level = format.tableLevel(entry, level);
        return format.table(entry, level) + format.rules()[walk.level].at(offset);
    }

    private static long marked(PageTableFormat format, EntryKind kind, int access, Walk walk) {
        boolean isWrite = kind == EntryKind.LEAF && (access & Rights.WRITE) != 0;
        return format.marked(walk.entry, kind, isWrite);
    }

    /** What a page translates to, and whether it may. */
    private static boolean leads(
            PageTableFormat format,
            long offset,
            int allowed,
            int access,
            boolean marks,
            Walk walk) {
        long entry = walk.entry;
        int level = walk.level;
        int pageLg2 = format.leafLg2(entry, level);
        walk.pageLg2 = pageLg2;
        walk.output = format.output(entry, level) | (offset & Bits.mask(pageLg2));
        if (!Bits.fits(walk.output, format.outputBits())) {
            return walk.fail(WalkFault.ADDRESS_SIZE);
        }
        if (!marks && format.isUnaccessed(entry)) {
            return walk.fail(WalkFault.ACCESS_FLAG);
        }
        return (access & ~allowed) == 0 || walk.fail(WalkFault.PERMISSION);
    }

    /** Whether a table can be where an entry says. */
    private static boolean leadsOn(PageTableFormat format, long offset, Walk walk) {
        long entry = walk.entry;
        int level = walk.level;
        int below = format.tableLevel(entry, level);
        if (below < 0 || below >= level) {
            return walk.fail(WalkFault.FORMAT);
        }
        if (!Bits.fits(format.table(entry, level), format.outputBits())) {
            return walk.fail(WalkFault.ADDRESS_SIZE);
        }
        // Levels that are left out have only their first entry.
        long skipped =
                offset & Bits.mask(format.itemLg2(level)) & ~Bits.mask(format.itemLg2(below + 1));
        return skipped == 0 || walk.fail(WalkFault.TRANSLATION);
    }
}
