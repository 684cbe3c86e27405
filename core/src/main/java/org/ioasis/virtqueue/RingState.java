// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.util.List;

/**
 * What the device's side of a queue knows beside its size and its addresses: where in its rings it
 * is. Taken by {@link DeviceQueue#save}, and where {@link DeviceQueue#restore} goes on. Each format
 * has its own; immutable.
 */
public sealed interface RingState permits SplitState, PackedState {
    /** Of the queue. */
    RingFormat format();

    /** What the queue does. Only a running one is anywhere in its rings. */
    DeviceQueue.State state();

    /** One of {@link BrokenReason}, empty if the queue is not broken. */
    String brokenReason();

    /** Chains that were popped and not given back. */
    int inFlight();

    /** True if a queue of {@code size} entries can be in this state. */
    boolean isPossible(int size);

    /**
     * True if these can be the chains that were popped and not given back.
     *
     * @param size of the queue, for which the state is possible
     */
    default boolean canHold(List<ChainState> chains, int size) {
        return chains.size() == inFlight()
                && chains.stream().allMatch(chain -> chain.isPossible(format(), size));
    }
}
