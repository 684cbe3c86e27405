// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Goes through an array of entries for an {@link Invalidator} whose entries are structures that
 * grow from one version of Linux to the next. Under its context's lock.
 */
public abstract class Entries {
    private final int minimum;
    private final int size;

    /**
     * @param size of what is known of an entry; nobody may give less
     */
    protected Entries(int size) {
        this(size, size);
    }

    /**
     * @param minimum of an entry, all that is looked at
     * @param size of what is known of one; what stands behind it is zero
     */
    protected Entries(int minimum, int size) {
        this.minimum = minimum;
        this.size = size;
    }

    /**
     * Carries out one entry.
     *
     * @return why it was not
     */
    protected abstract @Nullable InvalidationRefusal entry(MemorySegment entries, long offset);

    /** Carries out all of them, as {@link Invalidator#invalidate}. */
    public final long run(MemorySegment entries, long offset, int entryLength, int count) {
        if (count > 0 && entryLength < minimum) {
            return Handled.refused(0, InvalidationRefusal.SHORT);
        }
        boolean hasTail = entryLength > size;
        for (int i = 0; i < count; i++) {
            long at = offset + (long) i * entryLength;
            InvalidationRefusal refusal =
                    hasTail && !isZero(entries, at + size, at + entryLength)
                            ? InvalidationRefusal.TAIL
                            : entry(entries, at);
            if (refusal != null) {
                return Handled.refused(i, refusal);
            }
        }
        return Handled.all(count);
    }

    private static boolean isZero(MemorySegment bytes, long from, long to) {
        for (long at = from; at < to; at++) {
            if (bytes.get(JAVA_BYTE, at) != 0) {
                return false;
            }
        }
        return true;
    }
}
