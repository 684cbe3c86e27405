// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** The tree finds what a list that is searched from one end finds. */
class IntervalTreeTest {
    private record Range(long first, long last) {
        boolean touches(long from, long to) {
            return Long.compareUnsigned(first, to) <= 0 && Long.compareUnsigned(last, from) >= 0;
        }
    }

    private final IntervalTree.Gap gap = new IntervalTree.Gap();

    @Test
    void aRangeMayReachTheLastNumber() {
        IntervalTree<String> tree = new IntervalTree<>();
        tree.insert(-16, -1, "end");

        assertThat(tree.value(tree.overlapping(-1, -1))).isEqualTo("end");
        assertThat(tree.overlaps(0, -17)).isFalse();
        assertThat(tree.gap(-8, 1, gap)).isFalse();
        assertThat(tree.gap(-17, 1, gap)).isTrue();
        assertThat(gap.first()).isEqualTo(gap.last()).isEqualTo(-17);
    }

    @Test
    void aTreeOfOneRangeFindsItAndTheGapsBesideIt() {
        IntervalTree<String> tree = new IntervalTree<>();
        assertThat(tree.overlaps(0, -1)).isFalse();
        assertThat(tree.gap(3, 5, gap)).isTrue();
        assertThat(gap.first()).isEqualTo(3);
        tree.insert(10, 19, "one");

        assertThat(tree.overlaps(0, 9)).isFalse();
        assertThat(tree.overlaps(20, -1)).isFalse();
        assertThat(tree.value(tree.find(10, 19))).isEqualTo("one");
        assertThat(tree.find(10, 18)).isEqualTo(IntervalTree.NONE);
        assertThat(tree.gap(3, 7, gap)).isTrue();
        assertThat(gap.first()).isEqualTo(3);
        assertThat(gap.last()).isEqualTo(9);
        assertThat(tree.gap(3, 8, gap)).isTrue();
        assertThat(gap.first()).isEqualTo(20);
        List<String> all = new ArrayList<>();
        tree.forEach(range -> all.add(tree.value(range)));
        assertThat(all).containsExactly("one");
        tree.remove(10, "one");
        assertThat(tree.isEmpty()).isTrue();
        assertThat(tree.overlaps(0, -1)).isFalse();
    }

    @Test
    void equalRangesAreKeptApartByTheirValue() {
        IntervalTree<String> tree = new IntervalTree<>();
        String one = "one";
        String two = "two";
        tree.insert(5, 9, one);
        tree.insert(5, 9, two);
        tree.remove(5, one);

        assertThat(tree.size()).isEqualTo(1);
        assertThat(tree.value(tree.overlapping(0, 100))).isEqualTo("two");
    }

    @Test
    void overlapsAndOrderAreThoseOfAList() {
        for (int seed = 1; seed <= 30; seed++) {
            Random random = new Random(seed);
            IntervalTree<Range> tree = new IntervalTree<>();
            List<Range> list = new ArrayList<>();
            for (int step = 0; step < 600; step++) {
                if (random.nextInt(3) == 0 && !list.isEmpty()) {
                    Range gone = list.remove(random.nextInt(list.size()));
                    tree.remove(gone.first(), gone);
                } else {
                    long first = number(random);
                    long last = first + random.nextInt(64);
                    Range range =
                            new Range(first, Long.compareUnsigned(last, first) < 0 ? -1 : last);
                    list.add(range);
                    tree.insert(range.first(), range.last(), range);
                }
                long from = number(random);
                long to = Long.compareUnsigned(from + 40, from) > 0 ? from + 40 : -1;
                Range expected =
                        list.stream()
                                .filter(range -> range.touches(from, to))
                                .min(Comparator.comparing(Range::first, Long::compareUnsigned))
                                .orElse(null);
                int found = tree.overlapping(from, to);
                assertThat(tree.size()).as("seed %d step %d", seed, step).isEqualTo(list.size());
                assertThat(tree.values(from, to))
                        .as("seed %d step %d", seed, step)
                        .isSortedAccordingTo(
                                Comparator.comparing(Range::first, Long::compareUnsigned))
                        .containsExactlyInAnyOrderElementsOf(
                                list.stream().filter(range -> range.touches(from, to)).toList());
                if (expected == null) {
                    assertThat(found).isEqualTo(IntervalTree.NONE);
                } else {
                    assertThat(tree.first(found))
                            .as("seed %d step %d", seed, step)
                            .isEqualTo(expected.first());
                }
            }
        }
    }

    private static long number(Random random) {
        long near = random.nextInt(1000);
        return random.nextBoolean() ? near : near - 1100;
    }

    @Test
    void theFirstGapIsThatOfASearchFromTheBeginning() {
        int found = 0;
        for (int seed = 1; seed <= 60; seed++) {
            Random random = new Random(seed);
            IntervalTree<String> tree = new IntervalTree<>();
            boolean[] taken = new boolean[400];
            for (int i = 0; i < 60; i++) {
                int first = random.nextInt(390);
                int last = Math.min(399, first + random.nextInt(8));
                boolean isFree = true;
                for (int at = first; at <= last; at++) {
                    isFree &= !taken[at];
                }
                if (isFree) {
                    tree.insert(first, last, "x");
                    for (int at = first; at <= last; at++) {
                        taken[at] = true;
                    }
                }
                int from = random.nextInt(400);
                int length = 1 + random.nextInt(12);
                assertThat(tree.gap(from, length, gap)).isTrue();
                int expected = from;
                while (!isFree(taken, expected, length)) {
                    expected++;
                }
                assertThat(gap.first()).as("seed %d i %d", seed, i).isEqualTo(expected);
                found++;
            }
        }
        assertThat(found).isEqualTo(3600);
    }

