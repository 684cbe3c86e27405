// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.spec.VirtioNet;

/**
 * Frames from the link that wait for a buffer of the guest's, as the guest will see them: behind a
 * header of virtio. A fixed number; allocates nothing after construction. Device's thread.
 */
final class FrameQueue {
    private final MemorySegment[] frames;
    private final int[] lengths;
    private int first;
    private int count;

    FrameQueue(int capacity, int frameBytes) {
        frames = new MemorySegment[capacity];
        lengths = new int[capacity];
        for (int i = 0; i < capacity; i++) {
            frames[i] = Arena.ofAuto().allocate(VirtioNet.HEADER_SIZE + frameBytes);
            // 5.1.6.4.1: 1 where buffers are not merged; the rest says that nothing is left to do.
            frames[i].set(JAVA_BYTE, VirtioNet.HEADER_NUM_BUFFERS, (byte) 1);
        }
    }

    boolean isEmpty() {
        return count == 0;
    }

    /** Copies a frame; false if there is no room. */
    boolean offer(MemorySegment from, long offset, int length) {
        if (count == frames.length) {
            return false;
        }
        int last = (first + count) % frames.length;
        MemorySegment.copy(from, offset, frames[last], VirtioNet.HEADER_SIZE, length);
        lengths[last] = length;
        count++;
        return true;
    }

    /** The oldest, with its header. */
    MemorySegment frame() {
        return frames[first];
    }

    /** Of the oldest, without the header. */
    int length() {
        return lengths[first];
    }

    void drop() {
        first = (first + 1) % frames.length;
        count--;
    }

    void clear() {
        count = 0;
    }
}
