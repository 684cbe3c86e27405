// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.InflightLog.COUNTER;
import static org.ioasis.spec.InflightLog.DESC_NUM;
import static org.ioasis.spec.InflightLog.INFLIGHT;
import static org.ioasis.spec.InflightLog.VERSION;
import static org.ioasis.spec.InflightLog.VERSION_1;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;

/**
 * Where a queue writes down which chains it has taken and not given back, in memory that outlives
 * the process: who goes on with the rings takes these again and gives each back once (vhost-user,
 * "Inflight I/O tracking"). The queue's thread. Nothing is allocated once the first chain is taken.
 *
 * <p>The process can end between any two stores. So each store stays behind those before it, and
 * their order is what makes sense of what is found; that the machine ends is none of the log's
 * business.
 *
 * <p>Whoever else has the memory is not trusted. What is found at the beginning is read once and
 * checked; from then on the log is written, and of what is read again only copies of descriptors
 * are believed as far as a ring's are.
 */
public abstract sealed class ChainLog permits SplitLog, PackedLog {
    private static final VarHandle U8 = JAVA_BYTE.varHandle();
    private static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    private static final VarHandle U64 = JAVA_LONG.withOrder(LITTLE_ENDIAN).varHandle();

    private final MemorySegment region;
    private final long entries;
    private final long entrySize;

    /** Entries in the log, which may be more than the ring has. */
    final int limit;

    // Chains that are taken before any of the ring, as their entries: the next one last.
    private final int[] again;
    private int left;

    /** What was left by who was here before is known. */
    private boolean isBegun;

    private long counter;

    /** Of each entry the number of the last chain that was taken there. */
    private final long[] numbers;

    /**
     * @param region aligned to 8
     * @param limit entries in it
     */
    ChainLog(MemorySegment region, int limit, long entries, long entrySize) {
        this.region = region.asSlice(0, entries + limit * entrySize);
        this.limit = limit;
        this.entries = entries;
        this.entrySize = entrySize;
        again = new int[limit];
        numbers = new long[limit];
    }

    /** True if nobody has written here: it begins where the ring does. */
    public final boolean isNew() {
        return get16(VERSION) == 0;
    }

    /** All that was taken is given back, or need not be: the next one begins anew. */
    public final void forget() {
        put16(VERSION, 0);
    }

    /** True if it is known what was left by who was here before, and none of it is to be taken. */
    public final boolean isSettled() {
        return isBegun && left == 0;
    }

    /**
     * The next chain that is new has that number, or a higher one if the log knows of higher ones.
     * Before the log is given to a queue.
     *
     * @param first at least 1
     */
    public final void numberFrom(long first) {
        counter = first - 1;
    }

    /**
     * What is written there, and not checked: for each entry the number of the chain that is out,
     * or 0.
     */
    public final long[] numbersOut() {
        long[] out = new long[limit];
        for (int entry = 0; entry < limit; entry++) {
            if (isOut(entry)) {
                out[entry] = get64(place(entry) + COUNTER) + 1;
            }
        }
        return out;
    }

    /** Written behind everything else of an empty log. */
    final void hasBegun() {
        put16(DESC_NUM, limit);
        put16(VERSION, VERSION_1);
        isBegun = true;
    }

    final boolean isBegun() {
        return isBegun;
    }

    /** True if it is a log for so many entries. */
    final boolean fits() {
        return get16(VERSION) == VERSION_1 && get16(DESC_NUM) == limit;
    }

    // --- chains that are taken again

    /** How many chains are to be taken before any of the ring. */
    final int left() {
        return left;
    }

    /** The entry of the chain that is to be taken next, if any is {@link #left}. */
    final int next() {
        return again[left - 1];
    }

    /** The next one is taken. */
    final void taken() {
        left--;
    }

    /** One that was taken is to be taken again. */
    final void putBack(int entry) {
        again[left] = entry;
        left++;
    }

    /**
     * What was found is to be taken, in the order in which it was taken before.
     *
     * @param found for each entry, whether a chain that is out begins there
     */
    final void takeAgain(boolean[] found) {
        List<Integer> order = new ArrayList<>();
        long[] counters = new long[limit];
        for (int entry = 0; entry < limit; entry++) {
            if (!found[entry]) {
                continue;
            }
            long when = get64(place(entry) + COUNTER);
            counter = Long.compareUnsigned(when, counter) >= 0 ? when + 1 : counter;
            counters[entry] = when;
            numbers[entry] = when + 1;
            order.add(entry);
        }
        // The counters are anybody's: no order of them may take long here.
        order.sort((one, other) -> Long.compareUnsigned(counters[one], counters[other]));
        left = order.size();
        for (int i = 0; i < left; i++) {
            again[i] = order.get(left - 1 - i);
        }
        isBegun = true;
    }

    // --- fields

    /** A chain that begins at this entry is out from now on. */
    final void out(int entry) {
        put64(place(entry) + COUNTER, counter);
        counter++;
        numbers[entry] = counter;
        setOut(entry, true);
    }

    final void setOut(int entry, boolean isOut) {
        put8(place(entry) + INFLIGHT, isOut ? 1 : 0);
    }

    final boolean isOut(int entry) {
        return get8(place(entry) + INFLIGHT) == 1;
    }

    /** The number of the chain that was taken there last; no other chain of the log has it. */
    final long number(int entry) {
        return numbers[entry];
    }

    final long place(int entry) {
        return entries + entry * entrySize;
    }

    final int get8(long at) {
        return Byte.toUnsignedInt((byte) U8.getOpaque(region, at));
    }

    final int get16(long at) {
        return Short.toUnsignedInt((short) U16.getOpaque(region, at));
    }

    final long get64(long at) {
        return (long) U64.getOpaque(region, at);
    }

    // Not by setRelease: where that is not compiled the JVM exchanges, and if the front end has cut
    // its file short, it cannot step over this instruction and ends the process
    // (memory/RegionDma.java, storeShort). An aligned store is one piece in either way.

    final void put8(long at, int value) {
        VarHandle.releaseFence();
        U8.set(region, at, (byte) value);
    }

    final void put16(long at, int value) {
        VarHandle.releaseFence();
        U16.set(region, at, (short) value);
    }

    final void put64(long at, long value) {
        VarHandle.releaseFence();
        U64.set(region, at, value);
    }
}
