// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

/** The free-running 16-bit indices of a split ring (virtio 1.4, 2.7), kept as 0..65535. */
final class RingIndex {
    private static final int MASK = 0xffff;

    private RingIndex() {}

    static int after(int index) {
        return (index + 1) & MASK;
    }

    static int before(int index) {
        return (index - 1) & MASK;
    }

    /** Steps from {@code from} to {@code to}. */
    static int distance(int from, int to) {
        return (to - from) & MASK;
    }

    /** True for what an index can be. */
    static boolean isIndex(int value) {
        return value >= 0 && value <= MASK;
    }

    /**
     * True if the index went past {@code event} on its way from {@code from} to {@code to}: an
     * entry was written at index {@code event} (2.7.7.2, 2.7.10.1).
     */
    static boolean crosses(int event, int from, int to) {
        return distance(event, to - 1) < distance(from, to);
    }
}
