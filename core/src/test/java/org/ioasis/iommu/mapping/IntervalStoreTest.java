// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The store beside a model that keeps every byte of a small space, at both ends of the big one. */
class IntervalStoreTest {
    private static final int SPACE = 96;

    /** Which mapping a byte belongs to; a mapping is an object, so neighbours stay apart. */
    private record Piece(int first, int last, long output, int flags) {}

    private final @Nullable Piece[] model = new @Nullable Piece[SPACE];

    private boolean isFree(int first, int last) {
        for (int i = first; i <= last; i++) {
            if (model[i] != null) {
                return false;
            }
        }
        return true;
    }

    private boolean splits(int first, int last) {
        for (int i = first; i <= last; i++) {
            Piece piece = model[i];
            if (piece != null && (piece.first < first || piece.last > last)) {
                return true;
            }
        }
        return false;
    }

    private List<Piece> pieces(int first, int last) {
        List<Piece> found = new ArrayList<>();
        for (int i = first; i <= last; i++) {
            Piece piece = model[i];
            if (piece != null && !found.contains(piece)) {
                found.add(piece);
            }
        }
        return found;
    }

    private static List<Piece> merged(List<Piece> pieces) {
        List<Piece> runs = new ArrayList<>();
        for (Piece p : pieces) {
            Piece last = runs.isEmpty() ? null : runs.getLast();
            if (last != null
                    && last.last + 1 == p.first
                    && last.flags == p.flags
                    && last.output + (p.first - last.first) == p.output) {
                runs.removeLast();
                runs.add(new Piece(last.first, p.last, last.output, p.flags));
            } else {
                runs.add(p);
            }
        }
        return runs;
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -SPACE, Long.MAX_VALUE - SPACE / 2, 0x7fffffffffL})
    void behavesAsAnArrayOfBytesDoes(long base) {
        long seed = 4711 + base;
        SplittableRandom random = new SplittableRandom(seed);
        MappingStore store = new IntervalStore();
        Extent extent = new Extent();
        for (int step = 0; step < 60_000; step++) {
            String at = "seed %d step %d".formatted(seed, step);
            int a = random.nextInt(SPACE);
            int b = Math.min(SPACE - 1, a + random.nextInt(random.nextInt(1, 24)));
            long first = base + a;
            long last = base + b;
            switch (random.nextInt(6)) {
                case 0, 1, 2 -> {
                    int flags = 1 + random.nextInt(2);
                    long output = random.nextBoolean() ? 1000 + a : random.nextLong();
                    boolean isFree = isFree(a, b);
                    assertThat(store.overlaps(first, last)).as(at).isEqualTo(!isFree);
                    assertThat(store.map(first, last, output, flags))
                            .as(at)
                            .isEqualTo(
                                    isFree
                                            ? MappingStore.MapResult.DONE
                                            : MappingStore.MapResult.OVERLAPS);
                    if (isFree) {
                        Piece piece = new Piece(a, b, output, flags);
                        for (int i = a; i <= b; i++) {
                            model[i] = piece;
                        }
                    }
                }
                case 3 -> {
                    boolean splits = splits(a, b);
                    int inside = pieces(a, b).size();
                    assertThat(store.splits(first, last)).as(at).isEqualTo(splits);
                    assertThat(store.unmap(first, last))
                            .as(at)
                            .isEqualTo(splits ? MappingStore.SPLITS : inside);
                    if (!splits) {
                        for (int i = a; i <= b; i++) {
                            model[i] = null;
                        }
                    }
                }
                case 4 -> {
                    Piece piece = model[a];
                    assertThat(store.lookup(first, 1, extent)).as(at).isEqualTo(piece != null);
                    if (piece != null) {
                        assertThat(extent.last()).as(at).isEqualTo(base + piece.last);
                        assertThat(first + extent.delta())
                                .as(at)
                                .isEqualTo(piece.output + (a - piece.first));
                        assertThat(extent.flags()).as(at).isEqualTo(piece.flags);
                    }
                }
                default -> {
                    List<Piece> touching = new ArrayList<>();
                    store.mappings(
                            first,
                            last,
                            (f, l, o, flags) ->
                                    touching.add(
                                            new Piece(
                                                    (int) (f - base), (int) (l - base), o, flags)));
                    assertThat(touching).as(at).isEqualTo(pieces(a, b));
                    List<Piece> runs = new ArrayList<>();
                    store.runs(
                            base,
                            base + (SPACE - 1),
                            (f, l, o, flags) ->
                                    runs.add(
                                            new Piece(
                                                    (int) (f - base), (int) (l - base), o, flags)));
                    assertThat(runs).as(at).isEqualTo(merged(pieces(0, SPACE - 1)));
                    checkNearest(store, base, a, at);
                }
            }
            assertThat(store.size()).as(at).isEqualTo(pieces(0, SPACE - 1).size());
        }
    }

    private void checkNearest(MappingStore store, long base, int iova, String at) {
        long[] found = {-1};
        boolean any =
                store.nearest(
                        base + iova,
                        (f, l, o, flags) -> {
                            found[0] = Ranges.distance(f, l, base + iova);
                            return true;
                        });
        int best = Integer.MAX_VALUE;
        for (Piece p : pieces(0, SPACE - 1)) {
            best = Math.min(best, Math.max(0, Math.max(p.first - iova, iova - p.last)));
        }
        assertThat(any).as(at).isEqualTo(best != Integer.MAX_VALUE);
        if (any) {
            assertThat(found[0]).as(at).isEqualTo(best);
        }
    }
}
