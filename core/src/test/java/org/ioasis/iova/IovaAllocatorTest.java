// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iova;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is handed out is free, as high as it can be and aligned to its size. */
class IovaAllocatorTest {
    private static final long PAGE = 4096;
    private static final long ALL = -1;

    @Test
    void addressesAreHandedOutFromTheTop() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, ALL);

        assertThat(iovas.allocate(1, ALL)).isEqualTo(-PAGE);
        assertThat(iovas.allocate(PAGE + 1, ALL)).isEqualTo(-4 * PAGE);
        assertThat(iovas.allocate(PAGE, ALL)).isEqualTo(-2 * PAGE);
        assertThat(iovas.allocate(PAGE, 0xffff_ffffL)).isEqualTo(0xffff_f000L);
        assertThat(iovas.allocate(PAGE, 0xffff_fffeL)).isEqualTo(0xffff_e000L);
        assertThat(iovas.usedPages()).isEqualTo(6);
    }

    @Test
    void aLimitThatLeavesNoPageLeavesNone() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, ALL);

        assertThat(iovas.allocate(1, 0)).isEqualTo(IovaAllocator.NONE);
        assertThat(iovas.allocate(1, PAGE - 2)).isEqualTo(IovaAllocator.NONE);
        assertThat(iovas.allocate(1, PAGE - 1)).isZero();
        assertThat(iovas.allocate(1, PAGE - 1)).isEqualTo(IovaAllocator.NONE);
        assertThat(iovas.failures()).isEqualTo(3);
    }

    @Test
    void whatIsNotAWholePageIsNotHandedOut() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 1, 3 * PAGE);

        assertThat(iovas.allocate(1, ALL)).isEqualTo(2 * PAGE);
        assertThat(iovas.allocate(1, ALL)).isEqualTo(PAGE);
        assertThat(iovas.allocate(1, ALL)).isEqualTo(IovaAllocator.NONE);
        for (long[] none : new long[][] {{1, PAGE}, {5, 5}, {0, PAGE - 2}}) {
            assertThatThrownBy(() -> new IovaAllocator(PAGE, none[0], none[1]))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void whatIsExcludedIsNotHandedOutThoughItWasOnce() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, 8 * PAGE - 1);
        long high = iovas.allocate(PAGE, ALL);
        iovas.free(high, PAGE);
        iovas.exclude(high, high);
        iovas.exclude(2 * PAGE, 4 * PAGE - 1);

        List<Long> got = new ArrayList<>();
        for (long iova = iovas.allocate(1, ALL);
                iova != IovaAllocator.NONE;
                iova = iovas.allocate(1, ALL)) {
            got.add(iova / PAGE);
        }
        assertThat(got).containsExactly(6L, 5L, 4L, 1L, 0L);
    }

    @Test
    void whatIsNotHandedOutIsNotTakenBack() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, ALL);
        long iova = iovas.allocate(64 * PAGE, ALL);

        assertThatThrownBy(() -> iovas.free(iova + 1, 64 * PAGE))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> iovas.free(iova - PAGE, PAGE))
                .isInstanceOf(IllegalStateException.class);
        iovas.free(iova, 64 * PAGE);
        assertThatThrownBy(() -> iovas.free(iova, 64 * PAGE))
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void smallOnesThatCameBackAreAtHand() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, ALL);
        long[] some = new long[200];
        for (int i = 0; i < some.length; i++) {
            some[i] = iovas.allocate(3 * PAGE, ALL);
        }
        for (long each : some) {
            iovas.free(each, 3 * PAGE);
        }

        // 128 at most: the 129th and the 193rd time half of them go back.
        assertThat(iovas.cachedPages()).isEqualTo(4 * (64 + 8));
        assertThat(iovas.allocate(4 * PAGE, ALL)).as("the last one").isEqualTo(some[199]);
    }

    @Test
    void largeOnesAreFoundWhenWhatIsAtHandIsGivenBack() {
        IovaAllocator iovas = new IovaAllocator(PAGE, 0, 64 * PAGE - 1);
        for (int i = 0; i < 64; i++) {
            assertThat(iovas.allocate(PAGE, ALL)).isEqualTo((63L - i) * PAGE);
        }
        assertThat(iovas.allocate(1, ALL)).isEqualTo(IovaAllocator.NONE);
        for (int i = 0; i < 64; i++) {
            iovas.free((long) i * PAGE, PAGE);
        }

        assertThat(iovas.cachedPages()).isEqualTo(64);
        assertThat(iovas.allocate(64 * PAGE, ALL)).isZero();
        assertThat(iovas.freePages()).isZero();
        assertThat(iovas.largestFree()).isZero();
    }

    /** Beside an array of pages: never twice, never too high, and found whenever there is room. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void itFindsWhatAnArrayFinds(long seed) {
        int pages = 1 << 10;
        Random random = new Random(seed);
        FreeExtents free = new FreeExtents();
        free.add(0, pages - 1);
        boolean[] isUsed = new boolean[pages];
        List<int[]> taken = new ArrayList<>();
        int failures = 0;
        for (int step = 0; step < 40_000; step++) {
            if (random.nextInt(100) < (step / 4000 % 2 == 0 ? 60 : 45) || taken.isEmpty()) {
                int count = 1 + random.nextInt(random.nextInt(4) == 0 ? 100 : 9);
                int order = 32 - Integer.numberOfLeadingZeros(count - 1);
                int limit = random.nextInt(3) == 0 ? random.nextInt(pages) : pages - 1;
                int expected = highest(isUsed, count, order, limit);
                long got = free.take(count, order, limit);
                assertThat(got == -1).as("step " + step).isEqualTo(expected == -1);
                if (got == -1) {
                    failures++;
                    continue;
                }
                // A place of whole blocks is preferred to one at the end of a higher run.
                assertThat(got).isLessThanOrEqualTo(expected);
                assertThat(got + count - 1).isLessThanOrEqualTo(limit);
                assertThat(got % (1 << order)).isZero();
                for (int i = 0; i < count; i++) {
                    assertThat(isUsed[(int) got + i]).isFalse();
                    isUsed[(int) got + i] = true;
                }
                taken.add(new int[] {(int) got, count});
            } else {
                int[] back = taken.remove(random.nextInt(taken.size()));
                free.add(back[0], back[0] + back[1] - 1);
                for (int i = 0; i < back[1]; i++) {
                    isUsed[back[0] + i] = false;
                }
            }
            if (step % 100 == 0) {
                assertThat(free.runs()).isEqualTo(runs(isUsed));
                assertThat(free.largestOrder()).isEqualTo(largest(isUsed));
            }
        }
        assertThat(failures).isPositive();
        for (int[] back : taken) {
            free.add(back[0], back[0] + back[1] - 1);
        }
        assertThat(free.runs()).isOne();
        assertThat(free.pages()).isEqualTo(pages);
    }

    private static int highest(boolean[] isUsed, int count, int order, int limit) {
        for (int at = limit - count + 1 & -(1 << order); at >= 0; at -= 1 << order) {
            if (isFree(isUsed, at, count)) {
                return at;
            }
        }
        return -1;
    }

    private static boolean isFree(boolean[] isUsed, int at, int count) {
        for (int i = at; i < at + count; i++) {
            if (isUsed[i]) {
                return false;
            }
        }
        return true;
    }

    private static int runs(boolean[] isUsed) {
        int runs = 0;
        for (int i = 0; i < isUsed.length; i++) {
            runs += !isUsed[i] && (i == 0 || isUsed[i - 1]) ? 1 : 0;
        }
        return runs;
    }

    private static int largest(boolean[] isUsed) {
        for (int order = 10; order >= 0; order--) {
            for (int at = 0; at + (1 << order) <= isUsed.length; at += 1 << order) {
                if (isFree(isUsed, at, 1 << order)) {
                    return order;
                }
            }
        }
        return -1;
    }
}
