// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * Which ids are taken: a bit for each, and above them a bit for each 64 that are all taken, so that
 * the lowest free one of a million is found in a few hundred loads at most. Under the allocator's
 * lock.
 */
final class IdBitmap {
    private static final int WORDS = (IoasidAllocator.LAST + 1) / Long.SIZE;

    private final long[] taken = new long[WORDS];
    private final long[] full = new long[WORDS / Long.SIZE];

    /**
     * The lowest free id in the range, or INVALID.
     *
     * @param last at most LAST
     */
    int lowest(int first, int last) {
        int word = first / Long.SIZE;
        // A shift goes by its low six bits.
        long free = ~taken[word] & (-1L << first);
        if (free == 0) {
            word = wordWithRoom(word + 1);
            if (word == WORDS) {
                return IoasidAllocator.INVALID;
            }
            free = ~taken[word];
        }
        int id = word * Long.SIZE + Long.numberOfTrailingZeros(free);
        return id <= last ? id : IoasidAllocator.INVALID;
    }

    private int wordWithRoom(int from) {
        if (from == WORDS) {
            return WORDS;
        }
        int block = from / Long.SIZE;
        long room = ~full[block] & (-1L << from);
        while (room == 0) {
            if (++block == full.length) {
                return WORDS;
            }
            room = ~full[block];
        }
        return block * Long.SIZE + Long.numberOfTrailingZeros(room);
    }

    void take(int id) {
        int word = id / Long.SIZE;
        taken[word] |= 1L << id;
        if (taken[word] == -1L) {
            full[word / Long.SIZE] |= 1L << word;
        }
    }

    void giveBack(int id) {
        int word = id / Long.SIZE;
        taken[word] &= ~(1L << id);
        full[word / Long.SIZE] &= ~(1L << word);
    }
}
