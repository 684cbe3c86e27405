// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.ioasis.memory.Ranges.covers;
import static org.ioasis.memory.Ranges.distance;
import static org.ioasis.memory.Ranges.isAtMost;
import static org.ioasis.memory.Ranges.isBelow;

import java.util.Arrays;

/**
 * Mappings in a radix table: 512 entries per table, leaves on every level. A lookup is one load per
 * level and takes no lock; a change costs what it changes. Threads as {@link MappingStore} says.
 *
 * <p>The root word says where the top table is and how many addresses each of its entries covers,
 * so a space of 48 bits has four levels, and one that grows larger gets more on top. Every table
 * has an entry, except one chain that is <em>kept</em>: a driver that maps and unmaps one page over
 * and over must not make us build and drop tables each time.
 *
 * <p>The writer reads its own entries plainly and publishes each with a release store; readers load
 * each with acquire. So who sees a link sees the table behind it, cleared, and who sees a leaf sees
 * all of it. What readers may still be in goes back through {@link TablePool}.
 */
public final class RadixStore extends RadixFields.Written {
    /** Smallest granule: the flags of a leaf need the bits below. */
    public static final int GRANULE_LG2_MIN = 12;

    /** Largest granule: four levels of it cover 64 bits. */
    public static final int GRANULE_LG2_MAX = 30;

    private static final int LEVEL_LG2 = 9;
    private static final int LEVELS_MIN = 3;
    private static final int LAST_INDEX = (1 << LEVEL_LG2) - 1;

    /** Answer of {@link #leafTable}. */
    private static final long NO_TABLE = 0;

    private static final long SHIFT_MASK = 63;

    private static final long NOTHING = -1;

    private final Cursor cursor = new Cursor();

    // The next object may be one that readers load from.
    @SuppressWarnings("unused") // room: RadixFields
    private long r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, ra, rb, rc, rd, re;

    /**
     * @param granuleLg2 what all ranges are multiples of, {@link #GRANULE_LG2_MIN} to {@link
     *     #GRANULE_LG2_MAX}
     */
    public RadixStore(TablePool pool, int granuleLg2) {
        if (granuleLg2 < GRANULE_LG2_MIN || granuleLg2 > GRANULE_LG2_MAX) {
            throw new IllegalArgumentException(
                    "granule must be 2^%d to 2^%d, not 2^%d"
                            .formatted(GRANULE_LG2_MIN, GRANULE_LG2_MAX, granuleLg2));
        }
        super(pool, granuleLg2, LEVEL_LG2);
        forgetLeafTables();
    }

    @Override
    public long size() {
        return size;
    }

    @Override
    public long tableBytes() {
        return (long) tables * TablePool.TABLE_BYTES;
    }

    @Override
    public void limitTables(long bytes) {
        tableLimit = bytes / TablePool.TABLE_BYTES;
    }

    // Lookup
    // ---------------------------------------------------------------------------------------------------------

    @Override
    public long translate(long iova, long length, int flags) {
        long word = rootAcquire();
        int shift = shift(word);
        if (word == 0 || iova >>> shift > LAST_INDEX) {
            return UNCLEAR;
        }
        TableMemory memory = this.memory;
        long entry = memory.getAcquire(slot(table(word), iova, shift));
        // Three levels written out, for nearly all trees have so many and a loop costs more.
        if (Entry.isTable(entry)) {
            shift -= LEVEL_LG2;
            entry = memory.getAcquire(slot(Entry.table(entry), iova, shift));
            if (Entry.isTable(entry)) {
                shift -= LEVEL_LG2;
                entry = memory.getAcquire(slot(Entry.table(entry), iova, shift));
                while (Entry.isTable(entry)) {
                    shift -= LEVEL_LG2;
                    entry = memory.getAcquire(slot(Entry.table(entry), iova, shift));
                }
            }
        }
        // An entry that is nothing has no permissions either.
        boolean isPermitted = (entry & flags) == flags;
        return isPermitted && isAtMost(length - 1, ~iova & mask(shift))
                ? iova + Entry.delta(entry)
                : UNCLEAR;
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        long word = rootAcquire();
        int shift = shift(word);
        if (word == 0 || iova >>> shift > LAST_INDEX) {
            return false;
        }
        long slot = slot(table(word), iova, shift);
        long entry = memory.getAcquire(slot);
        while (Entry.isTable(entry)) {
            shift -= LEVEL_LG2;
            slot = slot(Entry.table(entry), iova, shift);
            entry = memory.getAcquire(slot);
        }
        if (!Entry.isLeaf(entry)) {
            return false;
        }
        fill(found, entry, slot, shift, iova);
        return true;
    }

