// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.ioasis.memory.Outcome;

/**
 * The engine's own tables, in a segment that is handed in: hands them out up to a limit and takes
 * them back. What is known about a table lies beside it, so that nothing is written into one that a
 * reader may still be in. The thread that owns the tables, except {@link #load}, {@link #exchange}
 * and {@link #heldBytes}: any.
 */
public final class TableArena implements TableAccess {
    private static final int UNIT_LG2 = 12;
    private static final int SIZES = 10;

    private static final VarHandle WORD =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle HELD;

    static {
        try {
            HELD = MethodHandles.lookup().findVarHandle(TableArena.class, "held", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final MemorySegment segment;
    private final long address;
    private final long size;
    private final long limit;
    // Live entries of the table that begins in a unit; grows with what was handed out.
    private int[] live = new int[16];
    // Units of free tables, by size.
    private final int[][] free = new int[SIZES][4];
    private final int[] freeCount = new int[SIZES];
    // Units from here on were never handed out.
    private int fresh;
    private long held;

    /**
     * @param segment zeroed, aligned to 8 bytes, for this arena alone
     * @param address what entries call its first byte: a multiple of 1 MiB, not 0, so that the
     *     largest top table is aligned as its format asks
     * @param limitBytes most bytes of tables at a time, those that wait for their readers included
     */
    public TableArena(MemorySegment segment, long address, long limitBytes) {
        this.segment = segment;
        this.address = address;
        this.size = segment.byteSize() >>> UNIT_LG2 << UNIT_LG2;
        this.limit = limitBytes;
        if (address == 0 || (address & Bits.mask(UNIT_LG2 + SIZES - 2)) != 0) {
            throw new IllegalArgumentException("tables start at 0x%x".formatted(address));
        }
        if (limitBytes < 0 || limitBytes > size || size >>> UNIT_LG2 > Integer.MAX_VALUE >>> 1) {
            throw new IllegalArgumentException(
                    "limit of %d bytes of tables, but there are %d".formatted(limitBytes, size));
        }
    }

    /** Bytes of tables that are in use or not given back yet. Any thread. */
    public long heldBytes() {
        return (long) HELD.getOpaque(this);
    }

    /** Most that {@link #heldBytes} can be. */
    public long limitBytes() {
        return limit;
    }

    @Override
    public Outcome load(long at, Cell into) {
        if (!contains(at)) {
            return Outcome.REFUSED;
        }
        into.set((long) WORD.getAcquire(segment, at - address));
        return Outcome.OK;
    }

    @Override
    public Outcome exchange(long at, long expected, long word, Cell witness) {
        if (!contains(at)) {
            return Outcome.REFUSED;
        }
        witness.set((long) WORD.compareAndExchange(segment, at - address, expected, word));
        return Outcome.OK;
    }

    private boolean contains(long at) {
        return Long.compareUnsigned(at - address, size) < 0 && (at & (Long.BYTES - 1)) == 0;
    }

    /** The word; for the thread that owns the tables. */
    long get(long at) {
        return (long) WORD.getOpaque(segment, at - address);
    }

    /** Publishes an entry, after all that was written before. */
    void setRelease(long at, long word) {
        WORD.setRelease(segment, at - address, word);
    }

    /** True if the entry was {@code expected} and is {@code word} now. */
    boolean compareAndSet(long at, long expected, long word) {
        return WORD.compareAndSet(segment, at - address, expected, word);
    }

    /** True if {@code count} more tables can be taken now. */
    boolean has(long count, int sizeLg2) {
        if (count > (limit - held) >>> sizeLg2) {
            return false;
        }
        // Below the limit room can still be missing: free tables of other sizes stay what they are.
        int kind = sizeLg2 - UNIT_LG2;
        long more = Math.max(0, count - freeCount[kind]);
        return more == 0 || align(fresh, sizeLg2) + (more << kind) <= size >>> UNIT_LG2;
    }

    private static long align(long unit, int sizeLg2) {
        long mask = Bits.mask(sizeLg2 - UNIT_LG2);
        return (unit + mask) & ~mask;
    }

    /** A table without entries. The caller has asked {@link #has}. */
    long take(int sizeLg2) {
        int kind = sizeLg2 - UNIT_LG2;
        int unit;
        if (freeCount[kind] > 0) {
            unit = free[kind][--freeCount[kind]];
            segment.asSlice((long) unit << UNIT_LG2, 1L << sizeLg2).fill((byte) 0);
        } else {
            unit = (int) align(fresh, sizeLg2);
            while (fresh < unit) {
                push(0, fresh++);
            }
            fresh = unit + (1 << kind);
            if (unit >= live.length) {
                live = Arrays.copyOf(live, Math.max(unit + 1, 2 * live.length));
            }
        }
        if (held + (1L << sizeLg2) > limit || (long) fresh << UNIT_LG2 > size) {
            throw new IllegalStateException("a table is taken that was not asked for");
        }
        live[unit] = 0;
        HELD.setOpaque(this, held + (1L << sizeLg2));
        return address + ((long) unit << UNIT_LG2);
    }

    /** Takes a table back that no reader can be in. */
    void giveBack(long table, int sizeLg2) {
        push(sizeLg2 - UNIT_LG2, unit(table));
        HELD.setOpaque(this, held - (1L << sizeLg2));
    }

    private void push(int kind, int unit) {
        int[] list = free[kind];
        if (freeCount[kind] == list.length) {
            list = Arrays.copyOf(list, 2 * list.length);
            free[kind] = list;
        }
        list[freeCount[kind]++] = unit;
    }

    /** Entries have come or gone. */
    void count(long table, int change) {
        live[unit(table)] += change;
    }

    boolean isEmpty(long table) {
        return live[unit(table)] == 0;
    }

    private int unit(long table) {
        return (int) ((table - address) >>> UNIT_LG2);
    }
}
