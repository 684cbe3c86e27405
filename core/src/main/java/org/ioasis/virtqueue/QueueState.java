// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.util.List;
import org.ioasis.virtqueue.SplitQueue.State;

/**
 * What a split queue knows beside its size and its addresses, for saved states. Immutable. Only a
 * running queue has indices and elements.
 *
 * @param brokenReason which rule the driver broke, empty if it did not
 * @param unpublished chains that were given back and that the driver has not been shown, oldest
 *     first
 */
public record QueueState(
        State state,
        String brokenReason,
        int poppedIdx,
        int pushedIdx,
        int publishedIdx,
        boolean areKicksSuppressed,
        List<UsedElement> unpublished) {
    /** An element of the used ring. */
    public record UsedElement(int head, int written) {}

    public QueueState {
        unpublished = List.copyOf(unpublished);
    }

    static QueueState notRunning(State state, String brokenReason) {
        return new QueueState(state, brokenReason, 0, 0, 0, false, List.of());
    }

    /** Chains that were popped and not given back. */
    public int inFlight() {
        return SplitQueue.distance(pushedIdx, poppedIdx);
    }

    /** True if a queue of {@code size} entries can be in this state. */
    public boolean isPossible(int size) {
        if (brokenReason.isEmpty() == (state == State.BROKEN)) {
            return false;
        }
        if (state != State.RUNNING) {
            return equals(notRunning(state, brokenReason));
        }
        return isIndex(poppedIdx)
                && isIndex(pushedIdx)
                && isIndex(publishedIdx)
                && SplitQueue.distance(publishedIdx, pushedIdx) == unpublished.size()
                && unpublished.size() + inFlight() <= size
                && unpublished.stream().allMatch(x -> x.head() >= 0 && x.head() < size);
    }

    private static boolean isIndex(int value) {
        return value >= 0 && value <= 0xffff;
    }
}
