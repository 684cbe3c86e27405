// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.memory.Guards;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The radix store against the interval store, which is too plain to be wrong: random operations on
 * both must answer the same. A failure prints its seed and the fewest operations that still fail.
 *
 * <p>The system property {@code ioasis.seed} replays one seed instead of the usual ones.
 */
final class RadixStoreRandomTest {
    private static final int SEEDS = 63;
    private static final int OPERATIONS = 4000;
    private static final long QUOTA = 300L * TablePool.TABLE_BYTES;

    sealed interface Op {
        record Map(long first, long last, long output, int flags) implements Op {}

        record Unmap(long first, long last) implements Op {}

        /** All questions that change nothing. */
        record Ask(long first, long last) implements Op {}

        /** Everything that can be seen, and what it costs. */
        record Compare() implements Op {}
    }

    @ParameterizedTest
    @CsvSource({"12", "16", "21", "30"})
    void answersAsTheIntervalStoreDoes(int granuleLg2) {
        String replayed = System.getProperty("ioasis.seed");
        if (replayed != null) {
            checkSeed(Long.parseLong(replayed), granuleLg2);
            return;
        }
        for (int seed = 1; seed <= SEEDS; seed++) {
            checkSeed(seed, granuleLg2);
        }
    }

    @Test
    void shrinkingLeavesTheFewestOperationsThatFail() {
        List<Op> ops = operations(1, 12);
        Op first = new Op.Map(0x1000, 0x1fff, 0, 1);
        Op second = new Op.Unmap(0x1000, 0x1fff);
        ops.add(700, first);
        ops.add(3100, second);

        List<Op> left = shrink(ops, some -> some.contains(first) && some.contains(second));

        assertThat(left).containsExactly(first, second);
    }

    private static void checkSeed(long seed, int granuleLg2) {
        List<Op> ops = operations(seed, granuleLg2);
        if (failure(ops, granuleLg2) == null) {
            return;
        }
        List<Op> fewest = shrink(ops, some -> failure(some, granuleLg2) != null);
        StringBuilder text = new StringBuilder();
        fewest.forEach(op -> text.append("\n  ").append(hex(op)));
        fail(
                "seed %d, granule 2^%d: %s%s"
                        .formatted(seed, granuleLg2, failure(fewest, granuleLg2), text));
    }

    private static String hex(Op op) {
        return switch (op) {
            case Op.Map(var first, var last, var output, var flags) ->
                    "map 0x%x..0x%x -> 0x%x flags %d".formatted(first, last, output, flags);
            case Op.Unmap(var first, var last) -> "unmap 0x%x..0x%x".formatted(first, last);
            case Op.Ask(var first, var last) -> "ask 0x%x..0x%x".formatted(first, last);
            case Op.Compare() -> "compare";
        };
    }

    interface Fails {
        boolean test(List<Op> ops);
    }

    /** Drops operations, in ever smaller pieces, as long as what is left still fails. */
    private static List<Op> shrink(List<Op> failing, Fails fails) {
        List<Op> left = failing;
        for (int piece = Math.max(1, left.size() / 2); piece >= 1; piece /= 2) {
            for (int at = left.size() - piece; at >= 0; at -= piece) {
                List<Op> fewer = new ArrayList<>(left);
                fewer.subList(at, Math.min(at + piece, fewer.size())).clear();
                if (fails.test(fewer)) {
                    left = fewer;
                }
            }
        }
        return left;
    }

    // What to do

