// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.jspecify.annotations.Nullable;

/**
 * Which ids are taken: a bit for each, and above them a bit for each 64 that are all taken, so that
 * the lowest free one of a million is found in a few hundred loads at most. Words come in blocks,
 * with the first of their ids that is taken. Under the allocator's lock.
 */
final class IdBitmap {
    private static final int WORDS = (IoasidAllocator.LAST + 1) / Long.SIZE;

    /** 64 words of bits. */
    private static final class Block {
        final long[] words = new long[Long.SIZE];
    }

    private final @Nullable Block[] taken = new @Nullable Block[WORDS / Long.SIZE];

    /** For each block, which of its words have no room. */
    private final long[] full = new long[WORDS / Long.SIZE];

    /**
     * The lowest free id in the range, or INVALID.
     *
     * @param last at most LAST
     */
    int lowest(int first, int last) {
        int word = first / Long.SIZE;
        // A shift goes by its low six bits.
        long free = ~bits(word) & (-1L << first);
        if (free == 0) {
            word = wordWithRoom(word + 1);
            if (word == WORDS) {
                return IoasidAllocator.INVALID;
            }
            free = ~bits(word);
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

    private long bits(int word) {
        Block block = taken[word / Long.SIZE];
        return block == null ? 0 : block.words[word % Long.SIZE];
    }

    void take(int id) {
        int word = id / Long.SIZE;
        Block block = taken[word / Long.SIZE];
        if (block == null) {
            block = new Block();
            taken[word / Long.SIZE] = block;
        }
        block.words[word % Long.SIZE] |= 1L << id;
        if (block.words[word % Long.SIZE] == -1L) {
            full[word / Long.SIZE] |= 1L << word;
        }
    }

    void giveBack(int id) {
        int word = id / Long.SIZE;
        Block block = taken[word / Long.SIZE];
        if (block != null) {
            block.words[word % Long.SIZE] &= ~(1L << id);
            full[word / Long.SIZE] &= ~(1L << word);
        }
    }
}
