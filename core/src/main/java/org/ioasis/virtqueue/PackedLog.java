// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.InflightLog.FREE_HEAD;
import static org.ioasis.spec.InflightLog.OLD_FREE_HEAD;
import static org.ioasis.spec.InflightLog.OLD_USED_IDX;
import static org.ioasis.spec.InflightLog.OLD_USED_WRAP_COUNTER;
import static org.ioasis.spec.InflightLog.PACKED_ADDR;
import static org.ioasis.spec.InflightLog.PACKED_ENTRIES;
import static org.ioasis.spec.InflightLog.PACKED_ENTRY_SIZE;
import static org.ioasis.spec.InflightLog.PACKED_ID;
import static org.ioasis.spec.InflightLog.PACKED_LAST;
import static org.ioasis.spec.InflightLog.PACKED_NEXT;
import static org.ioasis.spec.InflightLog.PACKED_NUM;
import static org.ioasis.spec.InflightLog.PACKED_USED_IDX;
import static org.ioasis.spec.InflightLog.USED_WRAP_COUNTER;

import java.lang.foreign.MemorySegment;

/**
 * The log of a packed queue (vhost-user, {@code QueueRegionPacked}): a list of entries for each
 * chain that is out, with copies of its descriptors, for the device writes over those of the ring;
 * and one of those that are free. What the log says of the free list and of the used position it
 * says twice, and the second is written when the first is in effect. Thread as {@link ChainLog}
 * says.
 */
final class PackedLog extends ChainLog {
    /** No entry. */
    private static final int NONE = -1;

    // What the log says, as it was checked: which entry follows which, and how a chain ends.
    private final int[] following;
    private final int[] last;
    private final int[] count;
    private int freeHead;

    /** Where the free list begins in the log, and the used position there: in effect. */
    private int oldFreeHead;

    private int oldUsed;

    // The chain that is being copied.
    private int cursor;
    private int copied;
    private int lastCopied;

    PackedLog(MemorySegment region, int limit) {
        super(region, limit, PACKED_ENTRIES, PACKED_ENTRY_SIZE);
        following = new int[limit];
        last = new int[limit];
        count = new int[limit];
    }

    static long bytes(int limit) {
        return PACKED_ENTRIES + (long) limit * PACKED_ENTRY_SIZE;
    }

    /** Nothing is out. */
    void beginNew(int used, int size) {
        for (int entry = 0; entry < limit; entry++) {
            setOut(entry, false);
            following[entry] = entry + 1;
            put16(place(entry) + PACKED_NEXT, entry + 1);
        }
        freeHead = 0;
        put16(FREE_HEAD, 0);
        putUsed(PACKED_USED_IDX, USED_WRAP_COUNTER, used, size);
        settle(used, size);
        hasBegun();
    }

    /** Where the used ring was before the batch that may have been the last one; a position. */
    int usedBefore(int size) {
        return position(OLD_USED_IDX, OLD_USED_WRAP_COUNTER, size);
    }

    /** Where it was to be after that batch. */
    int usedAfter(int size) {
        return position(PACKED_USED_IDX, USED_WRAP_COUNTER, size);
    }

    private int position(int index, int wrap, int size) {
        int slot = get16(index);
        if (slot >= size) {
            return NONE;
        }
        return get8(wrap) != 0 ? slot : slot + size;
    }

    /**
     * Goes on after somebody else.
     *
     * @param isShown the driver was shown the last batch
     * @param used where the used ring is, accordingly
     * @return descriptors of the ring that are out; negative if this is no log of such a ring
     */
    int goOn(boolean isShown, int used, int size) {
        if (!fits() || used == NONE) {
            return NONE;
        }
        freeHead = get16(isShown ? FREE_HEAD : OLD_FREE_HEAD);
        boolean[] isFree = new boolean[limit];
        int free = 0;
        for (int entry = 0; entry < limit; entry++) {
            following[entry] = get16(place(entry) + PACKED_NEXT);
        }
        for (int entry = freeHead; entry < limit; entry = following[entry]) {
            if (isFree[entry]) {
                return NONE;
            }
            isFree[entry] = true;
            free++;
        }
        int out = findChains(isFree, free);
        if (out < 0 || out > size) {
            return NONE;
        }
        put16(FREE_HEAD, freeHead);
        putUsed(PACKED_USED_IDX, USED_WRAP_COUNTER, used, size);
        // Those in the free list are of a batch that was shown, or were taken half.
        for (int entry = 0; entry < limit; entry++) {
            if (isFree[entry]) {
                setOut(entry, false);
            }
        }
        settle(used, size);
        return out;
    }

