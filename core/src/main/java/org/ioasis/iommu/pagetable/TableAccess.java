// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;

/**
 * The memory that a walker finds tables in, by their addresses: the engine's own, a guest's, or a
 * guest's behind another stage. Any thread, inside a guarded section.
 *
 * <p>Addresses come from entries, so from whoever writes the tables: every access is checked and
 * may fail. All words are little-endian and aligned.
 */
public interface TableAccess {
    /** Loads a word, once, with acquire. Sets {@code into} only if the answer is {@code OK}. */
    Outcome load(long address, Cell into);

    /**
     * Replaces {@code expected} by {@code word}, atomically. If the answer is {@code OK}, {@code
     * witness} is the word that was there: equal to {@code expected} if it has been replaced.
     */
    Outcome exchange(long address, long expected, long word, Cell witness);
}
