// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import java.util.Arrays;

/**
 * What a change has taken out of a page table: addresses that a cache may still have, and tables
 * that a reader may still be in. The thread that owns the table.
 *
 * <p>Who changes a table keeps what was gathered until no reader can be in it (a full fence, then a
 * wait for the guards) and no cache has it, and only then calls {@link #release}.
 */
public final class Gather {
    private long[] tables = new long[8];
    private byte[] sizes = new byte[8];
    private int count;
    private boolean isEmpty = true;
    private long first;
    private long last;
    private long bytes;

    /** True if no address has lost its translation. */
    public boolean isEmpty() {
        return isEmpty;
    }

    /** First address that lost its translation, if one has. */
    public long first() {
        return first;
    }

    /** Last one; between the two may be some that had none. */
    public long last() {
        return last;
    }

    /** How many, modulo 2^64. */
    public long bytes() {
        return bytes;
    }

    /** Tables that wait. */
    public int tables() {
        return count;
    }

    void removed(long pageFirst, long pageLast) {
        if (isEmpty || Long.compareUnsigned(pageFirst, first) < 0) {
            first = pageFirst;
        }
        if (isEmpty || Long.compareUnsigned(pageLast, last) > 0) {
            last = pageLast;
        }
        isEmpty = false;
        bytes += pageLast - pageFirst + 1;
    }

    void unlinked(long table, int sizeLg2) {
        if (count == tables.length) {
            tables = Arrays.copyOf(tables, 2 * count);
            sizes = Arrays.copyOf(sizes, 2 * count);
        }
        tables[count] = table;
        sizes[count] = (byte) sizeLg2;
        count++;
    }

    /** Gives the tables back; what was gathered is forgotten, and the next change can use this. */
    public void release(TableArena arena) {
        for (int i = 0; i < count; i++) {
            arena.giveBack(tables[i], sizes[i]);
        }
        count = 0;
        isEmpty = true;
        bytes = 0;
    }
}
