// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Virtio 1.4, 2.8: layout of packed virtqueues, all fields little-endian. Offsets in bytes. */
public final class PackedRing {
    /** Largest queue size. 2.8. */
    public static final int QUEUE_SIZE_MAX = 32768;

    /** Size of {@code pvirtq_desc}, and alignment of the ring. 2.8.10.1, 2.8.13. */
    public static final int DESC_SIZE = 16;

    public static final int DESC_ADDR = 0;
    public static final int DESC_LEN = 8;
    public static final int DESC_ID = 12;
    public static final int DESC_FLAGS = 14;

    /** The list goes on in the next descriptor of the ring. 2.8.6. */
    public static final int VIRTQ_DESC_F_NEXT = 1;

    /** The device writes to the element; in a used descriptor: it has written. 2.8.3. */
    public static final int VIRTQ_DESC_F_WRITE = 2;

    /** The element is a table of descriptors. 2.8.7. */
    public static final int VIRTQ_DESC_F_INDIRECT = 4;

    /** What the driver's wrap counter was when it made the descriptor available. 2.8.1. */
    public static final int VIRTQ_DESC_F_AVAIL = 1 << 7;

    /** What the device's wrap counter was when it used the descriptor. 2.8.1. */
    public static final int VIRTQ_DESC_F_USED = 1 << 15;

    /** Size and alignment of {@code pvirtq_event_suppress}. 2.8.10.1, 2.8.14. */
    public static final int EVENT_SIZE = 4;

    /** Offset and wrap counter of a descriptor. 2.8.14. */
    public static final int EVENT_DESC = 0;

    public static final int EVENT_FLAGS = 2;

    /** The bit of {@link #EVENT_DESC} that holds the wrap counter. 2.8.14. */
    public static final int EVENT_WRAP = 1 << 15;

    /** The bits of {@link #EVENT_FLAGS} that are not reserved. 2.8.14. */
    public static final int EVENT_FLAGS_MASK = 3;

    /** Events are wanted. 2.8.10. */
    public static final int RING_EVENT_FLAGS_ENABLE = 0;

    /** No events are wanted. 2.8.10. */
    public static final int RING_EVENT_FLAGS_DISABLE = 1;

    /** An event for the descriptor of {@link #EVENT_DESC} is wanted. 2.8.10. */
    public static final int RING_EVENT_FLAGS_DESC = 2;

    private PackedRing() {}

    /** Bytes of the descriptor ring. 2.8.10.1. */
    public static long descBytes(int queueSize) {
        return (long) DESC_SIZE * queueSize;
    }
}
