// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Descriptors and wrap counters as numbers, beside a walk step by step (virtio 1.4, 2.8.1). */
final class RingPositionTest {
    private static final int[] SIZES = {1, 2, 3, 7, 8, 32768};

    /** Offset and counter as the specification has them. */
    private static final class Walk {
        private final int size;
        private int offset;
        private boolean counter = true;

        Walk(int size) {
            this.size = size;
        }

        void step() {
            offset++;
            if (offset == size) {
                offset = 0;
                counter = !counter;
            }
        }

        int bits() {
            return offset | (counter ? 0x8000 : 0);
        }
    }

    @Test
    void positionsAreWhatTwoRoundsOfStepsComeTo() {
        int checked = 0;
        for (int size : SIZES) {
            Walk walk = new Walk(size);
            int at = 0;
            for (int i = 0; i < 2 * size; i++) {
                assertThat(RingPosition.slot(at, size)).isEqualTo(walk.offset);
                assertThat(RingPosition.toBits(at, size)).isEqualTo(walk.bits());
                assertThat(RingPosition.ofBits(walk.bits(), size)).isEqualTo(at);
                assertThat(RingPosition.available(at, size))
                        .isEqualTo(walk.counter ? 0x80 : 0x8000);
                assertThat(RingPosition.used(at, size)).isEqualTo(walk.counter ? 0x8080 : 0);
                assertThat(RingPosition.before(RingPosition.after(at, size, size), size, size))
                        .isEqualTo(at);
                assertThat(RingPosition.distance(at, RingPosition.after(at, size, size), size))
                        .isEqualTo(size);
                at = RingPosition.after(at, 1, size);
                walk.step();
                checked++;
            }
            assertThat(at).as("size %d: the beginning again", size).isZero();
        }
        assertThat(checked).isGreaterThan(65536);
    }

    @Test
    void flagsOfOnePositionAreNoneOfAnotherRound() {
        for (int size : SIZES) {
            int again = size;
            assertThat(RingPosition.isAvailable(RingPosition.available(0, size), 0, size)).isTrue();
            assertThat(RingPosition.isAvailable(RingPosition.available(0, size), again, size))
                    .isFalse();
            assertThat(RingPosition.isUsed(RingPosition.used(0, size), 0, size)).isTrue();
            assertThat(RingPosition.isUsed(RingPosition.used(0, size), again, size)).isFalse();
            assertThat(RingPosition.isAvailable(RingPosition.used(0, size), 0, size)).isFalse();
            assertThat(RingPosition.isUsed(RingPosition.available(0, size), 0, size)).isFalse();
            assertThat(RingPosition.isAvailable(0x7f | 0x80, 0, size)).as("other bits").isTrue();
        }
    }

    @Test
    void anEventIsCrossedIfItsDescriptorIsAmongTheSteps() {
        int crossed = 0;
        for (int size : new int[] {1, 2, 3, 5}) {
            for (int at = 0; at < 2 * size; at++) {
                for (int event = 0; event < 2 * size; event++) {
                    for (int steps = 1; steps <= 2 * size; steps++) {
                        boolean isAmong = false;
                        int from = at;
                        for (int i = 0; i < steps; i++) {
                            from = RingPosition.before(from, 1, size);
                            isAmong |= from == event;
                        }
                        boolean isCrossed =
                                RingPosition.crosses(
                                        RingPosition.toBits(event, size), at, steps, size);
                        assertThat(isCrossed)
                                .as("size %d at %d event %d steps %d", size, at, event, steps)
                                .isEqualTo(isAmong);
                        crossed += isCrossed ? 1 : 0;
                    }
                }
            }
        }
        assertThat(crossed).isPositive();
    }

    @Test
    void anEventAtNoDescriptorIsAlwaysCrossed() {
        assertThat(RingPosition.crosses(5, 0, 1, 5)).isTrue();
        assertThat(RingPosition.crosses(0x8000 | 5, 0, 1, 5)).isTrue();
        assertThat(RingPosition.crosses(0xffff, 0, 1, 5)).isTrue();
        assertThat(RingPosition.crosses(4, 0, 1, 5)).as("the one before position 0").isTrue();
        assertThat(RingPosition.crosses(0x8000 | 4, 0, 1, 5)).isFalse();
    }
}
