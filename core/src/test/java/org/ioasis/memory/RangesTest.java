// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Every answer beside one that is counted out on a small space, moved to where signs and wraps are.
 */
class RangesTest {
    // Eight addresses: 0 to 7, across the sign, and up to 2^64-1.
    private static final long[] PLACES = {0, Long.MAX_VALUE - 3, -8};
    private static final int SIZE = 8;

    private static List<Integer> members(int first, int last) {
        List<Integer> all = new ArrayList<>();
        for (int i = first; i <= last; i++) {
            all.add(i);
        }
        return all;
    }

    @Test
    void orderIsUnsigned() {
        for (long place : PLACES) {
            for (int a = 0; a < SIZE; a++) {
                for (int b = 0; b < SIZE; b++) {
                    assertThat(Ranges.isBelow(place + a, place + b)).isEqualTo(a < b);
                    assertThat(Ranges.isAtMost(place + a, place + b)).isEqualTo(a <= b);
                    assertThat(Ranges.min(place + a, place + b)).isEqualTo(place + Math.min(a, b));
                    assertThat(Ranges.max(place + a, place + b)).isEqualTo(place + Math.max(a, b));
                }
            }
        }
    }

    @Test
    void rangesHoldCoverAndOverlapAsSetsDo() {
        int pairs = 0;
        for (long at : PLACES) {
            for (int first = 0; first < SIZE; first++) {
                for (int last = first; last < SIZE; last++) {
                    List<Integer> outer = members(first, last);
                    for (int i = 0; i < SIZE; i++) {
                        int away = i < first ? first - i : Math.max(0, i - last);
                        assertThat(Ranges.holds(at + first, at + last, at + i))
                                .isEqualTo(outer.contains(i));
                        assertThat(Ranges.distance(at + first, at + last, at + i)).isEqualTo(away);
                        for (int j = i; j < SIZE; j++) {
                            List<Integer> inner = members(i, j);
                            assertThat(Ranges.covers(at + first, at + last, at + i, at + j))
                                    .isEqualTo(outer.containsAll(inner));
                            assertThat(Ranges.overlap(at + first, at + last, at + i, at + j))
                                    .isEqualTo(outer.stream().anyMatch(inner::contains));
                            pairs++;
                        }
                    }
                }
            }
        }
        assertThat(pairs).isEqualTo(3 * 36 * 36);
    }

    @Test
    void rangeThatRunsPastTheLastAddressWraps() {
        assertThat(Ranges.wraps(-8, 7)).isFalse();
        assertThat(Ranges.wraps(-8, 8)).isTrue();
        assertThat(Ranges.wraps(0, -1L)).isFalse();
        assertThat(Ranges.wraps(1, -1L)).isTrue();
    }

    @Test
    void lengthEndsWithTheRange() {
        assertThat(Ranges.within(4, 7, 3)).isEqualTo(3);
        assertThat(Ranges.within(4, 7, 4)).isEqualTo(4);
        assertThat(Ranges.within(4, 7, 5)).isEqualTo(4);
        assertThat(Ranges.within(-8, -1L, -1L)).isEqualTo(8);
        assertThat(Ranges.within(0, -1L, -1L)).isEqualTo(-1L);
    }
}
