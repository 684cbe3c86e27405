// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * Some pages on their way into page tables, as runs that are contiguous: what an area of any size
 * is carried in. As large as temporary memory allows, so that whatever is mapped costs the same
 * bounded piece of memory. Under its context's lock.
 */
final class PageBatch {
    /** What one run costs: an address and a count. */
    private static final int RUN_BYTES = 12;

    /** Bytes of temporary memory that a node starts with. */
    static final int DEFAULT_LIMIT = 65536;

    private final long[] address;
    private final int[] pages;
    private final boolean[] isFresh;
    private int runs;
    private long total;

    /**
     * @param limit bytes of temporary memory; one run always fits
     */
    PageBatch(int limit) {
        int capacity = Math.max(1, Math.min(limit, DEFAULT_LIMIT) / RUN_BYTES);
        address = new long[capacity];
        pages = new int[capacity];
        isFresh = new boolean[capacity];
    }

    void clear() {
        runs = 0;
        total = 0;
    }

    int runs() {
        return runs;
    }

    /** Pages of all runs. */
    long total() {
        return total;
    }

    long address(int run) {
        return address[run];
    }

    int pages(int run) {
        return pages[run];
    }

    /** Whether the run's pages were held for this filling, and by nothing before. */
    boolean isFresh(int run) {
        return isFresh[run];
    }

    /** Adds pages at the end; false, and nothing added, if there is no room for another run. */
    boolean add(long runAddress, int runPages, boolean runIsFresh) {
        int end = runs - 1;
        if (runs > 0
                && isFresh[end] == runIsFresh
                && address[end] + ((long) pages[end] << PhysicalMemory.PAGE_LG2) == runAddress
                && pages[end] <= Integer.MAX_VALUE - runPages) {
            pages[end] += runPages;
            total += runPages;
            return true;
        }
        if (runs == address.length) {
            return false;
        }
        address[runs] = runAddress;
        pages[runs] = runPages;
        isFresh[runs] = runIsFresh;
        runs++;
        total += runPages;
        return true;
    }

    boolean isFull() {
        return runs == address.length;
    }
}
