// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;

/**
 * One entry of several words, read once: what is checked is this copy, whatever its owner does to
 * the memory meanwhile. One thread; used again for the next entry.
 */
public final class EntryWords {
    /** Words of the largest entries that there are. */
    public static final int WORDS_MAX = 8;

    private final long[] words = new long[WORDS_MAX];
    private final Cell cell = new Cell();

    /**
     * Reads {@code count} words from {@code at} on, in order: the one that says whether the entry
     * is valid is the first. What was read is zero beyond them, and anything unless the answer is
     * OK.
     */
    public Outcome read(TableAccess memory, long at, int count) {
        for (int i = 0; i < WORDS_MAX; i++) {
            words[i] = 0;
            if (i < count) {
                Outcome outcome = memory.load(at + (long) i * Long.BYTES, cell);
                if (outcome != Outcome.OK) {
                    return outcome;
                }
                words[i] = cell.word();
            }
        }
        return Outcome.OK;
    }

    public long word(int i) {
        return words[i];
    }
}
