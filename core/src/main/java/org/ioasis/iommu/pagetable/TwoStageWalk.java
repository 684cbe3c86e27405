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
    private long output;
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
        return output;
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
     * @param firstStage null: the address is one between the stages as it is
     * @param secondStage null: what the first leads to is the output, and so is where its tables
     *     are
     * @param memory what the last stage leads to, by its output addresses
     * @param access bits of {@link Rights}; each stage must allow all of them
     * @param marks whether the stages that set accessed and dirty bits do so; a marked entry is
     *     written to
     * @return whether there is an output and no fault
     */
    public boolean walk(
            @Nullable Stage firstStage,
            @Nullable Stage secondStage,
            TableAccess secondTables,
            TableAccess memory,
            long iova,
            int access,
            boolean marks) {
        if (fault != TwoStageFault.NONE) {
            fault = TwoStageFault.NONE;
        }
        intermediate = iova;
        pageLg2 = Long.SIZE;
        rights = Rights.ALL;
        if (firstStage != null
                && !walkFirst(firstStage, secondStage, secondTables, memory, iova, access, marks)) {
            return false;
        }
        output = intermediate;
        if (secondStage == null) {
            return true;
        }
        boolean isMarked = marks && secondStage.marks();
        int asked = access | secondStage.needs();
        if (!Walker.walk(
                secondStage.format(),
                secondTables,
                secondStage.root(),
                intermediate,
                asked,
                isMarked,
                second)) {
            fault = TwoStageFault.SECOND_FOR_INPUT;
            return false;
        }
        output = second.output();
        pageLg2 = Math.min(pageLg2, second.pageLg2());
        rights &= second.rights();
        return true;
    }

    private boolean walkFirst(
            Stage stage,
            @Nullable Stage secondStage,
            TableAccess secondTables,
            TableAccess memory,
            long iova,
            int access,
            boolean marks) {
        TableAccess tables = memory;
        entries.isRefused = false;
        if (secondStage != null) {
            entries.begin(secondStage, secondTables, memory, marks && secondStage.marks());
            tables = entries;
        }
        boolean isThere =
                Walker.walk(
                        stage.format(),
                        tables,
                        stage.root(),
                        iova,
                        access | stage.needs(),
                        marks && stage.marks(),
                        first);
        if (!isThere) {
            // Said by the second stage only if it is what ended the walk.
            fault = entries.isRefused ? TwoStageFault.SECOND_FOR_TABLE : TwoStageFault.FIRST;
            intermediate = first.entryAddress();
            return false;
        }
        intermediate = first.output();
        pageLg2 = first.pageLg2();
        rights = first.rights();
        return true;
    }

    /** Takes away what the context does not let through. Returns whether the access is allowed. */
    boolean permit(int allowed, int access) {
        rights &= allowed;
        if ((access & ~allowed) != 0) {
            fault = TwoStageFault.CONTEXT;
            return false;
        }
        return true;
    }

    /** Entries of the first stage, behind the second. */
    private final class Entries implements TableAccess {
        private @Nullable Stage stage;
        private @Nullable TableAccess tables;
        private @Nullable TableAccess memory;
        private boolean marks;

        /** The last access has failed in the second walk. */
        boolean isRefused;

        @SuppressWarnings("ReferenceEquality") // whether a store can be saved, no more
        void begin(Stage second, TableAccess secondTables, TableAccess behind, boolean isMarked) {
            // Mostly those of the walk before: a reference is stored where it changes only.
            if (stage != second || tables != secondTables || memory != behind) {
                stage = second;
                tables = secondTables;
                memory = behind;
            }
            marks = isMarked;
        }

        /** The memory behind an entry, at the second walk's output; null: it leads to none. */
        private @Nullable TableAccess behind(long address, int access) {
            Stage through = stage;
            TableAccess from = tables;
            isRefused =
                    through == null
                            || from == null
                            || !Walker.walk(
                                    through.format(),
                                    from,
                                    through.root(),
                                    address,
                                    access | through.needs(),
                                    marks,
                                    second);
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