    /** All chains that are out, each of entries of its own. How many entries they have. */
    private int findChains(boolean[] isFree, int free) {
        boolean[] found = new boolean[limit];
        boolean[] isTaken = isFree.clone();
        int out = 0;
        for (int head = 0; head < limit; head++) {
            if (isFree[head] || !isOut(head)) {
                continue;
            }
            int entries = get16(place(head) + PACKED_NUM);
            int entry = head;
            for (int i = 0; i < entries; i++) {
                if (entry >= limit || isTaken[entry]) {
                    return NONE;
                }
                isTaken[entry] = true;
                last[head] = entry;
                entry = following[entry];
            }
            found[head] = entries > 0;
            count[head] = entries;
            out += entries;
        }
        if (out + free != limit) {
            return NONE;
        }
        takeAgain(found);
        return out;
    }

    // --- a chain that is taken

    /** The descriptors of a chain follow. */
    void beginCopy() {
        cursor = freeHead;
        copied = 0;
    }

    /** A descriptor of it, as it was read. There are entries for as many as the ring has. */
    void copy(long address, long fields) {
        long at = place(cursor);
        put64(at + PACKED_ADDR, address);
        put64(at + PACKED_ID, logged(fields));
        lastCopied = cursor;
        cursor = following[cursor];
        copied++;
    }

    /** All of it was copied: the chain is out. Its entry. */
    int take() {
        int entry = freeHead;
        count[entry] = copied;
        last[entry] = lastCopied;
        put16(place(entry) + PACKED_NUM, copied);
        put16(place(entry) + PACKED_LAST, lastCopied);
        out(entry);
        freeHead = cursor;
        put16(FREE_HEAD, freeHead);
        oldFreeHead = freeHead;
        put16(OLD_FREE_HEAD, freeHead);
        return entry;
    }

    // --- a chain that is taken again

    int descriptors(int entry) {
        return count[entry];
    }

    int following(int entry) {
        return following[entry];
    }

    long address(int entry) {
        return get64(place(entry) + PACKED_ADDR);
    }

    /** Length, id and flags as {@link PackedFields} has them. */
    long fields(int entry) {
        return ringOrder(get64(place(entry) + PACKED_ID));
    }

    /** The log has id, flags and length in this order, a descriptor length, id and flags. */
    private static long logged(long fields) {
        return Long.rotateRight(fields, Integer.SIZE);
    }

    private static long ringOrder(long logged) {
        return Long.rotateLeft(logged, Integer.SIZE);
    }

    // --- chains that are given back

    /** The chain is about to be shown as given back; the used ring is there then. */
    void showing(int entry, int used, int size) {
        following[last[entry]] = freeHead;
        put16(place(last[entry]) + PACKED_NEXT, freeHead);
        freeHead = entry;
        put16(FREE_HEAD, freeHead);
        putUsed(PACKED_USED_IDX, USED_WRAP_COUNTER, used, size);
    }

    /** It was not shown. */
    void takeBack(int size) {
        freeHead = oldFreeHead;
        put16(FREE_HEAD, freeHead);
        putUsed(PACKED_USED_IDX, USED_WRAP_COUNTER, oldUsed, size);
    }

    /** It was shown. */
    void shown(int entry, int used, int size) {
        setOut(entry, false);
        settle(used, size);
    }

    private void settle(int used, int size) {
        oldFreeHead = freeHead;
        put16(OLD_FREE_HEAD, freeHead);
        oldUsed = used;
        putUsed(OLD_USED_IDX, OLD_USED_WRAP_COUNTER, used, size);
    }

    private void putUsed(int index, int wrap, int used, int size) {
        put16(index, RingPosition.slot(used, size));
        put8(wrap, used < size ? 1 : 0);
    }
}