    /**
     * The next entry of the same table, without a walk. Should the table have been unlinked since,
     * then what the entry says is what an UNMAP that is not answered yet takes away: the access
     * began before it, and no driver that does so can tell.
     */
    @Override
    public boolean lookupNext(long iova, Extent found) {
        if (iova != found.last + 1 || !isNotLastOfTable(found.slot)) {
            return false;
        }
        long slot = found.slot + 1;
        long entry = memory.getAcquire(slot);
        if (!Entry.isLeaf(entry)) {
            return false;
        }
        fill(found, entry, slot, found.shift, iova);
        return true;
    }

    private static void fill(Extent found, long entry, long slot, int shift, long iova) {
        found.last = iova | mask(shift);
        found.delta = Entry.delta(entry);
        found.flags = Entry.flags(entry);
        found.slot = slot;
        found.shift = shift;
    }

    /** Goes on over the neighbours in the same table that differ in nothing but borders. */
    @Override
    public void extend(long iova, long length, Extent found) {
        long leaf = Entry.leaf(found.delta, found.flags);
        while (isNotLastOfTable(found.slot) && !found.reaches(iova, length)) {
            long entry = memory.getAcquire(found.slot + 1);
            if ((entry & ~(Entry.START | Entry.END)) != leaf) {
                return;
            }
            found.slot++;
            found.last += 1L << found.shift;
        }
    }

    private static boolean isNotLastOfTable(long slot) {
        return (slot & LAST_INDEX) != LAST_INDEX;
    }

    // Map
    // ------------------------------------------------------------------------------------------------------------

    @Override
    public MapResult map(long first, long last, long output, int flags) {
        long leaf = Entry.leaf(output - first, flags);
        int more = slotsAfter(first, last);
        if ((first ^ last) >>> leafTableShift != 0 || more == LAST_INDEX) {
            return mapAcross(first, last, leaf);
        }
        long table = leafTable(first);
        if (table == NO_TABLE) {
            if (isUnderLeaf(first)) {
                return MapResult.OVERLAPS;
            }
            if (!hasTablesFor(first, last)) {
                return MapResult.NO_MEMORY;
            }
            grow(last);
            table = makeTable(first, granuleLg2);
        }
        TableMemory memory = this.memory;
        long slot = slot(table, first, granuleLg2);
        long taken = memory.get(slot + more);
        for (int i = 0; i < more; i++) {
            taken |= memory.get(slot + i);
        }
        if (taken != 0) {
            return MapResult.OVERLAPS;
        }
        long border = Entry.START;
        for (int i = 0; i < more; i++) {
            memory.setRelease(slot + i, leaf | border);
            border = 0;
        }
        memory.setRelease(slot + more, leaf | border | Entry.END);
        pool.add(pool.table(table), TablePool.amount(more + 1, 1));
        size++;
        return MapResult.DONE;
    }

