// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

/** What {@link DeviceQueue#pop} and {@link DeviceQueue#resumeKicks} found. */
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
     * The driver broke the rules of the ring, or put it where the IOMMU refuses the access; {@link
     * DeviceQueue#brokenReason} says which. The queue has stopped and the device needs a reset.
     */
    BROKEN
}
