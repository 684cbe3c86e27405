// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.util.List;
import org.ioasis.virtqueue.DeviceQueue.State;

/**
 * Where a split queue is. Only a running queue has indices and elements; they are free-running, and
 * may come from anywhere.
 *
 * @param poppedIdx of the available ring: the next chain that is taken
 * @param pushedIdx of the used ring: the next chain that is given back
 * @param publishedIdx of the used ring: what the driver was shown
 * @param unpublished chains that were given back and that the driver has not been shown, oldest
 *     first
 */
public record SplitState(
        State state,
        String brokenReason,
        int poppedIdx,
        int pushedIdx,
        int publishedIdx,
        boolean areKicksSuppressed,
        List<UsedElement> unpublished)
        implements RingState {
    /** An element of the used ring. */
    public record UsedElement(int head, int written) {}

    public SplitState {
        unpublished = List.copyOf(unpublished);
    }

    /**
     * Running, at an index that somebody has kept who knows no more than that: what was taken there
     * has been given back, and the driver was shown it.
     *
     * @param index {@code 0..65535}, of both rings
     */
    public static SplitState at(int index) {
        return new SplitState(State.RUNNING, "", index, index, index, false, List.of());
    }

    static SplitState notRunning(State state, String brokenReason) {
        return new SplitState(state, brokenReason, 0, 0, 0, false, List.of());
    }

    @Override
    public RingFormat format() {
        return RingFormat.SPLIT;
    }

    @Override
    public int inFlight() {
        return RingIndex.distance(pushedIdx, poppedIdx);
    }

    @Override
    public boolean isPossible(int size) {
        if (brokenReason.isEmpty() == (state == State.BROKEN)) {
            return false;
        }
        if (state != State.RUNNING) {
            return equals(notRunning(state, brokenReason));
        }
        return RingIndex.isIndex(poppedIdx)
                && RingIndex.isIndex(pushedIdx)
                && RingIndex.isIndex(publishedIdx)
                && RingIndex.distance(publishedIdx, pushedIdx) == unpublished.size()
                && unpublished.size() + inFlight() <= size
                && unpublished.stream().allMatch(x -> x.head() >= 0 && x.head() < size);
    }
}