    private static List<Op> operations(long seed, int granuleLg2) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        List<Op> ops = new ArrayList<>();
        // A small space makes ranges meet; a large one makes deep trees.
        int spread = 1 + random.nextInt(8);
        for (int i = 0; i < OPERATIONS; i++) {
            long first = address(random, granuleLg2, spread);
            long last = end(random, granuleLg2, first, spread);
            int kind = random.nextInt(100);
            if (kind < 45) {
                long output = output(random, granuleLg2, first, last);
                ops.add(new Op.Map(first, last, output, 1 + random.nextInt(7)));
            } else if (kind < 65) {
                ops.add(new Op.Unmap(first, last));
            } else if (kind < 75) {
                // One that was mapped, or several, so that more than refusals happen.
                Op.Map one = anyMap(ops, random);
                Op.Map other = random.nextInt(4) == 0 ? anyMap(ops, random) : one;
                boolean isOrdered = Long.compareUnsigned(one.first(), other.last()) <= 0;
                ops.add(
                        new Op.Unmap(
                                isOrdered ? one.first() : other.first(),
                                isOrdered ? other.last() : one.last()));
            } else if (kind < 99) {
                ops.add(new Op.Ask(first, last));
            } else if (random.nextInt(3) == 0) {
                ops.add(new Op.Unmap(0, -1L));
            } else {
                ops.add(new Op.Compare());
            }
        }
        ops.add(new Op.Compare());
        return ops;
    }

    private static Op.Map anyMap(List<Op> ops, RandomGenerator random) {
        for (int tries = 0; tries < 20 && !ops.isEmpty(); tries++) {
            if (ops.get(random.nextInt(ops.size())) instanceof Op.Map map) {
                return map;
            }
        }
        return new Op.Map(0, -1L, 0, 1);
    }

    private static final long[] CORNERS = {
        0, 1L << 21, 1L << 30, 1L << 39, 1L << 48, 1L << 57, 1L << 63, -(1L << 30), -(1L << 21), 0
    };

    /** Near some border of tables, at either end of the space too. */
    private static long address(RandomGenerator random, int granuleLg2, int spread) {
        long corner = CORNERS[random.nextInt(Math.min(CORNERS.length, spread + 2))];
        long step = 1L << (granuleLg2 + 9 * random.nextInt(spread < 4 ? 2 : 3));
        long near = corner + step * (random.nextInt(16) - 8);
        return (near + ((long) (random.nextInt(12) - 6) << granuleLg2)) & -(1L << granuleLg2);
    }

    private static long end(RandomGenerator random, int granuleLg2, long first, int spread) {
        int lg2 = granuleLg2 + random.nextInt(1 + Math.min(spread * 7, 63 - granuleLg2));
        long length = random.nextInt(3) == 0 ? 1L << granuleLg2 : 1L << lg2;
        if (random.nextInt(4) == 0) {
            length += (long) random.nextInt(4) << granuleLg2;
        }
        long last = first + (length - 1);
        return Long.compareUnsigned(last, first) < 0 || random.nextInt(200) == 0 ? -1L : last;
    }

    private static long output(RandomGenerator random, int granuleLg2, long first, long last) {
        long length = last - first;
        long output =
                switch (random.nextInt(3)) {
                    case 0 -> first;
                    case 1 -> first + (1L << 40);
                    default -> random.nextLong();
                };
        output &= -(1L << granuleLg2);
        // Not past the top: nobody asks a store for that.
        return Long.compareUnsigned(output + length, output) < 0 ? -1L - length : output;
    }

    // What must come of it

    private static @Nullable String failure(List<Op> ops, int granuleLg2) {
        Guards guards = new Guards(() -> 0, lease -> {});
        TablePool pool = new TablePool(new SegmentTables(QUOTA), QUOTA, guards);
        RadixStore radix = new RadixStore(pool, granuleLg2);
        IntervalStore model = new IntervalStore();
        try {
            for (Op op : ops) {
                String wrong = wrong(op, radix, model, pool, granuleLg2);
                if (wrong != null) {
                    return hex(op) + ": " + wrong;
                }
            }
        } catch (RuntimeException e) {
            return e.toString();
        }
        return null;
    }

    private static @Nullable String wrong(
            Op op, RadixStore radix, IntervalStore model, TablePool pool, int granuleLg2) {
        return switch (op) {
            case Op.Map(var first, var last, var output, var flags) -> {
                long before = pool.tableBytes();
                MapResult result = radix.map(first, last, output, flags);
                if (result == MapResult.NO_MEMORY) {
                    // The kept chain may have been given up for it; nothing may have been taken.
                    yield model.overlaps(first, last)
                            ? "no memory, but overlaps"
                            : pool.tableBytes() > before ? "a refused MAP took tables" : null;
                }
                MapResult expected = model.map(first, last, output, flags);
                yield result == expected ? null : result + " instead of " + expected;
            }
            case Op.Unmap(var first, var last) -> {
                long removed = radix.unmap(first, last);
                long expected = model.unmap(first, last);
                yield removed != expected
                        ? removed + " instead of " + expected
                        : radix.size() != model.size() ? "size " + radix.size() : null;
            }
            case Op.Ask(var first, var last) -> wrongAnswer(first, last, radix, model);
            case Op.Compare() -> wrongWhole(radix, model, pool, granuleLg2);
        };
    }

    private static @Nullable String wrongAnswer(
            long first, long last, RadixStore radix, IntervalStore model) {
        if (radix.overlaps(first, last) != model.overlaps(first, last)) {
            return "overlaps";
        }
        if (radix.splits(first, last) != model.splits(first, last)) {
            return "splits";
        }
        String wrong = difference(visited(radix, first, last), visited(model, first, last));
        if (wrong == null) {
            wrong = difference(runs(radix, first, last), runs(model, first, last));
        }
        if (wrong == null) {
            wrong = difference(nearest(radix, first), nearest(model, first));
        }
        if (wrong != null) {
            return wrong;
        }
        wrong = wrongLookup(first, last - first + 1, radix, model);
        return wrong == null ? wrongLookup(last, 1, radix, model) : wrong;
    }

    private static @Nullable String difference(Visits visits, Visits expected) {
        return visits.isLike(expected) ? null : visits + "instead of " + expected;
    }

    private static @Nullable String wrongLookup(
            long iova, long length, RadixStore radix, IntervalStore model) {
        Extent found = new Extent();
        Extent expected = new Extent();
        long wanted = length == 0 ? -1L : length;
        boolean isFound = radix.lookup(iova, wanted, found);
        if (isFound != model.lookup(iova, wanted, expected)) {
            return "found 0x%x: %b".formatted(iova, isFound);
        }
        if (!isFound) {
            return null;
        }
        if (found.delta() != expected.delta() || found.flags() != expected.flags()) {
            return "delta or flags of 0x%x".formatted(iova);
        }
        // It may stop early or go on into neighbours that are alike, never into anything else.
        while (Long.compareUnsigned(expected.last(), found.last()) < 0) {
            long next = expected.last() + 1;
            if (!model.lookup(next, 1, expected)
                    || expected.delta() != found.delta()
                    || expected.flags() != found.flags()) {
                return "0x%x reaches to 0x%x".formatted(iova, found.last());
            }
        }
        return Long.compareUnsigned(found.last(), iova) < 0 ? "reach is negative" : null;
    }

    private static @Nullable String wrongWhole(
            RadixStore radix, IntervalStore model, TablePool pool, int granuleLg2) {
        String wrong = difference(visited(radix, 0, -1L), visited(model, 0, -1L));
        if (wrong != null) {
            return wrong;
        }
        // A tree of the fewest tables, one kept chain, and levels on top that it once needed.
        long fewest = fewestTables(model, granuleLg2);
        long tables = pool.tableBytes() / TablePool.TABLE_BYTES;
        return tables < fewest || tables > fewest + 8
                ? "%d tables for %d mappings that need %d".formatted(tables, model.size(), fewest)
                : null;
    }

    /** Tables that hold all mappings in largest leaves, under a root of three levels or more. */
    private static long fewestTables(IntervalStore model, int granuleLg2) {
        long[] top = {granuleLg2 + 18};
        model.mappings(
                0,
                -1L,
                (first, last, output, flags) -> {
                    while (last >>> top[0] > 511) {
                        top[0] += 9;
                    }
                    return true;
                });
        Set<String> tables = new HashSet<>();
        model.mappings(
                0,
                -1L,
                (first, last, output, flags) -> {
                    addTables(tables, first, first, last, (int) top[0], granuleLg2);
                    addTables(tables, last, first, last, (int) top[0], granuleLg2);
                    return true;
                });
        return tables.size();
    }

    private static void addTables(
            Set<String> tables, long edge, long first, long last, int top, int granuleLg2) {
        for (int shift = top; shift >= granuleLg2; shift -= 9) {
            tables.add(shift + ":" + (shift + 9 < 64 ? edge >>> (shift + 9) : 0));
            long inSlot = (1L << shift) - 1;
            boolean isWhole = Ranges.covers(first, last, edge & ~inSlot, edge | inSlot);
            if (isWhole) {
                return;
            }
        }
    }

    private static Visits visited(MappingStore store, long first, long last) {
        Visits visits = new Visits();
        store.mappings(first, last, visits);
        return visits;
    }

    private static Visits runs(MappingStore store, long first, long last) {
        Visits visits = new Visits();
        store.runs(first, last, visits);
        return visits;
    }

    private static Visits nearest(MappingStore store, long iova) {
        Visits visits = new Visits();
        store.nearest(iova, visits);
        return visits;
    }

    /** What a store told, compared without making text of it. */
    private static final class Visits implements RunVisitor {
        private long[] words = new long[64];
        private int size;

        @Override
        public boolean run(long first, long last, long output, int flags) {
            if (size + 4 > words.length) {
                words = Arrays.copyOf(words, words.length * 2);
            }
            words[size++] = first;
            words[size++] = last;
            words[size++] = output;
            words[size++] = flags;
            return true;
        }

        boolean isLike(Visits other) {
            return Arrays.equals(words, 0, size, other.words, 0, other.size);
        }

        @Override
        public String toString() {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < size; i += 4) {
                text.append(
                        "0x%x..0x%x->0x%x f%d "
                                .formatted(words[i], words[i + 1], words[i + 2], words[i + 3]));
            }
            return text.toString();
        }
    }
}
