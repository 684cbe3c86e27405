// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.SplitRing.DESC_FLAGS;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_NEXT;

/**
 * Length, flags and next of a descriptor (virtio 1.4, 2.7.5) in the eight bytes that begin with its
 * length, for those who read and write them in one access. Any thread.
 */
final class DescriptorFields {
    private static final long LENGTH_MASK = 0xffff_ffffL;
    private static final int FLAGS_SHIFT = Byte.SIZE * (DESC_FLAGS - DESC_LEN);
    private static final int NEXT_SHIFT = Byte.SIZE * (DESC_NEXT - DESC_LEN);

    private DescriptorFields() {}

    static long of(long length, int flags, int next) {
        return (length & LENGTH_MASK) | ((long) flags << FLAGS_SHIFT) | ((long) next << NEXT_SHIFT);
    }

    static long length(long fields) {
        return fields & LENGTH_MASK;
    }

    static int flags(long fields) {
        return (int) (fields >>> FLAGS_SHIFT) & 0xffff;
    }

    static int next(long fields) {
        return (int) (fields >>> NEXT_SHIFT);
    }
}
