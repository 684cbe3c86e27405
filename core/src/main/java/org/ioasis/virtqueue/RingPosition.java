// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.PackedRing.EVENT_WRAP;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_USED;

/**
 * Where a side is in a packed ring (virtio 1.4, 2.8.1): the descriptor and the wrap counter in one
 * number from 0 up to twice the size of the queue. In the first half the counter is 1. Any thread.
 */
final class RingPosition {
    private RingPosition() {}

    /** The position {@code steps} descriptors on, no more than the size. */
    static int after(int at, int steps, int size) {
        int next = at + steps;
        return next >= 2 * size ? next - 2 * size : next;
    }

    /** The position {@code steps} descriptors back, no more than the size. */
    static int before(int at, int steps, int size) {
        int previous = at - steps;
        return previous < 0 ? previous + 2 * size : previous;
    }

    /** Steps from {@code from} to {@code to}. */
    static int distance(int from, int to, int size) {
        int steps = to - from;
        return steps < 0 ? steps + 2 * size : steps;
    }

    /** Which descriptor of the ring it is. */
    static int slot(int at, int size) {
        return at >= size ? at - size : at;
    }

    /** The two flags of a descriptor that is available here. */
    static int available(int at, int size) {
        return at < size ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
    }

    /** The two flags of a descriptor that is used here. */
    static int used(int at, int size) {
        return at < size ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
    }

    /** True if the flags are those of a descriptor that is available here. */
    static boolean isAvailable(int flags, int at, int size) {
        return (flags & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)) == available(at, size);
    }

    /** True if the flags are those of a descriptor that is used here. */
    static boolean isUsed(int flags, int at, int size) {
        return (flags & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)) == used(at, size);
    }

    /** As the 16 bits that say it in event suppression structures and saved states. 2.8.14. */
    static int toBits(int at, int size) {
        return at < size ? at | EVENT_WRAP : at - size;
    }

    /** True if these bits name a descriptor of the ring. */
    static boolean isBits(int bits, int size) {
        return bits >= 0 && bits <= 0xffff && (bits & ~EVENT_WRAP) < size;
    }

    /** What {@link #toBits} has made. */
    static int ofBits(int bits, int size) {
        return (bits & EVENT_WRAP) != 0 ? bits & ~EVENT_WRAP : bits + size;
    }

    /**
     * True if the descriptor that the bits name is among the last {@code steps} ones before {@code
     * at}; also if they name none, since one notification too many does no harm.
     */
    static boolean crosses(int bits, int at, int steps, int size) {
        if (!isBits(bits, size) || steps >= 2 * size) {
            return true;
        }
        int back = distance(ofBits(bits, size), at, size);
        return back != 0 && back <= steps;
    }
}
