// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

/**
 * Memory that the front end shares: at least one byte, and neither its guest addresses nor its user
 * addresses run over the end. Immutable.
 *
 * @param guestFirst first guest-physical address
 * @param userFirst the same in the front end's own address space, by which it names rings
 * @param offset into the file of the descriptor
 */
record MemoryRegion(long guestFirst, long size, long userFirst, long offset) {
    long guestLast() {
        return guestFirst + (size - 1);
    }

    long userLast() {
        return userFirst + (size - 1);
    }

    /** False if a field makes it none. */
    boolean isPossible() {
        return size != 0
                && Long.compareUnsigned(guestFirst, guestLast()) <= 0
                && Long.compareUnsigned(userFirst, userLast()) <= 0;
    }

    /** True if it is meant by who takes it away: its offset is not looked at then. */
    boolean isSame(MemoryRegion other) {
        return guestFirst == other.guestFirst && size == other.size && userFirst == other.userFirst;
    }

    boolean overlapsInUserSpace(MemoryRegion other) {
        return Long.compareUnsigned(userFirst, other.userLast()) <= 0
                && Long.compareUnsigned(other.userFirst, userLast()) <= 0;
    }
}
