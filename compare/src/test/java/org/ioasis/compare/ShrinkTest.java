// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The search for a short list. */
class ShrinkTest {
    private static final List<Integer> HUNDRED = IntStream.range(0, 100).boxed().toList();

    private static Optional<List<Integer>> shortest(Shrink.Trial<Integer> trial) throws Exception {
        return new Shrink<>(trial, () -> true).of(HUNDRED);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 7, 64})
    void onlyWhatIsNeededIsLeftInItsOrder(int step) throws Exception {
        List<Integer> needed =
                HUNDRED.stream().filter(i -> step == 0 ? i == 99 : i % 7 == step % 7).toList();
        assertThat(needed).isNotEmpty();

        assertThat(shortest(list -> list.containsAll(needed))).contains(needed);
    }

    @Test
    void theLastElementAloneIsFoundAtOnce() throws Exception {
        Shrink<Integer> shrink = new Shrink<>(list -> list.contains(99), () -> true);

        assertThat(shrink.of(HUNDRED)).contains(List.of(99));
        // Nothing, and the last one.
        assertThat(shrink.trials()).isEqualTo(2);
    }

    @Test
    void whatNeedsNothingIsEmpty() throws Exception {
        assertThat(shortest(_ -> true)).contains(List.of());
    }

    @Test
    void whatIsNotSeenAgainIsNothing() throws Exception {
        List<Integer> lengths = new ArrayList<>();

        assertThat(
                        shortest(list -> {
                            lengths.add(list.size());
                            return false;
                        }))
                .isEmpty();
        assertThat(lengths).containsExactly(0, 1, 2, 4, 8, 16, 32, 64, 100);
    }

    @Test
    void anElementThatCanOnlyGoAfterAnotherGoes() throws Exception {
        // 98 is missed as long as 40 is there.
        assertThat(shortest(list -> list.contains(20) && (list.contains(98) || !list.contains(40))))
                .contains(List.of(20));
    }

    @Test
    void theSearchEndsWithWhatItHas() throws Exception {
        int[] left = {9};
        Shrink<Integer> shrink =
                new Shrink<>(list -> list.contains(3) && list.contains(99), () -> left[0]-- > 0);

        Optional<List<Integer>> found = shrink.of(HUNDRED);

        assertThat(shrink.trials()).isLessThanOrEqualTo(9);
        assertThat(found).hasValueSatisfying(list -> assertThat(list).contains(3, 99));
    }
}
