// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class LookBudgetTest {
    private static final long LIMIT = 300_000;
    private final LookBudget budget = new LookBudget(LIMIT);

    private void sleeps(int times, long nanos) {
        for (int i = 0; i < times; i++) {
            budget.slept(nanos);
        }
    }

    @Test
    void shortSleepsMakeItLongUpToTheLimit() {
        assertThat(budget.nanos(0)).as("at the start").isZero();
        budget.slept(LIMIT);
        assertThat(budget.nanos(0)).isEqualTo(20_000);
        budget.slept(1);
        assertThat(budget.nanos(0)).isEqualTo(40_000);
        sleeps(10, LIMIT);
        assertThat(budget.nanos(0)).isEqualTo(LIMIT);
    }

    @Test
    void longSleepsMakeItShortUntilItIsNothing() {
        sleeps(10, 1);
        budget.slept(LIMIT + 1);
        assertThat(budget.nanos(0)).isEqualTo(LIMIT / 2);
        sleeps(3, LIMIT + 1);
        assertThat(budget.nanos(0)).isPositive();
        sleeps(2, LIMIT + 1);
        assertThat(budget.nanos(0)).as("an idle guest costs nothing").isZero();
        sleeps(1, LIMIT + 1);
        assertThat(budget.nanos(0)).isZero();
    }

    @Test
    void processorThatComesBackLateIsLeftToOthersForAWhile() {
        sleeps(10, 1);
        assertThat(budget.offered(1000, LookBudget.CROWDED_NANOS - 1)).isFalse();
        assertThat(budget.nanos(1000)).isEqualTo(LIMIT);
        assertThat(budget.offered(1000, LookBudget.CROWDED_NANOS)).isTrue();
        assertThat(budget.nanos(1000)).isZero();
        assertThat(budget.nanos(500_999)).isZero();
        assertThat(budget.nanos(501_000)).isEqualTo(LIMIT);
    }

    @Test
    void timesThatFollowEachOtherAreLeftToOthersForLongerAndOneAloneIsNot() {
        sleeps(10, 1);
        long[] pauses = {500_000, 1_000_000, 2_000_000, 4_000_000, 5_000_000, 5_000_000};
        long now = 0;
        for (long pause : pauses) {
            assertThat(budget.offered(now, LookBudget.CROWDED_NANOS)).isTrue();
            assertThat(budget.nanos(now + pause - 1)).isZero();
            assertThat(budget.nanos(now + pause)).isEqualTo(LIMIT);
            now += pause;
        }
        for (int i = 0; i < 100; i++) {
            assertThat(budget.offered(now, LookBudget.CROWDED_NANOS - 1)).isFalse();
        }
        assertThat(budget.offered(now, LookBudget.CROWDED_NANOS)).isTrue();
        assertThat(budget.nanos(now + 499_999)).isZero();
        assertThat(budget.nanos(now + 500_000)).isEqualTo(LIMIT);
    }

    @Test
    void clockThatWrapsDoesNotEndThePauseEarlyOrNever() {
        sleeps(10, 1);
        boolean _ = budget.offered(Long.MAX_VALUE - 10, LookBudget.CROWDED_NANOS);
        assertThat(budget.nanos(Long.MIN_VALUE + 10)).isZero();
        assertThat(budget.nanos(Long.MIN_VALUE + 500_000)).isEqualTo(LIMIT);
    }

    @Test
    void withoutALimitItNeverLooks() {
        LookBudget none = new LookBudget(0);
        none.slept(0);
        none.slept(1);
        assertThat(none.isPossible()).isFalse();
        assertThat(none.nanos(0)).isZero();
    }
}
