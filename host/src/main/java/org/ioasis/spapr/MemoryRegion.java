// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.IommufdNode;

/**
 * Memory of a process that is registered for DMA: each of its pages is held, once, from the first
 * registration to the last that ends.
 *
 * <p>Two counts: registrations, and entries of tables that lead here. The second begins with 1, for
 * being registered; who takes that 1 away when it is the only one has ended it, and no entry can be
 * made any more. Look-ups and the second count: any thread; the rest under the lock of its {@link
 * RegisteredMemory}.
 */
final class MemoryRegion {
    private static final int PAGE_LG2 = 12;

    private final long first;
    private final long pages;
    private final AtomicLong mapped = new AtomicLong(1);
    private int used = 1;

    // Runs of pages whose addresses follow each other.
    private long[] runFirst = new long[1];
    private long[] runAddress = new long[1];
    private int runs;
    private long held;
    private int pageLg2;

    /**
     * @param first user address of its first byte
     */
    MemoryRegion(long first, long pages) {
        this.first = first;
        this.pages = pages;
    }

    long first() {
        return first;
    }

    long last() {
        return first + (pages << PAGE_LG2) - 1;
    }

    long pages() {
        return pages;
    }

    boolean is(long otherFirst, long otherPages) {
        return first == otherFirst && pages == otherPages;
    }

    boolean overlaps(MemoryRegion other) {
        return Long.compareUnsigned(first, other.last()) <= 0
                && Long.compareUnsigned(other.first, last()) <= 0;
    }

    // While it is made

    /** The next pages are held, and have these addresses. */
    void add(long address, long count) {
        long at = first + (held << PAGE_LG2);
        held += count;
        if (runs > 0 && address - runAddress[runs - 1] == at - runFirst[runs - 1]) {
            return;
        }
        if (runs == runFirst.length) {
            runFirst = Arrays.copyOf(runFirst, 2 * runs);
            runAddress = Arrays.copyOf(runAddress, 2 * runs);
        }
        runFirst[runs] = at;
        runAddress[runs] = address;
        runs++;
    }

    /** Pages of it that are held. */
    long held() {
        return held;
    }

    /** All are held: how large a page of a table may be that leads here. */
    void complete() {
        long bits = first | (pages << PAGE_LG2);
        for (int i = 0; i < runs; i++) {
            bits |= runFirst[i] | (runAddress[i] - runFirst[i]);
        }
        pageLg2 = Long.numberOfTrailingZeros(bits);
    }

    /** Gives back what is held. */
    void giveBack(IommufdNode node) {
        long end = first + (held << PAGE_LG2);
        for (int i = runs - 1; i >= 0; i--) {
            long count = (end - runFirst[i]) >>> PAGE_LG2;
            giveBack(node, runAddress[i], count);
            end = runFirst[i];
        }
        held = 0;
        runs = 0;
    }

    /** In pieces that were held together: a run may go on from one into the next. */
    private static void giveBack(IommufdNode node, long address, long count) {
        for (long done = 0; done < count; ) {
            long at = address + (done << PAGE_LG2);
            long piece = Math.min(count - done, IommufdNode.pagesTogether(at));
            node.giveBack(at, piece);
            done += piece;
        }
    }

    // Registrations

    int used() {
        return used;
    }

    void use(int change) {
        used += change;
    }

    // Entries

    /** Entries that lead here, and one for being registered. */
    long mapped() {
        return mapped.get();
    }

    /** One more entry will lead here; false: it is being unregistered. */
    boolean map() {
        while (true) {
            long now = mapped.get();
            if (now == 0) {
                return false;
            }
            if (mapped.compareAndSet(now, now + 1)) {
                return true;
            }
        }
    }

    /** One entry does no longer. */
    void unmap() {
        if (mapped.decrementAndGet() < 1) {
            throw new IllegalStateException(
                    "an entry that leads to 0x%x was not counted".formatted(first));
        }
    }

    /** Ends it unless an entry leads here. */
    boolean retire() {
        return mapped.compareAndSet(1, 0);
    }

    /**
     * The address of a page.
     *
     * @param user an address within, a multiple of the page's size
     * @return -1: the memory behind is not contiguous for so large a page
     */
    long toPhysical(long user, int sizeLg2) {
        if (sizeLg2 > pageLg2) {
            return -1;
        }
        int low = 0;
        int high = runs - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (Long.compareUnsigned(runFirst[middle], user) <= 0) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return runAddress[low] + (user - runFirst[low]);
    }
}