    /** The general form: finds out all it needs, then writes the largest leaves that fit. */
    private MapResult mapAcross(long first, long last, long leaf) {
        if (overlaps(first, last)) {
            return MapResult.OVERLAPS;
        }
        if (isKeptInside(first, last)) {
            dropKept(); // a leaf goes where it is linked
            pool.drain();
        }
        if (!hasTablesFor(first, last)) {
            return MapResult.NO_MEMORY;
        }
        grow(last);
        int top = shift(root());
        long at = first;
        while (true) {
            int shift = largestAtStart(at, last, top);
            long table = makeTable(at, shift);
            long slot = slot(table, at, shift);
            long wholeSlots = ((last - at - mask(shift)) >>> shift) + 1;
            int slots = (int) Math.min(wholeSlots, LAST_INDEX + 1 - index(at, shift));
            long pieceLast = at + ((long) slots << shift) - 1;
            pool.add(pool.table(table), TablePool.amount(slots, at == first ? 1 : 0));
            for (int i = 0; i < slots; i++, slot++) {
                long entry = leaf;
                if (i == 0 && at == first) {
                    entry |= Entry.START;
                }
                if (i == slots - 1 && pieceLast == last) {
                    entry |= Entry.END;
                }
                memory.setRelease(slot, entry);
            }
            if (pieceLast == last) {
                size++;
                return MapResult.DONE;
            }
            at = pieceLast + 1;
        }
    }

    /** True if the tables that a MAP needs are there for the taking. */
    private boolean hasTablesFor(long first, long last) {
        if (mayTake(missingTables(first, last))) {
            return true;
        }
        pool.dropKept();
        return mayTake(missingTables(first, last));
    }

    private boolean mayTake(int count) {
        return pool.has(count) && tables + count <= tableLimit;
    }

    private long take(int shift, int parent) {
        tables++;
        return pool.take(shift, parent);
    }

    private void giveBack(int table) {
        tables--;
        pool.giveBack(table);
    }

    private long giveBackTree(long top) {
        int before = pool.givenBack();
        long removed = pool.giveBackTree(pool.table(top), granuleLg2);
        tables -= pool.givenBack() - before;
        return removed;
    }

    /**
     * How many tables a MAP has to make. Only the two borders need any: between them every entry is
     * covered whole, by one leaf on the highest level that has it.
     */
    private int missingTables(long first, long last) {
        int oldTop = shift(root());
        int top = Math.max(oldTop, topShift(last));
        int ofTop = root() == 0 ? 1 : (top - oldTop) / LEVEL_LG2;
        int ofFirst = (lowestTable(first, top) - largestAtStart(first, last, top)) / LEVEL_LG2;
        // From this level on the two borders share their tables.
        int shared = granuleLg2;
        while ((first ^ last) >>> shared > LAST_INDEX) {
            shared += LEVEL_LG2;
        }
        int ofLast =
                (Math.min(lowestTable(last, top), shared) - largestAtEnd(first, last, top))
                        / LEVEL_LG2;
        return ofTop + Math.max(0, ofFirst) + Math.max(0, ofLast);
    }

    /** Shift of the lowest table for {@code iova}, once {@link #grow} has made the top ones. */
    private int lowestTable(long iova, int top) {
        if (root() == 0) {
            return top;
        }
        int shift = shift(root());
        if (iova >>> shift > LAST_INDEX) {
            return topShift(iova);
        }
        long entry = memory.get(slot(table(root()), iova, shift));
        while (Entry.isTable(entry)) {
            shift -= LEVEL_LG2;
            entry = memory.get(slot(Entry.table(entry), iova, shift));
        }
        return shift;
    }

    /** Shift that the top table needs to reach {@code iova}. */
    private int topShift(long iova) {
        int shift = granuleLg2 + (LEVELS_MIN - 1) * LEVEL_LG2;
        while (iova >>> shift > LAST_INDEX) {
            shift += LEVEL_LG2;
        }
        return shift;
    }

    /** Shift of the largest leaf that starts at {@code first} and does not pass {@code last}. */
    private int largestAtStart(long first, long last, int top) {
        int shift = granuleLg2;
        while (shift < top
                && (first & mask(shift + LEVEL_LG2)) == 0
                && isAtMost(mask(shift + LEVEL_LG2), last - first)) {
            shift += LEVEL_LG2;
        }
        return shift;
    }

