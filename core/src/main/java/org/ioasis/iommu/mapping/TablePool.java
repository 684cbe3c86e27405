// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.jspecify.annotations.Nullable;

/**
 * The tables of all {@linkplain RadixStore stores} of one IOMMU: hands them out, up to a quota, and
 * takes them back. Loop thread, except {@link #tableBytes}.
 *
 * <p>A table that is given back may still be read by who entered a guarded section before it was
 * unlinked. Until the last of those has left nothing is written into it, not even a link of a free
 * list, so what is known about a table lies beside it, in a <em>record</em>. While it waits it
 * counts against the quota: what a guest can make us hold is the quota, not the quota and what is
 * on its way back.
 */
public final class TablePool {
    static final int TABLE_BYTES = 4096;
    static final int TABLE_WORDS = TABLE_BYTES / Long.BYTES;
    static final int NONE = -1;

    private static final int WORDS_LG2 = 9;

    // What a table holds, in one number, so that a change of a mapping is one addition: live
    // entries, mappings whose first leaf is in the table, the table's shift.
    private static final int STARTS_AT = 10;
    private static final int SHIFT_AT = 20;
    private static final int COUNT_MASK = (1 << STARTS_AT) - 1;
    private static final int DIRTY = 1 << 30;

    private static final VarHandle HELD;

