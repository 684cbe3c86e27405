// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.ioasis.virtqueue.ChainState.Piece;
import org.ioasis.virtqueue.DeviceQueue.State;
import org.ioasis.virtqueue.SplitState.UsedElement;
import org.junit.jupiter.api.Test;

/** Saved queues and chains from nobody knows where: which of them a queue can have been. */
final class SplitStateTest {
    private static final int SIZE = 4;

    private static boolean isPossible(
            State state, String reason, int popped, int pushed, int published, int... heads) {
        List<UsedElement> elements =
                Arrays.stream(heads).mapToObj(h -> new UsedElement(h, 1)).toList();
        return new SplitState(state, reason, popped, pushed, published, false, elements)
                .isPossible(SIZE);
    }

    @Test
    void aRunningQueueHasIndicesThatFitItsSizeAndItsElements() {
        assertThat(isPossible(State.RUNNING, "", 0, 0, 0)).isTrue();
        assertThat(isPossible(State.RUNNING, "", 2, 1, 0xffff, 0, 3)).isTrue();
        assertThat(isPossible(State.RUNNING, "", 4, 2, 0, 0, 3)).as("full").isTrue();

        assertThat(isPossible(State.RUNNING, "why", 0, 0, 0)).isFalse();
        assertThat(isPossible(State.RUNNING, "", 5, 2, 0, 0, 3)).as("too full").isFalse();
        assertThat(isPossible(State.RUNNING, "", 2, 1, 0)).as("an element too few").isFalse();
        assertThat(isPossible(State.RUNNING, "", 2, 1, 0, 0, 3)).as("one too many").isFalse();
        assertThat(isPossible(State.RUNNING, "", 0x10000, 0, 0)).isFalse();
        assertThat(isPossible(State.RUNNING, "", 0x10001, 0x10001, 0x10001)).isFalse();
        assertThat(isPossible(State.RUNNING, "", -1, -1, -1)).isFalse();
        assertThat(isPossible(State.RUNNING, "", 1, 1, 0, SIZE)).as("no such head").isFalse();
        assertThat(isPossible(State.RUNNING, "", 1, 1, 0, -1)).isFalse();
    }

    @Test
    void aQueueThatDoesNotRunHasNothing() {
        assertThat(isPossible(State.STOPPED, "", 0, 0, 0)).isTrue();
        assertThat(isPossible(State.BROKEN, "why", 0, 0, 0)).isTrue();

        assertThat(isPossible(State.BROKEN, "", 0, 0, 0)).isFalse();
        assertThat(isPossible(State.STOPPED, "why", 0, 0, 0)).isFalse();
        assertThat(isPossible(State.BROKEN, "why", 1, 1, 1)).isFalse();
        assertThat(isPossible(State.STOPPED, "", 1, 1, 0, 0)).isFalse();
    }

    @Test
    void aChainHasOneToSizePiecesThatDoNotWrap() {
        Piece piece = new Piece(-16L, 16);
        List<Piece> two = List.of(piece, piece);
        assertThat(new ChainState(3, 0, 1, two).isPossible(RingFormat.SPLIT, SIZE)).isTrue();
        assertThat(new ChainState(0, 0, 0, two).isPossible(RingFormat.SPLIT, SIZE)).isTrue();
        assertThat(
                        new ChainState(0, 0, 2, Collections.nCopies(SIZE, piece))
                                .isPossible(RingFormat.SPLIT, SIZE))
                .isTrue();

        assertThat(new ChainState(SIZE, 0, 1, two).isPossible(RingFormat.SPLIT, SIZE)).isFalse();
        assertThat(new ChainState(-1, 0, 1, two).isPossible(RingFormat.SPLIT, SIZE)).isFalse();
        assertThat(new ChainState(0, 0, 3, two).isPossible(RingFormat.SPLIT, SIZE)).isFalse();
        assertThat(new ChainState(0, 0, -1, two).isPossible(RingFormat.SPLIT, SIZE)).isFalse();
        assertThat(new ChainState(0, 0, 0, List.of()).isPossible(RingFormat.SPLIT, SIZE)).isFalse();
        assertThat(
                        new ChainState(0, 0, 0, Collections.nCopies(SIZE + 1, piece))
                                .isPossible(RingFormat.SPLIT, SIZE))
                .isFalse();
        assertThat(
                        new ChainState(0, 0, 0, List.of(new Piece(-16L, 17)))
                                .isPossible(RingFormat.SPLIT, SIZE))
                .isFalse();
    }

    @Test
    void aChainHasAtMostFourGib() {
        Piece half = new Piece(0, 1L << 31);
        assertThat(new ChainState(0, 0, 0, List.of(half, half)).isPossible(RingFormat.SPLIT, SIZE))
                .isTrue();
        assertThat(
                        new ChainState(0, 0, 0, List.of(half, half, new Piece(0, 1)))
                                .isPossible(RingFormat.SPLIT, SIZE))
                .isFalse();
    }
}