    /** Shift of the largest leaf that ends at {@code last} and does not begin before. */
    private int largestAtEnd(long first, long last, int top) {
        int shift = granuleLg2;
        while (shift < top
                && (~last & mask(shift + LEVEL_LG2)) == 0
                && isAtMost(mask(shift + LEVEL_LG2), last - first)) {
            shift += LEVEL_LG2;
        }
        return shift;
    }

    /** Puts tables on top until they reach {@code last}. */
    private void grow(long last) {
        int top = topShift(last);
        if (root() == 0) {
            rootRelease(take(top, TablePool.NONE) | top);
            return;
        }
        while (shift(root()) < top) {
            int shift = shift(root()) + LEVEL_LG2;
            long table = take(shift, TablePool.NONE);
            memory.setRelease(table, Entry.link(table(root())));
            pool.add(pool.table(table), TablePool.amount(1, 0));
            pool.parent(pool.table(table(root())), pool.table(table));
            rootRelease(table | shift);
        }
    }

    /** The table of that shift for {@code iova}, made if it is not there yet. */
    private long makeTable(long iova, int shift) {
        long table = table(root());
        for (int at = shift(root()); at > shift; at -= LEVEL_LG2) {
            long slot = slot(table, iova, at);
            long entry = memory.get(slot);
            if (entry == 0) {
                int parent = pool.table(table);
                entry = Entry.link(take(at - LEVEL_LG2, parent));
                pool.add(parent, TablePool.amount(1, 0));
                memory.setRelease(slot, entry);
            }
            table = Entry.table(entry);
        }
        return table;
    }

    // Unmap
    // ----------------------------------------------------------------------------------------------------------

    @Override
    public long unmap(long first, long last) {
        if ((first & granuleMask) == 0 && last - first == granuleMask) {
            return unmapGranule(first, last);
        }
        int more = slotsAfter(first, last);
        if ((first ^ last) >>> leafTableShift != 0
                || more == LAST_INDEX
                || ((first | ~last) & granuleMask) != 0) {
            return unmapAcross(first, last);
        }
        long table = leafTable(first);
        if (table == NO_TABLE) {
            return unmapAcross(first, last);
        }
        long slot = slot(table, first, granuleLg2);
        TableMemory memory = this.memory;
        if ((memory.get(slot) & Entry.START) == 0 || (memory.get(slot + more) & Entry.END) == 0) {
            return unmapAcross(first, last);
        }
        memory.setRelease(slot, 0);
        int removed = 1;
        int amount = TablePool.amount(1, 1);
        if (more > 0) {
            int others = clearSlots(slot + 1, more);
            removed += TablePool.startsIn(others);
            amount += others;
        }
        size -= removed;
        takeOut(table, amount, first);
        return removed;
    }

    /** What drivers unmap most, and what takes the fewest steps. */
    private long unmapGranule(long first, long last) {
        long table = leafTable(first);
        if (table == NO_TABLE) {
            return unmapAcross(first, last);
        }
        long slot = slot(table, first, granuleLg2);
        if ((memory.get(slot) & Entry.WHOLE) != Entry.WHOLE) {
            return unmapAcross(first, last);
        }
        memory.setRelease(slot, 0);
        size--;
        takeOut(table, TablePool.amount(1, 1), first);
        return 1;
    }

    /** So much was cleared in the lowest table for {@code iova}, which may be empty now. */
    private void takeOut(long table, int amount, long iova) {
        if (pool.subtract(pool.table(table), amount)) {
            emptied(pool.table(table), iova);
        }
    }

    private void emptied(int table, long iova) {
        keep(table, iova);
        pool.drain();
    }

