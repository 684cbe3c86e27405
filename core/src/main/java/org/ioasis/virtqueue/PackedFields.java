// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_ID;
import static org.ioasis.spec.PackedRing.DESC_LEN;

/**
 * Length, id and flags of a packed descriptor (virtio 1.4, 2.8.13) in the eight bytes that begin
 * with its length, for those who read and write them in one access. Any thread.
 */
final class PackedFields {
    private static final long LENGTH_MASK = 0xffff_ffffL;
    private static final int ID_SHIFT = Byte.SIZE * (DESC_ID - DESC_LEN);
    private static final int FLAGS_SHIFT = Byte.SIZE * (DESC_FLAGS - DESC_LEN);

    private PackedFields() {}

    static long of(long length, int id, int flags) {
        return (length & LENGTH_MASK) | ((long) id << ID_SHIFT) | ((long) flags << FLAGS_SHIFT);
    }

    /** With more flags. */
    static long with(long fields, int flags) {
        return fields | ((long) flags << FLAGS_SHIFT);
    }

    static long length(long fields) {
        return fields & LENGTH_MASK;
    }

    static int id(long fields) {
        return (int) (fields >>> ID_SHIFT) & 0xffff;
    }

    static int flags(long fields) {
        return (int) (fields >>> FLAGS_SHIFT);
    }
}
