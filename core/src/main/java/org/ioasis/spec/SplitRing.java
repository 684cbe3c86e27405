// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Virtio 1.4, 2.7: layout of split virtqueues, all fields little-endian. Offsets in bytes. */
public final class SplitRing {
    /** Largest queue size. 2.7. */
    public static final int QUEUE_SIZE_MAX = 32768;

    /** Size of {@code virtq_desc}, and alignment of the table. 2.7, 2.7.5. */
    public static final int DESC_SIZE = 16;

    public static final int DESC_ADDR = 0;
    public static final int DESC_LEN = 8;
    public static final int DESC_FLAGS = 12;
    public static final int DESC_NEXT = 14;

    /** The chain goes on at {@code next}. */
    public static final int VIRTQ_DESC_F_NEXT = 1;

    /** The device writes to the buffer, otherwise it reads. */
    public static final int VIRTQ_DESC_F_WRITE = 2;

    /** The buffer is a table of descriptors. */
    public static final int VIRTQ_DESC_F_INDIRECT = 4;

    /** Alignment of the available ring. 2.7. */
    public static final int AVAIL_ALIGN = 2;

    public static final int AVAIL_FLAGS = 0;
    public static final int AVAIL_IDX = 2;
    public static final int AVAIL_RING = 4;

    /** Size of an entry of the available ring. 2.7.6. */
    public static final int AVAIL_ELEM_SIZE = 2;

    /** The driver does not want notifications. 2.7.6. */
    public static final int VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

    /** Alignment of the used ring. 2.7. */
    public static final int USED_ALIGN = 4;

    public static final int USED_FLAGS = 0;
    public static final int USED_IDX = 2;
    public static final int USED_RING = 4;

    /** Size of {@code virtq_used_elem}. 2.7.8. */
    public static final int USED_ELEM_SIZE = 8;

    public static final int USED_ELEM_ID = 0;
    public static final int USED_ELEM_LEN = 4;

    /** The device does not want notifications. 2.7.8. */
    public static final int VIRTQ_USED_F_NO_NOTIFY = 1;

    /** A chain describes no more than 2^32 bytes. 2.7.5. */
    public static final long CHAIN_BYTES_MAX = 1L << 32;

    private SplitRing() {}

    /** Bytes of the descriptor table. 2.7. */
    public static long descBytes(int queueSize) {
        return (long) DESC_SIZE * queueSize;
    }

    /** Bytes of the available ring with {@code used_event}. 2.7. */
    public static long availBytes(int queueSize) {
        return usedEvent(queueSize) + 2;
    }

    /** Bytes of the used ring with {@code avail_event}. 2.7. */
    public static long usedBytes(int queueSize) {
        return availEvent(queueSize) + 2;
    }

    /** Offset of {@code used_event} in the available ring. 2.7.6. */
    public static long usedEvent(int queueSize) {
        return AVAIL_RING + (long) AVAIL_ELEM_SIZE * queueSize;
    }

    /** Offset of {@code avail_event} in the used ring. 2.7.8. */
    public static long availEvent(int queueSize) {
        return USED_RING + (long) USED_ELEM_SIZE * queueSize;
    }
}
