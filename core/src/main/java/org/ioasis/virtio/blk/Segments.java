// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAGS;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAG_UNMAP;
import static org.ioasis.spec.VirtioBlk.SEGMENT_NUM_SECTORS;
import static org.ioasis.spec.VirtioBlk.SEGMENT_SECTOR;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The fields of a segment of discard or write zeroes (virtio 1.4, 5.2.6), which begins {@code at}
 * in a copy of the request. Any thread.
 */
final class Segments {
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private Segments() {}

    static long sector(MemorySegment copy, int at) {
        return copy.get(LE64, at + SEGMENT_SECTOR);
    }

    static long sectors(MemorySegment copy, int at) {
        return Integer.toUnsignedLong(copy.get(LE32, at + SEGMENT_NUM_SECTORS));
    }

    static int flags(MemorySegment copy, int at) {
        return copy.get(LE32, at + SEGMENT_FLAGS);
    }

    static boolean mayUnmap(MemorySegment copy, int at) {
        return (flags(copy, at) & SEGMENT_FLAG_UNMAP) != 0;
    }
}