    /** Clears {@code count} entries; returns what they amount to. */
    private int clearSlots(long slot, int count) {
        TableMemory memory = this.memory;
        long leaves = 0;
        long starts = 0;
        for (int i = 0; i < count; i++) {
            long entry = memory.get(slot + i);
            leaves += entry & Entry.LEAF;
            starts += entry & Entry.START;
            memory.setRelease(slot + i, 0);
        }
        return TablePool.amount(
                (int) (leaves >>> Entry.LEAF_AT), (int) (starts >>> Entry.START_AT));
    }

    /** The general form: checks both borders, then clears entry by entry, whole tables at once. */
    private long unmapAcross(long first, long last) {
        if (splits(first, last)) {
            return SPLITS;
        }
        if (isKeptInside(first, last)) {
            kept = TablePool.NONE; // goes with the others
        }
        forgetLeafTables();
        long removed = 0;
        long at = first;
        boolean isOver = isOutOfReach(at);
        while (!isOver) {
            long table = tableToClear(at, last);
            int index = pool.table(table);
            int shift = pool.shift(index);
            do {
                removed += clear(table, at, shift);
                long slotLast = at | mask(shift);
                isOver = isAtMost(last, slotLast);
                at = slotLast + 1;
            } while (!isOver
                    && index(at, shift) != 0
                    && !isCoveredInPart(memory.get(slot(table, at, shift)), at, last, shift));
            if (pool.isEmpty(index)) {
                keep(index, at - 1);
            }
            isOver = isOver || isOutOfReach(at);
        }
        size -= removed;
        pool.drain();
        return removed;
    }

    /** The table in which the range from {@code at} on begins with a whole entry. */
    private long tableToClear(long at, long last) {
        long table = table(root());
        int shift = shift(root());
        long entry = memory.get(slot(table, at, shift));
        while (isCoveredInPart(entry, at, last, shift)) {
            table = Entry.table(entry);
            shift -= LEVEL_LG2;
            entry = memory.get(slot(table, at, shift));
        }
        return table;
    }

    private static boolean isCoveredInPart(long entry, long at, long last, int shift) {
        return Entry.isTable(entry) && ((at & mask(shift)) != 0 || isBelow(last, at | mask(shift)));
    }

    /** Clears the entry for {@code at}, with all below it; returns how many mappings started. */
    private long clear(long table, long at, int shift) {
        long slot = slot(table, at, shift);
        long entry = memory.get(slot);
        if (entry == 0) {
            return 0;
        }
        memory.setRelease(slot, 0);
        if (Entry.isTable(entry)) {
            pool.subtract(pool.table(table), TablePool.amount(1, 0));
            return giveBackTree(Entry.table(entry));
        }
        int amount = TablePool.amountOf(entry);
        pool.subtract(pool.table(table), amount);
        return TablePool.startsIn(amount);
    }

    // What is kept
    // ---------------------------------------------------------------------------------------------------

    /** The table has just lost its last entry; {@code iova} is an address in it. */
    private void keep(int table, long iova) {
        if (kept != table) {
            dropKept();
            kept = table;
            keptAt = iova;
        }
        pool.keeps(this);
    }

    /**
     * Gives the kept chain back. True if there was one. The caller drains the pool when its own
     * change is done.
     */
    boolean dropKept() {
        int table = kept;
        kept = TablePool.NONE;
        if (table == TablePool.NONE || !pool.isEmpty(table)) {
            return false; // or it is in use again
        }
        forgetLeafTables();
        int parent = pool.parent(table);
        while (parent != TablePool.NONE) {
            int shift = pool.shift(parent);
            memory.setRelease(slot(pool.word(parent), keptAt, shift), 0);
            giveBack(table);
            if (!pool.subtract(parent, TablePool.amount(1, 0))) {
                return true;
            }
            table = parent;
            parent = pool.parent(table);
        }
        rootRelease(0L);
        giveBack(table);
        return true;
    }

