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
        walk.fault = WalkFault.NONE;
        walk.tableOutcome = Outcome.OK;
        walk.entry = 0;
        walk.entryAddress = 0;
        int top = Root.level(root);
        int level = top;
        walk.level = level;
        long offset = format.offset(iova);
        if (!format.admits(iova, iova) || !Bits.fits(offset, format.reachLg2(top))) {
            return walk.fail(WalkFault.RANGE);
        }
        long table = Root.address(root);
        int rights = Rights.ALL;
        int tries = 0;
        while (true) {
            long at = table + format.index(offset, level, level == top) * Long.BYTES;
            walk.level = level;
            walk.entryAddress = at;
            Outcome loaded = tables.load(at, walk.cell);
            if (loaded != Outcome.OK) {
                return walk.fail(loaded);
            }
            long entry = walk.cell.word();
            walk.entry = entry;
            EntryKind kind = format.kind(entry, level);
            if (kind == EntryKind.EMPTY) {
                return walk.fail(WalkFault.TRANSLATION);
            }
            if (kind == EntryKind.INVALID) {
                return walk.fail(WalkFault.FORMAT);
            }
            int allowed = rights & format.rights(entry, level);
            int below = level;
            if (kind == EntryKind.LEAF) {
                int pageLg2 = format.leafLg2(entry, level);
                walk.pageLg2 = pageLg2;
                walk.output = format.output(entry, level) | (offset & Bits.mask(pageLg2));
                walk.rights = allowed;
                if (!Bits.fits(walk.output, format.outputBits())) {
                    return walk.fail(WalkFault.ADDRESS_SIZE);
                }
                if (!marks && format.isUnaccessed(entry)) {
                    return walk.fail(WalkFault.ACCESS_FLAG);
                }
                if ((access & ~allowed) != 0) {
                    return walk.fail(WalkFault.PERMISSION);
                }
            } else {
                below = format.tableLevel(entry, level);
                if (below < 0 || below >= level) {
                    return walk.fail(WalkFault.FORMAT);
                }
                if (!Bits.fits(format.table(entry, level), format.outputBits())) {
                    return walk.fail(WalkFault.ADDRESS_SIZE);
                }
                // Levels that are left out have only their first entry.
                long skipped =
                        offset
                                & Bits.mask(format.itemLg2(level))
                                & ~Bits.mask(format.itemLg2(below + 1));
                if (skipped != 0) {
                    return walk.fail(WalkFault.TRANSLATION);
                }
            }
            if (marks) {
                boolean isWrite = kind == EntryKind.LEAF && (access & Rights.WRITE) != 0;
                long marked = format.marked(entry, kind, isWrite);
                if (marked != entry) {
                    Outcome outcome = tables.exchange(at, entry, marked, walk.cell);
                    if (outcome != Outcome.OK) {
                        return walk.fail(outcome);
                    }
                    if (walk.cell.word() != entry) {
                        // Somebody was faster: what the entry says now counts.
                        if (++tries == MARK_TRIES) {
                            return walk.fail(Outcome.FAULT);
                        }
                        continue;
                    }
                    walk.entry = marked;
                }
            }
            if (kind == EntryKind.LEAF) {
                return true;
            }
            table = format.table(entry, level);
            level = below;
            rights = allowed;
            tries = 0;
        }
    }
}
