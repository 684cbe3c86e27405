// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.InflightLog.LAST_BATCH_HEAD;
import static org.ioasis.spec.InflightLog.SPLIT_ENTRIES;
import static org.ioasis.spec.InflightLog.SPLIT_ENTRY_SIZE;
import static org.ioasis.spec.InflightLog.SPLIT_NEXT;
import static org.ioasis.spec.InflightLog.SPLIT_USED_IDX;

import java.lang.foreign.MemorySegment;

/**
 * The log of a split queue (vhost-user, {@code QueueRegionSplit}): an entry for each head, whose
 * descriptors stay in the table while the chain is out. Thread as {@link ChainLog} says.
 */
final class SplitLog extends ChainLog {
    private int lastHead;

    SplitLog(MemorySegment region, int limit) {
        super(region, limit, SPLIT_ENTRIES, SPLIT_ENTRY_SIZE);
    }

    static long bytes(int limit) {
        return SPLIT_ENTRIES + (long) limit * SPLIT_ENTRY_SIZE;
    }

    /** Nothing is out, and the used ring is there. */
    void beginNew(int usedIdx) {
        for (int head = 0; head < limit; head++) {
            setOut(head, false);
        }
        put16(SPLIT_USED_IDX, usedIdx);
        hasBegun();
    }

    /**
     * Goes on after somebody else.
     *
     * @param usedIdx what the driver was shown last, {@code 0..65535}
     * @param size of the ring, at most {@link #limit}
     * @return false if this is no log of such a ring
     */
    boolean goOn(int usedIdx, int size) {
        if (!fits()) {
            return false;
        }
        boolean[] found = new boolean[limit];
        for (int head = 0; head < size; head++) {
            found[head] = isOut(head);
        }
        // A batch was shown, and perhaps not written down as given back.
        int batch = RingIndex.distance(get16(SPLIT_USED_IDX), usedIdx);
        if (batch > size) {
            return false;
        }
        int head = get16(LAST_BATCH_HEAD);
        for (; batch > 0; batch--) {
            if (head >= size) {
                return false;
            }
            found[head] = false;
            setOut(head, false);
            head = get16(place(head) + SPLIT_NEXT);
        }
        put16(SPLIT_USED_IDX, usedIdx);
        takeAgain(found);
        return true;
    }

    /** The chain is about to be shown as given back, with those since the last {@link #shown}. */
    void showing(int head) {
        put16(place(head) + SPLIT_NEXT, lastHead);
        lastHead = head;
        put16(LAST_BATCH_HEAD, head);
    }

    /** The driver was shown the batch, up to there. After {@link #setOut} for each of it. */
    void shown(int usedIdx) {
        put16(SPLIT_USED_IDX, usedIdx);
    }
}