    private boolean isKeptInside(long first, long last) {
        if (kept == TablePool.NONE) {
            return false;
        }
        int span = pool.shift(kept) + LEVEL_LG2;
        long inTable = span < Long.SIZE ? mask(span) : -1L;
        return covers(first, last, keptAt & ~inTable, keptAt | inTable);
    }

    @Override
    public void close() {
        // Nothing is unlinked: who is still in a lookup finds all as it was.
        kept = TablePool.NONE;
        if (root() != 0) {
            giveBackTree(table(root()));
            pool.drain();
        }
    }

    // Queries
    // --------------------------------------------------------------------------------------------------------

    @Override
    public boolean overlaps(long first, long last) {
        return cursor.seekUp(first, last);
    }

    @Override
    public boolean splits(long first, long last) {
        return (cursor.seekUp(first, first) && (cursor.first != first || !cursor.has(Entry.START)))
                || (cursor.seekUp(last, last) && (cursor.last != last || !cursor.has(Entry.END)));
    }

    @Override
    public void runs(long first, long last, RunVisitor visitor) {
        RunMerger merger = new RunMerger(visitor);
        mappings(
                first,
                last,
                (start, end, output, flags) -> {
                    boolean isInside = covers(first, last, start, end);
                    return !isInside || merger.run(start, end, output, flags);
                });
        merger.end();
    }

    @Override
    public void mappings(long first, long last, RunVisitor visitor) {
        Cursor here = new Cursor();
        long at = first;
        while (here.seekUp(at, last)) {
            if (!visit(here, visitor) || isAtMost(last, here.last)) {
                return;
            }
            at = here.last + 1;
        }
    }

    @Override
    public boolean nearest(long iova, RunVisitor visitor) {
        Cursor below = new Cursor();
        Cursor above = new Cursor();
        boolean isBelow = below.seekDown(iova, 0);
        boolean isAbove = above.seekUp(iova, -1L);
        if (!isBelow && !isAbove) {
            return false;
        }
        // One that holds the address is found both ways.
        boolean isBelowNearer =
                isBelow
                        && (!isAbove
                                || isAtMost(
                                        distance(below.first, below.last, iova),
                                        distance(above.first, above.last, iova)));
        boolean _ = visit(isBelowNearer ? below : above, visitor);
        return true;
    }

    /**
     * Visits the whole mapping that the leaf found belongs to, and leaves the cursor at its end.
     * False if the visitor has heard enough.
     */
    private boolean visit(Cursor leaf, RunVisitor visitor) {
        long delta = Entry.delta(leaf.entry);
        int flags = Entry.flags(leaf.entry);
        long end = leaf.last;
        long start = leaf.first;
        Cursor next = new Cursor();
        next.entry = leaf.entry;
        // Its leaves lie side by side. Where the next is missing the writer is taking them away.
        while (!next.has(Entry.END) && end != -1L && next.seekUp(end + 1, end + 1)) {
            end = next.last;
        }
        next.entry = leaf.entry;
        while (!next.has(Entry.START) && start != 0 && next.seekDown(start - 1, start - 1)) {
            start = next.first;
        }
        leaf.last = end;
        return visitor.run(start, end, start + delta, flags);
    }

    /**
     * Finds leaves in order of address. One thread each; the writer may change tables meanwhile.
     */
    private final class Cursor {
        private long entry;
        private long first;
        private long last;

        boolean has(long bit) {
            return (entry & bit) != 0;
        }

        /** Finds the lowest leaf that touches {@code from..to}. False if there is none. */
        boolean seekUp(long from, long to) {
            long at = from;
            long word = rootAcquire();
            while (word != 0 && at >>> shift(word) <= LAST_INDEX) {
                long table = table(word);
                int shift = shift(word);
                do {
                    long found = memory.getAcquire(slot(table, at, shift));
                    if (Entry.isTable(found)) {
                        table = Entry.table(found);
                        shift -= LEVEL_LG2;
                        continue;
                    }
                    long slotLast = at | mask(shift);
                    if (found != 0) {
                        set(found, at & ~mask(shift), slotLast);
                        return true;
                    }
                    if (isAtMost(to, slotLast)) {
                        return false;
                    }
                    at = slotLast + 1;
                    if (index(at, shift) == 0) {
                        break; // into another table
                    }
                } while (true);
            }
            return false;
        }

