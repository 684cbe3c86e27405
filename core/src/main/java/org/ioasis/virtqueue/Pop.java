// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

/** What {@link SplitQueue#pop} and {@link SplitQueue#resumeKicks} found. */
public enum Pop {
    /** A chain was taken from the ring, or can be. */
    GOT,

    /** The driver has made nothing available. */
    EMPTY,

    /**
     * A ring or an indirect table lies in memory that is not there now. Nothing was taken; try
     * again when memory changes.
     */
    ABSENT,

    /**
     * The IOMMU refused the access to a ring or an indirect table; it has reported the fault. The
     * queue has stopped until reset: trying again would only repeat the fault, and a driver that is
     * being replaced leaves such rings behind.
     */
    FAULT,

    /**
     * The driver broke the rules of the ring; {@link SplitQueue#brokenReason} says which. The queue
     * has stopped and the device needs a reset.
     */
    BROKEN
}