    static {
        try {
            HELD = MethodHandles.lookup().findVarHandle(TablePool.class, "held", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final TableMemory memory;
    private final long first;
    private final int limit;
    private final Guards guards;
    private final Drain drain = new Drain();

    // The record of each table: what it holds, the table that links to it, and the next in a list
    // once it is unlinked.
    private int[] contents = new int[64];
    private int[] parents = new int[64];
    private int[] nexts = new int[64];
    // Tables from here on were never handed out.
    private int fresh;
    // Tables of all stores, and those on their way back.
    private int held;
    private final Chain free = new Chain();
    // Unlinked since the wait that goes on now began, and those that it is for.
    private final Chain unlinked = new Chain();
    private final Chain draining = new Chain();
    private boolean isDraining;

    private @Nullable RadixStore keeper;

    /**
     * @param memory used by this pool alone
     * @param quotaBytes most bytes of tables at a time, over all stores; not more than the memory
     *     has
     */
    public TablePool(TableMemory memory, long quotaBytes, Guards guards) {
        if (quotaBytes < 0 || quotaBytes > memory.size() * Long.BYTES) {
            throw new IllegalArgumentException(
                    "quota of %d bytes of tables, but there are %d"
                            .formatted(quotaBytes, memory.size() * Long.BYTES));
        }
        if (memory.first() % TABLE_WORDS != 0 || memory.first() == 0) {
            throw new IllegalArgumentException(
                    "memory for tables starts at word 0x%x".formatted(memory.first()));
        }
        this.memory = memory;
        this.first = memory.first();
        this.limit = (int) Math.min(quotaBytes / TABLE_BYTES, Integer.MAX_VALUE >>> 4);
        this.guards = guards;
    }

    /** Bytes of tables that are in use, or not yet free for use again. Any thread. */
    public long tableBytes() {
        return (long) (int) HELD.getOpaque(this) * TABLE_BYTES;
    }

    /** Most that {@link #tableBytes} can be. */
    public long quotaBytes() {
        return (long) limit * TABLE_BYTES;
    }

    TableMemory memory() {
        return memory;
    }

    /** True if {@code count} more tables can be taken now. */
    boolean has(int count) {
        return limit - held >= count;
    }

    /**
     * A table without entries, for entries of {@code 2^shift} addresses each. The caller has asked
     * {@link #has}, so that a request that needs several takes all or none.
     */
    long take(int shift, int parent) {
        if (held == limit) {
            throw new IllegalStateException("a table is taken that was not asked for");
        }
        int table;
        if (free.count > 0) {
            table = free.pop();
            if ((contents[table] & DIRTY) != 0) {
                memory.clear(word(table), TABLE_WORDS);
            }
        } else {
            table = fresh++;
            if (table == contents.length) {
                contents = Arrays.copyOf(contents, table * 2);
                parents = Arrays.copyOf(parents, table * 2);
                nexts = Arrays.copyOf(nexts, table * 2);
            }
        }
        contents[table] = shift << SHIFT_AT;
        parents[table] = parent;
        HELD.setOpaque(this, held + 1);
        return word(table);
    }

    /** Index of the table that begins with {@code word}. */
    int table(long word) {
        return (int) ((word - first) >>> WORDS_LG2);
    }

    /** Number of the table's first word. */
    long word(int table) {
        return first + ((long) table << WORDS_LG2);
    }

    /** So many entries and mapping starts, as a number for {@link #add} and {@link #take}. */
    static int amount(int entries, int starts) {
        return entries + (starts << STARTS_AT);
    }

    /** What one leaf of a table counts for. */
    static int amountOf(long leaf) {
        return (int) (leaf >>> Entry.LEAF_AT & 1)
                + ((int) (leaf >>> Entry.START_AT & 1) << STARTS_AT);
    }

    static int startsIn(int amount) {
        return amount >>> STARTS_AT & COUNT_MASK;
    }

    /** Entries and mapping starts have come to a table. */
    void add(int table, int amount) {
        contents[table] += amount;
    }

    /** Entries and mapping starts have gone. True if the table is empty now. */
    boolean subtract(int table, int amount) {
        int rest = contents[table] - amount;
        contents[table] = rest;
        return (rest & COUNT_MASK) == 0;
    }

    boolean isEmpty(int table) {
        return (contents[table] & COUNT_MASK) == 0;
    }

    int shift(int table) {
        return contents[table] >>> SHIFT_AT;
    }

    int parent(int table) {
        return parents[table];
    }

    void parent(int table, int parent) {
        parents[table] = parent;
    }

    /**
     * Takes back a table that no entry leads to any more. It is free again some time after {@link
     * #drain}, when the last reader has left it.
     */
    void giveBack(int table) {
        // Whoever cleared each entry by itself has left only zeros.
        contents[table] = isEmpty(table) ? 0 : DIRTY;
        unlinked.push(table);
    }

    /**
     * As {@link #giveBack}, with all tables below it. Returns how many mappings start in them.
     *
     * @param granuleLg2 shift of the lowest tables
     */
    long giveBackTree(int top, int granuleLg2) {
        long removed = 0;
        // What is still to be looked at is a list through the records: no recursion, and no room
        // that depends on the tree.
        nexts[top] = NONE;
        int next = top;
        while (next != NONE) {
            int table = next;
            next = nexts[table];
            removed += startsIn(contents[table]);
            if (shift(table) != granuleLg2) {
                long word = word(table);
                for (int i = 0; i < TABLE_WORDS; i++) {
                    long entry = memory.get(word + i);
                    if (Entry.isTable(entry)) {
                        int below = table(Entry.table(entry));
                        nexts[below] = next;
                        next = below;
                    }
                }
            }
            giveBack(table);
        }
        return removed;
    }

    /** Tables given back since {@link #drain} last took them. */
    int givenBack() {
        return unlinked.count;
    }

    /** After a change: what was given back in it becomes free when no reader can be in it. */
    void drain() {
        if (!isDraining && unlinked.count > 0) {
            isDraining = true;
            draining.takeAll(unlinked);
            guards.await(drain);
        }
    }

    /**
     * Says that {@code store} keeps a chain of tables without mappings, for the next MAP to find.
     * One chain in the whole pool, so whoever kept one before gives it back.
     */
    void keeps(RadixStore store) {
        RadixStore before = keeper;
        if (before != null && before != store) {
            before.dropKept();
        }
        keeper = store;
    }

    /** Gives back the chain that is kept, if there is one. */
    void dropKept() {
        RadixStore store = keeper;
        keeper = null;
        if (store != null && store.dropKept()) {
            drain();
        }
    }

    /** Tables that are linked by their records. */
    private final class Chain {
        private int head = NONE;
        private int tail = NONE;
        private int count;

        void push(int table) {
            nexts[table] = head;
            head = table;
            if (tail == NONE) {
                tail = table;
            }
            count++;
        }

        /** Moves all of {@code other} to the front of this one. */
        void takeAll(Chain other) {
            if (other.head == NONE) {
                return;
            }
            nexts[other.tail] = head;
            head = other.head;
            if (tail == NONE) {
                tail = other.tail;
            }
            count += other.count;
            other.head = NONE;
            other.tail = NONE;
            other.count = 0;
        }

        int pop() {
            int table = head;
            head = nexts[table];
            if (head == NONE) {
                tail = NONE;
            }
            count--;
            return table;
        }
    }

    private final class Drain extends Quiescence {
        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return false; // a lease holds guest memory, never a table
        }

        @Override
        protected void quiescent() {
            HELD.setOpaque(TablePool.this, held - draining.count);
            free.takeAll(draining);
            isDraining = false;
            drain();
        }
    }
}
