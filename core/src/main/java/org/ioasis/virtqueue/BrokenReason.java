// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

/**
 * Why a queue has stopped for good: the rules of a virtqueue that the other side can break, and
 * what can be wrong with the memory of its rings. Constants, because a guest can cause them as
 * often as it likes; texts, because they go to the operator and into saved states.
 */
public final class BrokenReason {
    /** The available index is further ahead than the queue is long. 2.7.6.1, 2.7.13. */
    public static final String AVAIL_TOO_FAR = "avail.idx is more than the queue size ahead";

    /** The available index has been taken back. 2.7.6.1. */
    public static final String AVAIL_BACKWARDS = "avail.idx went backwards";

    /** A head or {@code next} lies outside its table. */
    public static final String INDEX_OUT_OF_RANGE = "descriptor index out of range";

    /** More descriptors than the queue has entries, which every loop comes to. 2.7.5.3.1. */
    public static final String CHAIN_TOO_LONG = "descriptor chain longer than the queue size";

    /** 2.7.4.2. */
    public static final String READABLE_AFTER_WRITABLE = "device-readable after device-writable";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_NOT_NEGOTIATED = "indirect descriptor not negotiated";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_IN_INDIRECT = "indirect descriptor in an indirect table";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_WITH_NEXT = "indirect descriptor with NEXT";

    /** Not a multiple of 16, nothing, or more entries than the queue. 2.7.5.3. */
    public static final String INDIRECT_LENGTH = "length of an indirect table";

    /** 2.7.5.2. */
    public static final String TOTAL_TOO_LONG = "descriptor chain longer than 2^32 bytes";

    /** A buffer that runs over the end of the address space. */
    public static final String BUFFER_WRAPS = "buffer wraps around the address space";

    /**
     * The IOMMU refused the access to a ring or an indirect table; it has reported the fault.
     * Trying again would only repeat it, and a driver that is being replaced leaves such rings
     * behind.
     */
    public static final String RING_FAULTED = "ring at an address that the IOMMU refuses";

    /** The memory under a ring cannot be accessed as rings are, for example read-only. */
    public static final String RING_REFUSED = "ring in memory that refuses the access";

    /** The memory under a ring index is not aligned as 2.7 asks. */
    public static final String RING_MISALIGNED = "ring index in misaligned memory";

    // --- packed rings

    /** A descriptor is available again that the device has not used. 2.8.16. */
    public static final String NOT_USED_YET = "descriptor available again before it was used";

    /** A list goes on in a descriptor that is not available. 2.8.17. */
    public static final String LIST_NOT_AVAILABLE = "descriptor list goes on in none available";

    /** 2.8.19. */
    public static final String INDIRECT_IN_LIST = "indirect descriptor in a list of others";

    // --- logs

    /** What is written down of chains that are out is none that this ring can have. */
    public static final String LOG_UNFIT = "log of chains in flight does not fit the ring";

    // --- what a device can break

    /** A chain came back that the device does not have. */
    public static final String NOT_OUT = "chain came back that was not out";

    /** 2.7.8.2. */
    public static final String WRITTEN_TOO_MUCH = "more bytes written than the chain has room for";

    private BrokenReason() {}
}
