// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.junit.jupiter.api.Test;

/**
 * Readers beside the writer, in tables that are used again as soon as they may be. Every answer
 * must be one complete leaf of exactly one mapping that may still be used; nothing is bounded by
 * time.
 */
final class RadixStoreThreadsTest {
    private static final int READERS = 2;
    private static final int CHANGES = 300_000;
    private static final int LOOKUPS_PER_SECTION = 8;
    private static final long PAGE = 0x1000;

    /**
     * One of the mappings that the writer makes and takes away. Its distance to the output says
     * which it is, so that a reader can judge a leaf by itself.
     */
    private record Candidate(int id, long first, long last) {
        long delta() {
            return (long) (id + 1) << 40;
        }

        int flags() {
            return 1 + id % 7;
        }
    }

    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final List<Candidate> candidates = candidates();

    // 1 from before the MAP until the UNMAP is quiescent.
    private final AtomicIntegerArray mayBeUsed = new AtomicIntegerArray(candidates.size());
    private final AtomicBoolean isOver = new AtomicBoolean();
    private final AtomicReference<String> wrong = new AtomicReference<>();

    /** Ranges of all kinds that overlap, around the borders of tables of three levels. */
    private static List<Candidate> candidates() {
        List<Candidate> list = new ArrayList<>();
        for (long start = (1L << 30) - 4 * (1L << 21); list.size() < 4000; ) {
            RandomGenerator random =
                    RandomGeneratorFactory.of("L64X128MixRandom").create(list.size());
            long first = start + PAGE * random.nextInt(4096);
            long pages =
                    switch (random.nextInt(4)) {
                        case 0 -> 1;
                        case 1 -> 1 + random.nextInt(16);
                        case 2 -> 512;
                        default -> 1 + random.nextInt(2000);
                    };
            if (pages >= 512 && random.nextBoolean()) {
                first &= -(1L << 21);
            }
            list.add(new Candidate(list.size(), first, first + pages * PAGE - 1));
        }
        return list;
    }

    @Test
    void readersSeeNothingOrOneWholeMappingThatIsNotTakenAway() throws InterruptedException {
        TablePool pool = new TablePool(new SegmentTables(40 * 4096), 40 * 4096, guards);
        RadixStore store = new RadixStore(pool, 12);
        List<Thread> readers = new ArrayList<>();
        long[] found = new long[READERS];
        for (int i = 0; i < READERS; i++) {
            int number = i;
            Guard guard = guards.open();
            readers.add(
                    Thread.ofPlatform().start(() -> found[number] = read(store, guard, number)));
        }
        int done = write(store);
        isOver.set(true);
        for (Thread reader : readers) {
            reader.join();
        }
        while (guards.hasPending()) {
            guards.poll();
        }

        assertThat(wrong.get()).isNull();
        assertThat(done).isGreaterThan(CHANGES / 10);
        for (long some : found) {
            assertThat(some).isPositive();
        }
        store.unmap(0, -1L);
        assertThat(pool.tableBytes()).isLessThanOrEqualTo(6 * 4096);
    }

    private int write(RadixStore store) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(7);
        List<Candidate> mapped = new ArrayList<>();
        int done = 0;
        for (int i = 0; i < CHANGES && wrong.get() == null; i++) {
            Candidate next = candidates.get(random.nextInt(candidates.size()));
            if (map(store, next)) {
                mapped.add(next);
                done++;
            } else if (mapped.isEmpty()) {
                // A reader that was stopped inside its section holds everything up.
                while (guards.hasPending()) {
                    LockSupport.parkNanos(20_000);
                    guards.poll();
                }
            } else {
                // In the way, or out of tables: make room.
                Candidate one = mapped.remove(random.nextInt(mapped.size()));
                if (store.unmap(one.first(), one.last()) != 1) {
                    wrong.set("not one mapping removed: " + one);
                }
                guards.await(new Unmapped(one));
            }
            guards.poll();
        }
        return done;
    }

    private boolean map(RadixStore store, Candidate one) {
        if (mayBeUsed.get(one.id()) != 0) {
            return false; // is mapped, or not yet quiescent
        }
        mayBeUsed.set(one.id(), 1);
        MapResult result =
                store.map(one.first(), one.last(), one.first() + one.delta(), one.flags());
        if (result != MapResult.DONE) {
            mayBeUsed.set(one.id(), 0);
        }
        return result == MapResult.DONE;
    }

    private final class Unmapped extends Quiescence {
        private final Candidate one;

        Unmapped(Candidate one) {
            this.one = one;
        }

        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false;
        }

        @Override
        protected void quiescent() {
            mayBeUsed.set(one.id(), 0);
        }
    }

    /** Returns how many lookups found something. */
    private long read(RadixStore store, Guard guard, int number) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(number);
        Extent extent = new Extent();
        long found = 0;
        while (!isOver.get() || found == 0) {
            guard.enter();
            for (int i = 0; i < LOOKUPS_PER_SECTION; i++) {
                Candidate near = candidates.get(random.nextInt(candidates.size()));
                long iova = near.first() + random.nextLong(near.last() - near.first() + 1);
                if (store.lookup(iova, 1 + random.nextInt(1 << 14), extent)) {
                    found++;
                    check(iova, extent);
                }
            }
            guard.leave();
            if (wrong.get() != null) {
                break;
            }
        }
        return found;
    }

    private void check(long iova, Extent extent) {
        int id = (int) (extent.delta() >>> 40) - 1;
        if (id < 0 || id >= candidates.size()) {
            wrong.set("0x%x found with delta 0x%x".formatted(iova, extent.delta()));
            return;
        }
        Candidate one = candidates.get(id);
        if (extent.delta() != one.delta()
                || extent.flags() != one.flags()
                || iova < one.first()
                || iova > one.last()
                || extent.last() > one.last()) {
            wrong.set(
                    "0x%x found up to 0x%x with flags %d in %s"
                            .formatted(iova, extent.last(), extent.flags(), one));
        } else if (mayBeUsed.get(id) == 0) {
            wrong.set("0x%x found in %s, which was unmapped".formatted(iova, one));
        }
    }
}
