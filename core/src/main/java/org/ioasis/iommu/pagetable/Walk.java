// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;

/**
 * The answer of a walk, used again for the next one. One thread.
 *
 * <p>Of a fault it says the level and the address of the entry; the stage is known to who walks
 * several.
 */
public final class Walk {
    final Cell cell = new Cell();
    WalkFault fault = WalkFault.NONE;
    Outcome tableOutcome = Outcome.OK;
    int level;
    long entryAddress;
    long entry;
    long output;
    int pageLg2;
    int rights;

    /** How often the entry was to be marked. */
    int tries;

    public WalkFault fault() {
        return fault;
    }

    /** What became of the access to an entry, if {@link #fault} is TABLE. */
    public Outcome tableOutcome() {
        return tableOutcome;
    }

    /** Level of the last entry that was looked at. */
    public int level() {
        return level;
    }

    /** Where that entry is. */
    public long entryAddress() {
        return entryAddress;
    }

    /** That entry, if it was read. */
    public long entry() {
        return entry;
    }

    /** What the address is translated to. */
    public long output() {
        return output;
    }

    /** Size of the page around it. */
    public int pageLg2() {
        return pageLg2;
    }

    /** What all levels together allow. */
    public int rights() {
        return rights;
    }

    // References are stored where they change: each store of one costs the collector's barrier.

    void begin() {
        if (fault != WalkFault.NONE) {
            fault = WalkFault.NONE;
            tableOutcome = Outcome.OK;
        }
        rights = Rights.ALL;
        tries = 0;
    }

    /** An entry is looked at. */
    void found(long entry, int level, long entryAddress) {
        if (entryAddress != this.entryAddress) {
            tries = 0;
        }
        this.entry = entry;
        this.level = level;
        this.entryAddress = entryAddress;
    }

    /** It is a page. */
    boolean leaf(long output, int pageLg2, int allowed, int access) {
        this.output = output;
        this.pageLg2 = pageLg2;
        rights = allowed;
        return (access & ~allowed) == 0 || fail(WalkFault.PERMISSION);
    }

    boolean fail(WalkFault fault) {
        this.fault = fault;
        return false;
    }

    /** There is no entry to be looked at. */
    boolean fail(WalkFault fault, int level, long entryAddress) {
        found(0, level, entryAddress);
        return fail(fault);
    }

    boolean fail(Outcome outcome) {
        this.tableOutcome = outcome;
        return fail(WalkFault.TABLE);
    }

    /** The entry cannot be loaded. */
    boolean fail(Outcome outcome, int level, long entryAddress) {
        found(0, level, entryAddress);
        return fail(outcome);
    }
}
