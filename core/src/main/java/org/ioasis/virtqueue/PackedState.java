// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.util.List;
import org.ioasis.spec.PackedRing;
import org.ioasis.virtqueue.DeviceQueue.State;

/**
 * Where a packed queue is. Only a running queue has positions and elements; it may come from
 * anywhere. A position is a descriptor and, in bit 15, the wrap counter (virtio 1.4, 2.8.14).
 *
 * @param popped the next descriptor that is taken
 * @param published the next descriptor that the driver is shown as used
 * @param inFlight chains that were popped and not given back
 * @param unpublished chains that were given back and that the driver has not been shown, oldest
 *     first
 */
public record PackedState(
        State state,
        String brokenReason,
        int popped,
        int published,
        int inFlight,
        boolean areKicksSuppressed,
        List<UsedElement> unpublished)
        implements RingState {
    /**
     * A used descriptor.
     *
     * @param descriptors of the ring that the chain had
     */
    public record UsedElement(int id, int written, int descriptors) {}

    public PackedState {
        unpublished = List.copyOf(unpublished);
    }

    /**
     * Running, at a position that somebody has kept who knows no more than that: what was taken
     * before it has been given back, and the driver was shown it.
     *
     * @param descriptor the next one, {@code 0..32767}
     * @param wrap the wrap counter there
     */
    public static PackedState at(int descriptor, boolean wrap) {
        int bits = descriptor | (wrap ? PackedRing.EVENT_WRAP : 0);
        return new PackedState(State.RUNNING, "", bits, bits, 0, false, List.of());
    }

    static PackedState notRunning(State state, String brokenReason) {
        return new PackedState(state, brokenReason, 0, 0, 0, false, List.of());
    }

    @Override
    public RingFormat format() {
        return RingFormat.PACKED;
    }

    @Override
    public boolean isPossible(int size) {
        if (brokenReason.isEmpty() == (state == State.BROKEN)) {
            return false;
        }
        if (state != State.RUNNING) {
            return equals(notRunning(state, brokenReason));
        }
        if (!RingPosition.isBits(popped, size) || !RingPosition.isBits(published, size)) {
            return false;
        }
        for (UsedElement element : unpublished) {
            if (element.id() < 0 || element.id() > 0xffff || element.descriptors() < 1) {
                return false;
            }
        }
        long left = descriptorsInFlight(size);
        return taken(size) <= size
                && inFlight >= 0
                && inFlight <= left
                && (inFlight > 0) == (left > 0);
    }

    /** Descriptors that the driver has not got back. */
    private int taken(int size) {
        return RingPosition.distance(
                RingPosition.ofBits(published, size), RingPosition.ofBits(popped, size), size);
    }

    /** Those of them that are not of unpublished chains. */
    private long descriptorsInFlight(int size) {
        return taken(size) - unpublished.stream().mapToLong(UsedElement::descriptors).sum();
    }

    @Override
    public boolean canHold(List<ChainState> chains, int size) {
        return RingState.super.canHold(chains, size)
                && chains.stream().mapToLong(ChainState::descriptors).sum()
                        == descriptorsInFlight(size);
    }
}