        /** Finds the highest leaf that touches {@code to..from}. False if there is none. */
        boolean seekDown(long from, long to) {
            long at = from;
            long word = rootAcquire();
            if (word != 0 && at >>> shift(word) > LAST_INDEX) {
                at = mask(shift(word) + LEVEL_LG2); // the last address that the tables reach
            }
            while (word != 0 && isAtMost(to, at)) {
                long table = table(word);
                int shift = shift(word);
                do {
                    long found = memory.getAcquire(slot(table, at, shift));
                    if (Entry.isTable(found)) {
                        table = Entry.table(found);
                        shift -= LEVEL_LG2;
                        continue;
                    }
                    long slotFirst = at & ~mask(shift);
                    if (found != 0) {
                        set(found, slotFirst, at | mask(shift));
                        return true;
                    }
                    if (isAtMost(slotFirst, to)) {
                        return false;
                    }
                    at = slotFirst - 1;
                    if (index(at, shift) == LAST_INDEX) {
                        break; // into another table
                    }
                } while (true);
            }
            return false;
        }

        private void set(long found, long slotFirst, long slotLast) {
            entry = found;
            first = slotFirst;
            last = slotLast;
        }
    }

    // Words and addresses
    // --------------------------------------------------------------------------------------------

    /**
     * How many more slots of a lowest table a range has than one; says nothing if it is in several.
     */
    private int slotsAfter(long first, long last) {
        return (int) ((last - first) >>> granuleLg2) & LAST_INDEX;
    }

    private boolean isOutOfReach(long iova) {
        return root() == 0 || iova >>> shift(root()) > LAST_INDEX;
    }

    /** The lowest table for {@code iova}, or {@link #NO_TABLE}. Writer only. */
    private long leafTable(long iova) {
        long common = iova >>> leafTableShift;
        int i = (int) common & (RadixFields.RECENT - 1);
        long table = recent[2 * i] == common ? recent[2 * i + 1] : walk(iova, i);
        return table & Entry.TABLE_BITS;
    }

    /** True if a leaf covers {@code iova}, of which there is no lowest table. Writer only. */
    private boolean isUnderLeaf(long iova) {
        return cursor.seekUp(iova, iova);
    }

    private long walk(long iova, int i) {
        if (isOutOfReach(iova)) {
            return NO_TABLE;
        }
        long table = table(root());
        for (int shift = shift(root()); shift > granuleLg2; shift -= LEVEL_LG2) {
            long entry = memory.get(slot(table, iova, shift));
            if (!Entry.isTable(entry)) {
                return NO_TABLE;
            }
            table = Entry.table(entry);
        }
        recent[2 * i] = iova >>> leafTableShift;
        recent[2 * i + 1] = table;
        return table;
    }

    /** Before a lowest table may be unlinked: the writer has to find out anew where they are. */
    private void forgetLeafTables() {
        Arrays.fill(recent, NOTHING);
    }

    private static long table(long word) {
        return word & ~SHIFT_MASK;
    }

    private static int shift(long word) {
        return (int) (word & SHIFT_MASK);
    }

    private static int index(long iova, int shift) {
        return (int) (iova >>> shift) & LAST_INDEX;
    }

    /** Number of the word for {@code iova} in a table whose entries cover 2^shift addresses. */
    private static long slot(long table, long iova, int shift) {
        return table + (iova >>> shift & LAST_INDEX);
    }

    /** The {@code bits} lowest bits, fewer than 64. */
    private static long mask(int bits) {
        return (1L << bits) - 1;
    }
}
