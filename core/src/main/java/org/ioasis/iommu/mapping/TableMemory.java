// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

/**
 * The memory that page tables of one IOMMU lie in: 64-bit words by number. Handed in, because only
 * the module with native access can make memory whose every access is not checked.
 *
 * <p>Any thread. Nobody checks numbers: only {@link TablePool} and the stores on it, which hand out
 * whole tables inside {@code first() .. first() + size() - 1}, may hold one.
 *
 * <p>An access by method, and not by a segment, lets the implementation keep its segment in a
 * constant: the compiled walk is then a few loads, without the checks of a segment that it does not
 * know. By number, and not by address, because then the compiler sees that each access is aligned.
 * A class and no interface, for the reason that {@link Translation} gives.
 */
public abstract class TableMemory {
    /** Number of the first word: a multiple of 512 and not 0. */
    public abstract long first();

    /** How many words. All are 0 at the start, and none costs memory before it is written. */
    public abstract long size();

    /** The word; for the thread that writes the tables. */
    public abstract long get(long word);

    /** The word; later loads see what was written before it was. */
    public abstract long getAcquire(long word);

    /** Writes the word, after all that was written before. */
    public abstract void setRelease(long word, long value);

    /** Sets {@code count} words to 0; not seen in any order by others. */
    public abstract void clear(long word, long count);
}
