// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The regions of one view of guest memory, sorted, with an index by {@code gpa >>> 21}. Immutable:
 * a change builds a new table, which {@link GuestMemory} publishes. Any thread.
 *
 * <p>The index makes the common lookup one load and one compare however many regions there are (a
 * search over twenty regions costs ten times as much). It covers the first 128 GiB, so that a peer
 * that puts a region at the far end of the address space cannot make it large; above, and in 2 MiB
 * blocks that several regions share, a binary search decides.
 */
final class RegionTable {
    static final RegionTable EMPTY = new RegionTable(new Region[0]);

    private static final int BLOCK_LG2 = 21;
    private static final int INDEX_LIMIT = 1 << 16;
    private static final short NOTHING = -1;
    private static final short MIXED = -2;

    private final Region[] sorted;
    private final short[] index;

    private RegionTable(Region[] sorted) {
        this.sorted = sorted;
        this.index = index(sorted);
    }

    private static short[] index(Region[] sorted) {
        int blocks = 0;
        for (Region region : sorted) {
            if (Long.compareUnsigned(region.gpaFirst() >>> BLOCK_LG2, INDEX_LIMIT) < 0) {
                blocks = (int) Math.min(region.gpaLast() >>> BLOCK_LG2, INDEX_LIMIT - 1) + 1;
            }
        }
        short[] index = new short[blocks];
        Arrays.fill(index, NOTHING);
        for (int i = 0; i < sorted.length; i++) {
            long firstBlock = sorted[i].gpaFirst() >>> BLOCK_LG2;
            long lastBlock = Math.min(sorted[i].gpaLast() >>> BLOCK_LG2, blocks - 1L);
            for (long block = firstBlock; block <= lastBlock; block++) {
                long blockFirst = block << BLOCK_LG2;
                long blockLast = blockFirst + ((1L << BLOCK_LG2) - 1);
                boolean whole =
                        Long.compareUnsigned(sorted[i].gpaFirst(), blockFirst) <= 0
                                && Long.compareUnsigned(blockLast, sorted[i].gpaLast()) <= 0;
                index[(int) block] = whole ? (short) i : MIXED;
            }
        }
        return index;
    }

    int size() {
        return sorted.length;
    }

    Region get(int i) {
        return sorted[i];
    }

    /** The region that holds {@code gpa}, or null. */
    @Nullable Region find(long gpa) {
        long block = gpa >>> BLOCK_LG2;
        if (block < index.length) {
            short entry = index[(int) block];
            if (entry >= 0) {
                return sorted[entry];
            }
            if (entry == NOTHING) {
                return null;
            }
        }
        return search(gpa);
    }

    private @Nullable Region search(long gpa) {
        int low = 0;
        int high = sorted.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            Region region = sorted[middle];
            if (Long.compareUnsigned(gpa, region.gpaFirst()) < 0) {
                high = middle - 1;
            } else if (Long.compareUnsigned(gpa, region.gpaLast()) > 0) {
                low = middle + 1;
            } else {
                return region;
            }
        }
        return null;
    }

    boolean overlaps(long first, long last) {
        for (Region region : sorted) {
            if (region.overlaps(first, last)) {
                return true;
            }
        }
        return false;
    }

    RegionTable with(Region added) {
        Region[] all = Arrays.copyOf(sorted, sorted.length + 1);
        int at = sorted.length;
        while (at > 0 && Long.compareUnsigned(added.gpaFirst(), all[at - 1].gpaFirst()) < 0) {
            all[at] = all[at - 1];
            at--;
        }
        all[at] = added;
        return new RegionTable(all);
    }

    /**
     * The table without the region that is exactly {@code first..last}, or null if there is none.
     */
    @Nullable RegionTable without(long first, long last) {
        for (int i = 0; i < sorted.length; i++) {
            if (sorted[i].gpaFirst() == first && sorted[i].gpaLast() == last) {
                Region[] rest = new Region[sorted.length - 1];
                System.arraycopy(sorted, 0, rest, 0, i);
                System.arraycopy(sorted, i + 1, rest, i, rest.length - i);
                return new RegionTable(rest);
            }
        }
        return null;
    }
}
