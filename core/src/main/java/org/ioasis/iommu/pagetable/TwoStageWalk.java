// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * The answer of a walk through two stages, used again for the next one, and the way on which the
 * first stage finds its entries meanwhile. One thread.
 */
public final class TwoStageWalk {
    private final Walk first = new Walk();
    private final Walk second = new Walk();
    private final Entries entries = new Entries();
    private TwoStageFault fault = TwoStageFault.NONE;
    private long intermediate;
    private int pageLg2;
    private int rights;

    public TwoStageFault fault() {
        return fault;
    }

    /** The walk that has the reason of a fault: of the first stage or of the second. */
    public Walk failed() {
        return fault == TwoStageFault.FIRST ? first : second;
    }

    /** The first stage, as far as it came. */
    public Walk first() {
        return first;
    }

    /**
     * The address between the stages: what the first leads to, or of its entry for which the second
     * has no answer.
     */
    public long intermediate() {
        return intermediate;
    }

    /** What the address is translated to. */
    public long output() {
        return second.output();
    }

    /** Size of what is translated alike: that of the smaller page of both. */
    public int pageLg2() {
        return pageLg2;
    }

    /** What both stages together allow. */
    public int rights() {
        return rights;
    }

    /**
     * Translates {@code iova} through both stages. No entry of the first is touched but where the
     * second leads: each one takes a walk of it. So a walk reads at most {@code first} levels times
     * one more than the {@code second} has, and those once again; marks come on top.
     *
     * @param firstRoot as {@link Root} has it, at an address between the stages
     * @param memory what the second stage leads to, by its output addresses
     * @param access bits of {@link Rights}; each stage must allow all of them
     * @param marks whether both stages set accessed and dirty bits; a marked entry is written to
     * @return whether there is an output and no fault
     */
    public boolean walk(
            PageTableFormat firstFormat,
            long firstRoot,
            PageTableFormat secondFormat,
            TableAccess secondTables,
            long secondRoot,
            TableAccess memory,
            long iova,
            int access,
            boolean marks) {
        entries.begin(secondFormat, secondTables, secondRoot, memory, marks);
        fault = TwoStageFault.NONE;
        if (!Walker.walk(firstFormat, entries, firstRoot, iova, access, marks, first)) {
            // Said by the second stage only if it is what ended the walk.
            fault = entries.isRefused ? TwoStageFault.SECOND_FOR_TABLE : TwoStageFault.FIRST;
            intermediate = first.entryAddress();
            return false;
        }
        intermediate = first.output();
        if (!Walker.walk(
                secondFormat, secondTables, secondRoot, intermediate, access, marks, second)) {
            fault = TwoStageFault.SECOND_FOR_INPUT;
            return false;
        }
        pageLg2 = Math.min(first.pageLg2(), second.pageLg2());
        rights = first.rights() & second.rights();
        return true;
    }

    /** Entries of the first stage, behind the second. */
    private final class Entries implements TableAccess {
        private @Nullable PageTableFormat format;
        private @Nullable TableAccess tables;
        private @Nullable TableAccess memory;
        private long root;
        private boolean marks;
        private boolean isRefused;

        void begin(
                PageTableFormat secondFormat,
                TableAccess secondTables,
                long secondRoot,
                TableAccess behind,
                boolean isMarked) {
            format = secondFormat;
            tables = secondTables;
            root = secondRoot;
            memory = behind;
            marks = isMarked;
            isRefused = false;
        }

        /** The memory behind an entry, at the second walk's output; null: it leads to none. */
        private @Nullable TableAccess behind(long address, int access) {
            isRefused =
                    format == null
                            || tables == null
                            || !Walker.walk(format, tables, root, address, access, marks, second);
            return isRefused ? null : memory;
        }

        @Override
        public Outcome load(long address, Cell into) {
            TableAccess behind = behind(address, Rights.READ);
            return behind == null ? Outcome.FAULT : behind.load(second.output(), into);
        }

        @Override
        public Outcome exchange(long address, long expected, long word, Cell witness) {
            TableAccess behind = behind(address, Rights.READ | Rights.WRITE);
            return behind == null
                    ? Outcome.FAULT
                    : behind.exchange(second.output(), expected, word, witness);
        }
    }
}
