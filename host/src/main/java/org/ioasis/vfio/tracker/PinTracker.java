// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

/**
 * What is known of the pinned pages of one range: at which address the device reaches each, and how
 * many have asked for it. Pages are counted from the range's first. Under its owner's lock.
 */
public interface PinTracker {
    /** Bytes of a page. */
    long PAGE = 4096;

    /** No address, and no page. */
    long NONE = -1;

    /** Pages of the range. */
    long size();

    /** Pages that are pinned. */
    long pinned();

    /**
     * The address of a page that is pinned, or {@link #NONE}: it is not, or only the device knows
     * ({@link DeviceParsed}).
     */
    long address(long page);

    /** One more asks for a page: whether it is pinned already. Otherwise nothing has changed. */
    boolean retain(long page);

    /**
     * A page is pinned for who asked for it first.
     *
     * @param address a multiple of {@link #PAGE}
     */
    void add(long page, long address);

    /**
     * One of those who asked for a page needs it no more.
     *
     * @return how many are left; at 0 it is tracked no more; negative: it was not pinned
     */
    int release(long page);

    /**
     * The first page from one on that is pinned, or {@link #NONE}: finds all of them, and where the
     * range is incomplete.
     */
    long nextPinned(long page);

    /** Bytes of memory, as objects and arrays of a 64-bit JVM with compressed references. */
    long bytes();
}