    @Test
    void aTreeOfManyLevelsFindsAndForgetsWhatATreeMapDoes() {
        for (int seed = 1; seed <= 3; seed++) {
            Random random = new Random(seed);
            IntervalTree<Range> tree = new IntervalTree<>();
            TreeMap<Long, Range> model = new TreeMap<>();
            for (int step = 0; step < 40_000; step++) {
                long first = 16L * random.nextInt(20_000);
                Range there = model.get(first);
                // Grows for three quarters of the steps, in order at first, then shrinks to
                // nothing.
                if (step < 30_000 && there == null) {
                    first = step < 5_000 ? 16L * step : first;
                    Range range = new Range(first, first + random.nextInt(16));
                    if (model.putIfAbsent(first, range) == null) {
                        tree.insert(range.first(), range.last(), range);
                    }
                } else if (there != null) {
                    model.remove(first);
                    tree.remove(first, there);
                }
                long from = 16L * random.nextInt(20_000);
                Map.Entry<Long, Range> next = model.ceilingEntry(from);
                int found = tree.overlapping(from, -1);
                assertThat(found == IntervalTree.NONE ? null : tree.value(found))
                        .as("seed %d step %d", seed, step)
                        .isEqualTo(next == null ? null : next.getValue());
                if (found != IntervalTree.NONE) {
                    assertThat(tree.find(tree.first(found), tree.last(found))).isEqualTo(found);
                }
            }
            assertThat(tree.size()).isEqualTo(model.size()).isGreaterThan(5_000);
            List<Range> all = new ArrayList<>();
            tree.forEach(range -> all.add(tree.value(range)));
            assertThat(all).containsExactlyElementsOf(model.values());
            assertThat(tree.values(80_000, 160_000))
                    .containsExactlyElementsOf(
                            all.stream().filter(range -> range.touches(80_000, 160_000)).toList())
                    .hasSizeGreaterThan(500);
            for (Range range : all) {
                tree.remove(range.first(), range);
            }
            assertThat(tree.isEmpty()).isTrue();
            assertThat(tree.overlaps(0, -1)).isFalse();
            tree.insert(7, 9, new Range(7, 9));
            assertThat(tree.first(tree.overlapping(0, -1))).isEqualTo(7);
        }
    }

    @Test
    void aTreeOfManyLevelsThatGetsOverlappingRangesStillFindsTheFirst() {
        int overlaps = 0;
        for (int seed = 1; seed <= 4; seed++) {
            Random random = new Random(seed);
            IntervalTree<Range> tree = new IntervalTree<>();
            List<Range> list = new ArrayList<>();
            for (int i = 0; i < 3_000; i++) {
                list.add(new Range(16L * i, 16L * i + 7));
            }
            for (Range range : list) {
                tree.insert(range.first(), range.last(), range);
            }
            // From here on some begin in a gap and reach into what may be another node's.
            for (int step = 0; step < 400; step++) {
                long first = 16L * random.nextInt(3_000) + 8 + random.nextInt(8);
                Range range = new Range(first, first + random.nextInt(step < 4 ? 12 : 2_000));
                tree.insert(range.first(), range.last(), range);
                list.add(range);
                Range gone = list.remove(random.nextInt(list.size()));
                tree.remove(gone.first(), gone);
                for (int look = 0; look < 8; look++) {
                    long from = random.nextInt(50_000);
                    long to = from + random.nextInt(6);
                    Range expected =
                            list.stream()
                                    .filter(one -> one.touches(from, to))
                                    .min(Comparator.comparingLong(Range::first))
                                    .orElse(null);
                    int found = tree.overlapping(from, to);
                    assertThat(found == IntervalTree.NONE ? -1 : tree.first(found))
                            .as("seed %d step %d %d..%d", seed, step, from, to)
                            .isEqualTo(expected == null ? -1 : expected.first());
                    overlaps +=
                            list.stream().filter(one -> one.touches(from, to)).count() > 1 ? 1 : 0;
                }
            }
            for (Range range : list) {
                tree.remove(range.first(), range);
            }
            assertThat(tree.isEmpty()).isTrue();
        }
        assertThat(overlaps).isGreaterThan(1_000);
    }

    @Test
    void aWholeTreeTellsItsGapsAfterEachChange() {
        int found = 0;
        for (int seed = 1; seed <= 3; seed++) {
            Random random = new Random(seed);
            IntervalTree<Range> tree = new IntervalTree<>();
            TreeMap<Long, Range> model = new TreeMap<>();
            for (int i = 0; i < 5_000; i++) {
                Range range = new Range(4L * i, 4L * i + 3);
                tree.insert(range.first(), range.last(), range);
                model.put(range.first(), range);
            }
            List<Range> holes = new ArrayList<>();
            for (int step = 0; step < 2_000; step++) {
                if (holes.size() < 6) {
                    Range gone = model.remove(4L * random.nextInt(5_000));
                    if (gone != null) {
                        tree.remove(gone.first(), gone);
                        holes.add(gone);
                    }
                } else {
                    Range back = holes.remove(random.nextInt(holes.size()));
                    tree.insert(back.first(), back.last(), back);
                    model.put(back.first(), back);
                }
                holes.sort(Comparator.comparingLong(Range::first));
                long first = holes.isEmpty() ? 20_000 : holes.getFirst().first();
                assertThat(tree.gap(0, 4, gap)).isTrue();
                assertThat(gap.first()).as("seed %d step %d", seed, step).isEqualTo(first);
                found += holes.size();
            }
        }
        assertThat(found).isGreaterThan(20_000);
    }

    private static boolean isFree(boolean[] taken, int first, int length) {
        for (int at = first; at < first + length; at++) {
            if (at < taken.length && taken[at]) {
                return false;
            }
        }
        return true;
    }
}
