// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import org.ioasis.virtqueue.ChainState.Piece;
import org.ioasis.virtqueue.DeviceQueue.State;
import org.ioasis.virtqueue.PackedState.UsedElement;
import org.junit.jupiter.api.Test;

/** Saved packed queues from nobody knows where: which of them a queue can have been. */
final class PackedStateTest {
    private static final int SIZE = 5;
    private static final int WRAP = 0x8000;

    /** With unpublished chains of so many descriptors. */
    private static PackedState state(int popped, int published, int inFlight, int... descriptors) {
        List<UsedElement> elements =
                Arrays.stream(descriptors).mapToObj(n -> new UsedElement(7, 1, n)).toList();
        return new PackedState(State.RUNNING, "", popped, published, inFlight, false, elements);
    }

    private static boolean isPossible(State state, String reason, int popped) {
        return new PackedState(state, reason, popped, popped, 0, false, List.of()).isPossible(SIZE);
    }

    @Test
    void aRunningQueueHasPositionsInItsRingAndChainsBetweenThem() {
        assertThat(state(WRAP, WRAP, 0).isPossible(SIZE)).isTrue();
        assertThat(state(4, 4, 0).isPossible(SIZE)).isTrue();
        assertThat(state(1, WRAP | 4, 1).isPossible(SIZE)).as("over the end").isTrue();
        assertThat(state(1, WRAP | 4, 2).isPossible(SIZE)).isTrue();
        assertThat(state(1, WRAP | 4, 0, 2).isPossible(SIZE)).isTrue();
        assertThat(state(1, WRAP | 4, 1, 1).isPossible(SIZE)).isTrue();
        assertThat(state(3, WRAP | 3, 5).isPossible(SIZE)).as("full").isTrue();

        assertThat(state(WRAP | 5, WRAP | 5, 0).isPossible(SIZE)).as("no descriptor").isFalse();
        assertThat(state(5, 5, 0).isPossible(SIZE)).isFalse();
        assertThat(state(-1, -1, 0).isPossible(SIZE)).isFalse();
        assertThat(state(0x10000, 0x10000, 0).isPossible(SIZE)).isFalse();
        assertThat(state(4, WRAP | 3, 6).isPossible(SIZE)).as("more than full").isFalse();
        assertThat(state(1, WRAP | 4, 3).isPossible(SIZE)).as("two descriptors").isFalse();
        assertThat(state(1, WRAP | 4, 0).isPossible(SIZE)).as("whose are they").isFalse();
        assertThat(state(1, WRAP | 4, 1, 2).isPossible(SIZE)).isFalse();
        assertThat(state(1, WRAP | 4, 0, 3).isPossible(SIZE)).isFalse();
        assertThat(state(1, WRAP | 4, 0, 0, 2).isPossible(SIZE)).as("a chain of none").isFalse();
        assertThat(state(1, WRAP | 4, -1, 3).isPossible(SIZE)).isFalse();
        assertThat(
                        new PackedState(
                                        State.RUNNING,
                                        "",
                                        1,
                                        0,
                                        0,
                                        false,
                                        List.of(new UsedElement(0x10000, 1, 1)))
                                .isPossible(SIZE))
                .as("no id")
                .isFalse();
    }

    @Test
    void aQueueThatDoesNotRunHasNothing() {
        assertThat(isPossible(State.STOPPED, "", 0)).isTrue();
        assertThat(isPossible(State.BROKEN, "why", 0)).isTrue();

        assertThat(isPossible(State.RUNNING, "why", 0)).isFalse();
        assertThat(isPossible(State.BROKEN, "", 0)).isFalse();
        assertThat(isPossible(State.STOPPED, "why", 0)).isFalse();
        assertThat(isPossible(State.BROKEN, "why", 1)).isFalse();
    }

    @Test
    void theChainsInFlightHaveTheDescriptorsBetweenThePositions() {
        List<Piece> piece = List.of(new Piece(0, 1));
        ChainState one = new ChainState(0xffff, 1, 0, piece);
        ChainState two = new ChainState(0, 2, 0, piece);
        PackedState three = state(3 | WRAP, WRAP, 2);
        assertThat(three.canHold(List.of(one, two), SIZE)).isTrue();
        assertThat(three.canHold(List.of(one, one), SIZE)).isFalse();
        assertThat(three.canHold(List.of(two, two), SIZE)).isFalse();
        assertThat(three.canHold(List.of(one, one, one), SIZE)).isFalse();
        assertThat(state(3 | WRAP, WRAP, 1, 1).canHold(List.of(two), SIZE)).isTrue();
        ChainState none = new ChainState(0, 0, 0, piece);
        assertThat(none.isPossible(RingFormat.PACKED, SIZE)).isFalse();
        assertThat(new ChainState(0x10000, 1, 0, piece).isPossible(RingFormat.PACKED, SIZE))
                .isFalse();
        assertThat(new ChainState(0, SIZE + 1, 0, piece).isPossible(RingFormat.PACKED, SIZE))
                .isFalse();
        assertThat(one.isPossible(RingFormat.PACKED, SIZE)).as("an id is any").isTrue();
        assertThat(one.isPossible(RingFormat.SPLIT, SIZE)).isFalse();
    }
}
