// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.Arrays;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.iommu.pagetable.Walk;
import org.ioasis.iova.IovaAllocator;
import org.jspecify.annotations.Nullable;

/**
 * One domain of a simulation: its table, the addresses that its driver hands out, and what waits
 * for a flush. One thread.
 */
final class DomainTables {
    /** Devices that can reach less are served as long as there is something. */
    private static final long LOW_LAST = 0xffff_ffffL;

    /** Half of what the smallest format reaches. */
    private static final long LAST = (1L << 46) - 1;

    /** Pages that drivers care to get, largest first. */
    private static final long[] LARGE = {1L << 30, 1L << 21};

    final PageTable table;
    final long tag;
    final Gather gather = new Gather();
    private final int index;
    private final long granule;
    private final IovaAllocator iovas;

    // What waits: address, where it led, bytes less one, and when it was unmapped or NOT_CACHED.
    private static final int WORDS = 4;
    private static final long NOT_CACHED = Long.MIN_VALUE;
    private long[] waiting = new long[16 * WORDS];
    private int waitingCount;
    private int waitingUnmaps;
    private long oldest;

    DomainTables(int index, Design design, PageTable table) {
        this.index = index;
        this.table = table;
        this.granule = design.granule();
        // No buffer is at 0, which drivers take for none.
        this.iovas = new IovaAllocator(granule, granule, LAST);
        this.tag = Iotlb.tag(index, 0, Iotlb.FIRST);
    }

    int index() {
        return index;
    }

    // Addresses
    // ---------------------------------------------------------------------------------------------

    /**
     * Bytes before a buffer's granules, so that a large page of it can begin where it begins in
     * memory.
     */
    private static long lead(long output, long bytesLess1) {
        for (long page : LARGE) {
            if (Long.compareUnsigned(bytesLess1, page - 1) >= 0) {
                return output & (page - 1);
            }
        }
        return 0;
    }

    /** An address for granules that begin at {@code output}, or {@link IovaAllocator#NONE}. */
    long allocate(long output, long bytesLess1) {
        if (Long.compareUnsigned(bytesLess1, LAST >>> 1) > 0) {
            return IovaAllocator.NONE;
        }
        long lead = lead(output, bytesLess1);
        long bytes = lead + bytesLess1 + 1;
        long iova = iovas.allocate(bytes, LOW_LAST);
        if (iova == IovaAllocator.NONE) {
            iova = iovas.allocate(bytes, LAST);
        }
        return iova == IovaAllocator.NONE ? IovaAllocator.NONE : iova + lead;
    }

    /** Pages that are made for a range. */
    long leaves(long iova, long output, long bytesLess1) {
        long sizes = table.pageSizes();
        long last = iova + bytesLess1;
        long count = 0;
        long from = iova;
        while (true) {
            int sizeLg2 = Bits.bestPageLg2(sizes, from, last, output + (from - iova));
            long row = Bits.pageCount(sizes, from, last, output + (from - iova), sizeLg2);
            count += row;
            long bytes = row << sizeLg2;
            if (bytes - 1 == last - from) {
                return count;
            }
            from += bytes;
        }
    }

    /**
     * Maps granules at an address that was handed out for them.
     *
     * @return whether the format leads there and its tables have room; if not, nothing is mapped
     */
    boolean map(long iova, long output, long bytesLess1, int rights) {
        PageTableFormat format = table.format();
        // A format without pages that can only be written has them readable too.
        int allowed =
                format.attributes(rights) == PageTableFormat.NO_ATTRIBUTES
                        ? rights | Rights.READ
                        : rights;
        PageTableStatus status = table.map(iova, iova + bytesLess1, output, allowed, gather);
        return switch (status) {
            case OK -> true;
            case NO_MEMORY, MISFIT -> false;
            case RANGE, RIGHTS, OVERLAPS, SPLITS ->
                    throw new IllegalStateException("a buffer at 0x%x: %s".formatted(iova, status));
        };
    }

    void free(long iova, long output, long bytesLess1) {
        long lead = lead(output, bytesLess1);
        iovas.free(iova - lead, lead + bytesLess1 + 1);
    }

    /** Translates what is not in the IOTLB, and keeps it there. */
    void walk(long address, int access, @Nullable Iotlb tlb, Walk walk) {
        long epoch = tlb == null ? 0 : tlb.epoch();
        if (!table.walk(address, access, false, walk)) {
            throw new IllegalStateException(
                    "0x%x is not translated: %s".formatted(address, walk.fault()));
        }
        if (tlb != null) {
            int page = walk.pageLg2();
            long output = walk.output();
            boolean _ = tlb.fill(epoch, tag, address, output, walk.rights(), page, page, false);
        }
    }

    // What waits for a flush
    // ---------------------------------------------------------------------------------------------

    /** Keeps an address from being handed out, which the IOTLB may still have. */
    void wait(long iova, long output, long bytesLess1, boolean isCached, long time) {
        int at = waitingCount * WORDS;
        if (at == waiting.length) {
            waiting = Arrays.copyOf(waiting, 2 * at);
        }
        if (waitingCount == 0) {
            oldest = time;
        }
        waiting[at] = iova;
        waiting[at + 1] = output;
        waiting[at + 2] = bytesLess1;
        waiting[at + 3] = isCached ? time : NOT_CACHED;
        waitingCount++;
    }

    /** An UNMAP is done. Returns how many wait now. */
    int unmapped() {
        return ++waitingUnmaps;
    }

    /** Buffers that wait. */
    int waiting() {
        return waitingCount;
    }

    /** How long one of them could be reached until {@code time}. */
    long reached(int index, long time) {
        long since = waiting[index * WORDS + 3];
        return since == NOT_CACHED ? 0 : time - since;
    }

    /** When the first of those that wait was unmapped. */
    long oldest() {
        return oldest;
    }

    /** Nobody can reach anything of what waits. */
    void flushed(TableArena arena) {
        for (int at = 0; at < waitingCount * WORDS; at += WORDS) {
            free(waiting[at], waiting[at + 1], waiting[at + 2]);
        }
        gather.release(arena);
        waitingCount = 0;
        waitingUnmaps = 0;
    }
}
