// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

import java.util.Arrays;

/**
 * All pages of a range, pinned when it is mapped and until it is unmapped: nobody counts who asks
 * for one, and no page is missing. What lies side by side is one run, so that it costs what memory
 * is scattered. Under its owner's lock.
 */
public final class PinAll implements PinTracker {
    private static final int FIRST_RUNS = 4;

    private final long size;

    // Runs by their first page.
    private long[] firsts = new long[FIRST_RUNS];
    private long[] addresses = new long[FIRST_RUNS];
    private int runs;
    private long pinned;

    public PinAll(long pages) {
        size = pages;
    }

    /** Whether the whole range is there. */
    public boolean isComplete() {
        return pinned == size;
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public long pinned() {
        return pinned;
    }

    @Override
    public long address(long page) {
        if (page >= pinned) {
            return NONE;
        }
        int found = Arrays.binarySearch(firsts, 0, runs, page);
        int run = found >= 0 ? found : -found - 2;
        return addresses[run] + (page - firsts[run]) * PAGE;
    }

    /** All are there: asking changes nothing. */
    @Override
    public boolean retain(long page) {
        return page < pinned;
    }

    /** Pages come in order. */
    @Override
    public void add(long page, long address) {
        if (page != pinned) {
            throw new IllegalArgumentException("page %d comes after %d".formatted(page, pinned));
        }
        pinned++;
        int end = runs - 1;
        if (runs > 0 && addresses[end] + (page - firsts[end]) * PAGE == address) {
            return;
        }
        if (runs == firsts.length) {
            firsts = Arrays.copyOf(firsts, runs * 2);
            addresses = Arrays.copyOf(addresses, runs * 2);
        }
        firsts[runs] = page;
        addresses[runs] = address;
        runs++;
    }

    /** Pages go in the opposite order, with the mapping. */
    @Override
    public int release(long page) {
        if (page != pinned - 1) {
            return page < pinned ? 1 : -1;
        }
        pinned--;
        if (firsts[runs - 1] == page) {
            runs--;
        }
        return 0;
    }

    @Override
    public long nextPinned(long page) {
        return page < pinned ? page : NONE;
    }

    @Override
    public long bytes() {
        return Sizes.object(28) + 2 * Sizes.array(firsts.length, Long.BYTES);
    }
}
