// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iova;

/**
 * Hands out addresses for mappings (IOVAs): the highest that fit below a limit, aligned to their
 * size, so that a device which can reach little is served as long as there is something, and a
 * mapping can be of large pages. What is given back in small sizes is kept at hand by size, since
 * drivers map and unmap the same sizes all the time.
 *
 * <p>Addresses are unsigned. One thread. Allocates only to grow.
 */
public final class IovaAllocator {
    /** No address is free. No address that is handed out is this one. */
    public static final long NONE = -1;

    /** Sizes up to {@code 1 << 5} pages are rounded up to a power of two, and kept at hand. */
    private static final int CACHED_ORDERS = 6;

    /** How many of each size. */
    private static final int CACHE_SIZE = 128;

    private final int pageOrder;
    private final FreeExtents free = new FreeExtents();
    private final long[][] cache = new long[CACHED_ORDERS][CACHE_SIZE];
    private final int[] cached = new int[CACHED_ORDERS];
    private long used;
    private long failures;

    /**
     * @param pageSize unit of a mapping: a power of two, 4 KiB at least
     * @param first lowest address
     * @param last highest address
     */
    public IovaAllocator(long pageSize, long first, long last) {
        if (Long.bitCount(pageSize) != 1 || pageSize < 4096) {
            throw new IllegalArgumentException("page size " + pageSize);
        }
        pageOrder = Long.numberOfTrailingZeros(pageSize);
        long from = (first >>> pageOrder) + ((first & (pageSize - 1)) == 0 ? 0 : 1);
        long to = (last >>> pageOrder) - ((last & (pageSize - 1)) == pageSize - 1 ? 0 : 1);
        if (Long.compareUnsigned(first, last) > 0 || from > to) {
            throw new IllegalArgumentException("no page in 0x%x..0x%x".formatted(first, last));
        }
        free.add(from, to);
    }

    /** Keeps a range from being handed out from now on; what is handed out of it stays so. */
    public void exclude(long first, long last) {
        flushCaches();
        free.exclude(first >>> pageOrder, last >>> pageOrder);
    }

    /**
     * Hands out {@code bytes}, rounded up to whole pages, at the highest address that fits.
     *
     * @param limit highest address that may be part of it
     * @return the first address, or {@link #NONE}
     */
    public long allocate(long bytes, long limit) {
        long pages = pages(bytes);
        int order = order(pages);
        long page = order < CACHED_ORDERS ? fromCache(order, limit) : NONE;
        if (page == NONE) {
            page = fromTree(size(pages), order, limit);
        }
        if (page == NONE) {
            failures++;
            return NONE;
        }
        used += size(pages);
        return page << pageOrder;
    }

    private long fromCache(int order, long limit) {
        int count = cached[order];
        if (count == 0) {
            return NONE;
        }
        long page = cache[order][count - 1];
        long last = ((page + (1L << order)) << pageOrder) - 1;
        if (Long.compareUnsigned(last, limit) > 0) {
            return NONE;
        }
        cached[order] = count - 1;
        return page;
    }

    private long fromTree(long pages, int order, long limit) {
        // A page that the limit cuts is above it.
        long above = (limit >>> pageOrder) + ((limit & (pageSize() - 1)) == pageSize() - 1 ? 1 : 0);
        long page = free.take(pages, order, above - 1);
        if (page == NONE && cachedPages() > 0) {
            flushCaches();
            page = free.take(pages, order, above - 1);
        }
        return page;
    }

    /** Takes back what {@link #allocate} has handed out, with the same {@code bytes}. */
    public void free(long iova, long bytes) {
        long pages = size(pages(bytes));
        long page = iova >>> pageOrder;
        if ((iova & (pageSize() - 1)) != 0 || free.overlaps(page, page + pages - 1)) {
            throw new IllegalStateException("0x%x is not handed out".formatted(iova));
        }
        used -= pages;
        int order = order(pages);
        if (order >= CACHED_ORDERS) {
            free.add(page, page + pages - 1);
            return;
        }
        if (cached[order] == CACHE_SIZE) {
            flush(order, CACHE_SIZE / 2);
        }
        cache[order][cached[order]++] = page;
    }

    private void flushCaches() {
        for (int order = 0; order < CACHED_ORDERS; order++) {
            flush(order, 0);
        }
    }

    /** All but the oldest so many go back to the tree. */
    private void flush(int order, int kept) {
        while (cached[order] > kept) {
            long page = cache[order][--cached[order]];
            free.add(page, page + (1L << order) - 1);
        }
    }

    private long pages(long bytes) {
        if (bytes <= 0) {
            throw new IllegalArgumentException(bytes + " bytes");
        }
        return ((bytes - 1) >>> pageOrder) + 1;
    }

    private static int order(long pages) {
        return pages == 1 ? 0 : 64 - Long.numberOfLeadingZeros(pages - 1);
    }

    /** Pages that are taken for so many. */
    private static long size(long pages) {
        int order = order(pages);
        return order < CACHED_ORDERS ? 1L << order : pages;
    }

    /** Unit of what is handed out. */
    public long pageSize() {
        return 1L << pageOrder;
    }

    // --- counters

    /** Pages that are handed out. */
    public long usedPages() {
        return used;
    }

    /** Pages that are kept at hand. */
    public long cachedPages() {
        long sum = 0;
        for (int order = 0; order < CACHED_ORDERS; order++) {
            sum += (long) cached[order] << order;
        }
        return sum;
    }

    /** Pages that are free and not kept at hand. */
    public long freePages() {
        return free.pages();
    }

    /** Runs of free pages: the more there are for as many pages, the more it is in pieces. */
    public int freeRuns() {
        return free.runs();
    }

    /** The largest aligned piece that is free and not kept at hand, in bytes; 0 for none. */
    public long largestFree() {
        int order = free.largestOrder();
        return order < 0 ? 0 : pageSize() << order;
    }

    /** How often nothing was free. */
    public long failures() {
        return failures;
    }
}
