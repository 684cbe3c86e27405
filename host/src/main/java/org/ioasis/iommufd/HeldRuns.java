// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.Arrays;

/**
 * Held pages that nobody needs any more, as runs that lie side by side, from when they are found to
 * when they are given back. A context has one, so that unmapping allocates nothing. Under its
 * context's lock.
 */
final class HeldRuns {
    private long[] addresses = new long[4];
    private long[] pages = new long[4];
    private int count;

    void clear() {
        count = 0;
    }

    /** Adds the pages from an address on. */
    void add(long address, long more) {
        int end = count - 1;
        if (count > 0 && addresses[end] + (pages[end] << PhysicalMemory.PAGE_LG2) == address) {
            pages[end] += more;
            return;
        }
        if (count == addresses.length) {
            addresses = Arrays.copyOf(addresses, count * 2);
            pages = Arrays.copyOf(pages, count * 2);
        }
        addresses[count] = address;
        pages[count] = more;
        count++;
    }

    /** Gives all of them back; how many pages they were. */
    long release(PhysicalMemory memory) {
        long released = 0;
        for (int i = 0; i < count; i++) {
            memory.release(addresses[i], pages[i]);
            released += pages[i];
        }
        count = 0;
        return released;
    }
}
