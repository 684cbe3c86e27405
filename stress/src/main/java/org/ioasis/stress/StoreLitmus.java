// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.iommu.mapping.RadixStore;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;
import org.openjdk.jcstress.infra.results.I_Result;

/** A lookup beside the writer: nothing, or one whole mapping that is or was there. */
public final class StoreLitmus {
    private static final int GRANULE_LG2 = 12;
    private static final long PAGE = 1 << GRANULE_LG2;

    /** Entry 5 on each of four levels, so that a table that changes its place is still found in. */
    private static final long IOVA = 5L << 39 | 5L << 30 | 5L << 21 | 5L << 12;

    private static final long OLD_DELTA = 1L << 50;
    private static final long NEW_DELTA = 1L << 51;
    private static final int OLD_FLAGS = MapFlags.READ;
    private static final int NEW_FLAGS = MapFlags.WRITE;

    private static final int NOTHING = 0;
    private static final int OLD = 1;
    private static final int NEW = 2;
    private static final int WRONG = -1;

    private StoreLitmus() {}

    private static void map(RadixStore store, long first, long pages, long delta, int flags) {
        long last = first + pages * PAGE - 1;
        if (store.map(first, last, first + delta, flags) != MapResult.DONE) {
            throw new IllegalStateException("not mapped");
        }
    }

    private static int which(Extent found, long last) {
        if (Long.compareUnsigned(found.last(), last) > 0) {
            return WRONG;
        }
        if (found.delta() == OLD_DELTA && found.flags() == OLD_FLAGS) {
            return OLD;
        }
        return found.delta() == NEW_DELTA && found.flags() == NEW_FLAGS ? NEW : WRONG;
    }

    /** A mapping of two pages makes room for another in the same place. */
    @JCStressTest
    @Outcome(
            id = "[012], [012]",
            expect = Expect.ACCEPTABLE,
            desc = "per page nothing, the old or the new mapping")
    @Outcome(
            expect = Expect.FORBIDDEN,
            desc = "address and permission of different mappings, or past the end")
    @State
    public static class WholeMapping {
        private static final long LAST = IOVA + 2 * PAGE - 1;

        private final Guards guards = new Guards(() -> 0, lease -> {});
        private final TablePool pool = new TablePool(new Tables(), 8 * PAGE, guards);
        private final RadixStore store = new RadixStore(pool, GRANULE_LG2);
        private final Guard guard = guards.open();
        private final Extent extent = new Extent();

        public WholeMapping() {
            map(store, IOVA, 2, OLD_DELTA, OLD_FLAGS);
        }

        @Actor
        public void mapper() {
            store.unmap(IOVA, LAST);
            map(store, IOVA, 2, NEW_DELTA, NEW_FLAGS);
        }

        @Actor
        public void reader(II_Result result) {
            guard.enter();
            boolean isFound = store.lookup(IOVA, extent);
            if (isFound) {
                store.extend(IOVA, 2 * PAGE, extent);
            }
            result.r1 = isFound ? which(extent, LAST) : NOTHING;
            // As an access goes on: with the next entry, or anew.
            isFound =
                    isFound && store.lookupNext(IOVA + PAGE, extent)
                            || store.lookup(IOVA + PAGE, extent);
            result.r2 = isFound ? which(extent, LAST) : NOTHING;
            long output = store.translate(IOVA, 1, NEW_FLAGS);
            if (output != MappingStore.UNCLEAR && output != IOVA + NEW_DELTA) {
                result.r2 = WRONG;
            }
            guard.leave();
        }
    }

    /**
     * A MAP takes a table that was used before: its old entries are gone before it can be found.
     */
    @JCStressTest
    @Outcome(
            id = {"0, 0", "0, 2"},
            expect = Expect.ACCEPTABLE,
            desc = "only what is mapped is found")
    @Outcome(expect = Expect.FORBIDDEN, desc = "an entry of the table's last use is found")
    @State
    public static class UsedTable {
        private static final long NEIGHBOUR = 1L << 21;

        private final Guards guards = new Guards(() -> 0, lease -> {});
        private final TablePool pool = new TablePool(new Tables(), 8 * PAGE, guards);
        private final RadixStore store = new RadixStore(pool, GRANULE_LG2);
        private final Guard guard = guards.open();
        private final Extent extent = new Extent();

        public UsedTable() {
            map(store, IOVA + 2 * NEIGHBOUR, 1, OLD_DELTA, OLD_FLAGS); // the tables above stay
            map(store, IOVA, 500, OLD_DELTA, OLD_FLAGS);
            long table = IOVA & -NEIGHBOUR;
            store.unmap(table, table + NEIGHBOUR - 1); // dropped as it is, with its entries
        }

        @Actor
        public void mapper() {
            map(store, IOVA + NEIGHBOUR, 1, NEW_DELTA, NEW_FLAGS);
        }

        @Actor
        public void reader(II_Result result) {
            guard.enter();
            result.r1 = look(IOVA + NEIGHBOUR + 499 * PAGE);
            result.r2 = look(IOVA + NEIGHBOUR);
            guard.leave();
        }

        private int look(long iova) {
            return store.lookup(iova, extent) ? which(extent, iova | (PAGE - 1)) : NOTHING;
        }
    }

    /**
     * Tables of one domain go to another while a reader is on its way down: it does not see what
     * they hold now. The reader's loads are slow, since otherwise it would be down too soon.
     */
    @JCStressTest
    @Outcome(id = "[01]", expect = Expect.ACCEPTABLE, desc = "nothing, or the own mapping")
    @Outcome(expect = Expect.FORBIDDEN, desc = "another domain's mapping is found")
    @State
    public static class TableOfAnother {
        private static final int TRIES = 400;

        private final Guards guards = new Guards(() -> 0, lease -> {});
        // Two domains have four tables each: the second has to wait for one of the first's.
        private final TablePool pool = new TablePool(new SlowTables(), 7 * PAGE, guards);
        private final RadixStore own = new RadixStore(pool, GRANULE_LG2);
        private final RadixStore other = new RadixStore(pool, GRANULE_LG2);
        private final Guard guard = guards.open();
        private final Extent extent = new Extent();

        public TableOfAnother() {
            map(own, IOVA, 1, OLD_DELTA, OLD_FLAGS);
        }

        @Actor
        public void mapper() {
            own.unmap(IOVA, IOVA + PAGE - 1);
            for (int i = 0; i < TRIES; i++) {
                MapResult result = other.map(IOVA, IOVA + PAGE - 1, IOVA + NEW_DELTA, NEW_FLAGS);
                if (result == MapResult.DONE) {
                    return;
                }
                guards.poll();
            }
        }

        @Actor
        public void reader(I_Result result) {
            guard.enter();
            result.r1 = own.lookup(IOVA, extent) ? which(extent, IOVA | (PAGE - 1)) : NOTHING;
            guard.leave();
        }
    }

    /** Loads of readers take about as long as a change. */
    private static final class SlowTables extends Tables {
        private static final int SPINS = 8;

        @Override
        public long getAcquire(long word) {
            long value = super.getAcquire(word);
            for (int i = 0; i < SPINS; i++) {
                Thread.onSpinWait();
            }
            return value;
        }
    }
}
