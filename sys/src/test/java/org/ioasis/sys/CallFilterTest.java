// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * What a filter decides, by a small interpreter of its instructions; Linux's own judge of it is
 * {@link FilteredProgramTest}.
 */
class CallFilterTest {
    private static final int I386 = 0x4000_0003;

    @Test
    void everyCallThatIsAlwaysWantedComes() {
        CallFilter filter = CallFilter.builder().always(257).always(2).build();

        assertThat(comes(filter, CallFilter.ARCHITECTURE, 257, 0, 0)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 2, 0, 0)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 3, 0, 0)).isFalse();
    }

    @Test
    void aRangeHasBothItsEndsAndNothingBeside() {
        CallFilter filter = CallFilter.builder().inRange(0, 0, 700, 1000).always(1).build();

        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 699, 0)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 700, 0)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 1000, 0)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 1001, 0)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, -1, 0)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 1, 0, 0)).isTrue();
    }

    @Test
    void aRangeMayEndAtTheLastNumber() {
        CallFilter filter = CallFilter.builder().inRange(0, 1, -2, -1).build();

        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 0, -3)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 0, -2)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 0, 0, -1)).isTrue();
    }

    @Test
    void onlyTheBitsOfTheMaskAreLookedAtAndOneOtherValueComesAsAWhole() {
        CallFilter filter =
                CallFilter.builder().maskedOr(16, 1, 0xff00, 0x3b00, 0x4018_aee1).build();

        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 5, 0x3b81)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 5, 0xc010_3b00L)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 0x3b81, 0x5401)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 5, 0x4018_aee1)).isTrue();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 5, 0x4018_aee2)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 16, 5, 0xaee1)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, 17, 5, 0x4018_aee1)).isFalse();
    }

    @Test
    void callsOfAnotherArchitectureAreNeverTakenForOurs() {
        CallFilter filter = CallFilter.builder().always(257).always(5).build();
        int x32 = 0x4000_0000;

        assertThat(comes(filter, I386, 5, 0, 0)).isFalse();
        assertThat(comes(filter, CallFilter.ARCHITECTURE, x32 | 257, 0, 0)).isFalse();
    }

    @Test
    void twoRulesForOneCallAreRefused() {
        CallFilter.Builder builder = CallFilter.builder().always(16);

        assertThatThrownBy(() -> builder.maskedOr(16, 1, 0xff00, 0x3b00, 0))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("16");
    }

    @Test
    void rangeThatEndsBeforeItBeginsAndArgumentThatIsNoneAreRefused() {
        CallFilter.Builder builder = CallFilter.builder();

        assertThatThrownBy(() -> builder.inRange(0, 0, 2, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> builder.inRange(1, 6, 1, 2))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /** Runs the filter as the kernel does. */
    private static boolean comes(
            CallFilter filter, int architecture, int number, long argument0, long argument1) {
        List<CallFilter.Instruction> code = filter.instructions();
        int accumulator = 0;
        int at = 0;
        while (true) {
            CallFilter.Instruction i = code.get(at++);
            switch (i.code()) {
                case CallFilter.LOAD ->
                        accumulator =
                                switch (i.operand()) {
                                    case CallFilter.DATA_NUMBER -> number;
                                    case CallFilter.DATA_ARCHITECTURE -> architecture;
                                    case CallFilter.DATA_ARGUMENTS -> (int) argument0;
                                    case CallFilter.DATA_ARGUMENTS + 8 -> (int) argument1;
                                    default -> throw new AssertionError("loads " + i.operand());
                                };
                case CallFilter.AND -> accumulator &= i.operand();
                case CallFilter.IF_EQUAL ->
                        at += accumulator == i.operand() ? i.ifTrue() : i.ifFalse();
                case CallFilter.IF_GREATER ->
                        at +=
                                Integer.compareUnsigned(accumulator, i.operand()) > 0
                                        ? i.ifTrue()
                                        : i.ifFalse();
                case CallFilter.IF_AT_LEAST ->
                        at +=
                                Integer.compareUnsigned(accumulator, i.operand()) >= 0
                                        ? i.ifTrue()
                                        : i.ifFalse();
                case CallFilter.RETURN -> {
                    return i.operand() == CallFilter.RET_USER_NOTIF;
                }
                default -> throw new AssertionError("executes " + i.code());
            }
        }
    }
}
