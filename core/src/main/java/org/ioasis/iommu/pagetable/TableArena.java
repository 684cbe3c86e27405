// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.function.LongFunction;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * The engine's own tables, in memory that is handed in, at once or piece by piece: hands them out
 * up to a limit and takes them back. What is known about a table lies beside it, so that nothing is
 * written into one that a reader may still be in. The thread that owns the tables, except {@link
 * #load}, {@link #exchange} and {@link #heldBytes}: any.
 */
public final class TableArena implements TableAccess {
    private static final int UNIT_LG2 = 12;
    private static final int SIZES = 10;
    private static final int WORD_LG2 = 3;
    private static final long[] NO_WORDS = {};

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle HELD;

    static {
        try {
            HELD = MethodHandles.lookup().findVarHandle(TableArena.class, "held", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** One piece has all addresses. */
    private static final int WHOLE_LG2 = 62;

    private final LongFunction<long @Nullable []> memory;
    private final int pieceLg2;
    private final long address;
    private final long size;
    private final long limit;
    // A reader knows the address of a table from an entry that was published after the piece was
    // put here, and after the array was replaced by a longer one.
    private long[][] pieces = {NO_WORDS};
    private int pieceCount;
    // Live entries of the table that begins in a unit; grows with what was handed out.
    private int[] live = new int[16];
    // Units of free tables, by size.
    private final int[][] free = new int[SIZES][4];
    private final int[] freeCount = new int[SIZES];
    // Units from here on were never handed out.
    private int fresh;
    private long held;

    /**
     * @param words zeroed, for this arena alone
     * @param address what entries call its first byte: a multiple of 1 MiB, not 0, so that the
     *     largest top table is aligned as its format asks
     * @param limitBytes most bytes of tables at a time, those that wait for their readers included
     */
    public TableArena(long[] words, long address, long limitBytes) {
        this(_ -> null, WHOLE_LG2, (long) words.length * Long.BYTES, address, limitBytes);
        pieces[0] = words;
        pieceCount = 1;
    }

    /**
     * Takes its memory when it needs it.
     *
     * @param memory gives a piece of so many bytes, zeroed; null: there is no more
     * @param pieceLg2 bytes of a piece: no table of the formats is larger
     */
    public TableArena(
            LongFunction<long @Nullable []> memory, int pieceLg2, long address, long limitBytes) {
        this(memory, pieceLg2, limitBytes, address, limitBytes);
    }

    private TableArena(
            LongFunction<long @Nullable []> memory,
            int pieceLg2,
            long bytes,
            long address,
            long limitBytes) {
        this.memory = memory;
        this.pieceLg2 = pieceLg2;
        this.address = address;
        this.size = bytes >>> UNIT_LG2 << UNIT_LG2;
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
        into.set((long) WORD.getAcquire(piece(at), inPiece(at)));
        return Outcome.OK;
    }

    @Override
    public Outcome exchange(long at, long expected, long word, Cell witness) {
        if (!contains(at)) {
            return Outcome.REFUSED;
        }
        witness.set((long) WORD.compareAndExchange(piece(at), inPiece(at), expected, word));
        return Outcome.OK;
    }

    private boolean contains(long at) {
        long piece = (at - address) >>> pieceLg2;
        long[][] known = pieces;
        return Long.compareUnsigned(at - address, size) < 0
                && piece < known.length
                && known[(int) piece].length > 0
                && (at & (Long.BYTES - 1)) == 0;
    }

    private long[] piece(long at) {
        return pieces[(int) ((at - address) >>> pieceLg2)];
    }

    private int inPiece(long at) {
        return (int) (((at - address) & Bits.mask(pieceLg2)) >>> WORD_LG2);
    }

    /** The word; for the thread that owns the tables. */
    long get(long at) {
        return (long) WORD.getOpaque(piece(at), inPiece(at));
    }

    /** Publishes an entry, after all that was written before. */
    void setRelease(long at, long word) {
        WORD.setRelease(piece(at), inPiece(at), word);
    }

    /** True if the entry was {@code expected} and is {@code word} now. */
    boolean compareAndSet(long at, long expected, long word) {
        return WORD.compareAndSet(piece(at), inPiece(at), expected, word);
    }

    /** True if {@code count} more tables can be taken now: their memory is there. */
    boolean has(long count, int sizeLg2) {
        if (count > (limit - held) >>> sizeLg2) {
            return false;
        }
        // Below the limit room can still be missing: free tables of other sizes stay what they are.
        int kind = sizeLg2 - UNIT_LG2;
        long more = Math.max(0, count - freeCount[kind]);
        long end = align(fresh, sizeLg2) + (more << kind);
        return more == 0 || (end <= size >>> UNIT_LG2 && reaches(end << UNIT_LG2));
    }

    /** Takes pieces until so many bytes are there. */
    private boolean reaches(long bytes) {
        while ((long) pieceCount << pieceLg2 < bytes) {
            long[] piece = memory.apply(1L << pieceLg2);
            if (piece == null) {
                return false;
            }
            long[][] known = pieces;
            if (pieceCount == known.length) {
                known = Arrays.copyOf(known, 2 * pieceCount);
                Arrays.fill(known, pieceCount, known.length, NO_WORDS);
            }
            known[pieceCount++] = piece;
            pieces = known;
        }
        return true;
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
            long table = address + ((long) unit << UNIT_LG2);
            int from = inPiece(table);
            Arrays.fill(piece(table), from, from + (1 << (sizeLg2 - WORD_LG2)), 0);
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
