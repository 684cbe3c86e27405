// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.ioasis.host.FuzzInput;
import org.ioasis.host.KeptPages;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.Handled;

/**
 * Arrays of entries that are any bytes, for a decoder of any IOMMU's: as many are carried out as a
 * plain reading of them says, in whatever pieces they come, and each takes away what it says and
 * nothing else. One thread.
 */
public final class EntryFuzz {
    private static final int BATCH_MAX = 4;

    /** What an entry says, read without the decoder. */
    public interface Reading {
        /**
         * Takes away from the pages what the entry does.
         *
         * @return false: the entry is refused, and has taken nothing away
         */
        boolean isCarriedOut(long[] entry);
    }

    private EntryFuzz() {}

    /**
     * Entries to the end of an input.
     *
     * @param size bytes of an entry, as callers may give them
     */
    public static void run(
            FuzzInput input, Entries decoder, int size, KeptPages pages, Reading reading) {
        int words = (size + Long.BYTES - 1) / Long.BYTES;
        MemorySegment array = Arena.ofAuto().allocate((long) BATCH_MAX * size + Long.BYTES, 8);
        while (!input.isOver()) {
            int count = 1 + input.next(BATCH_MAX);
            long[][] entries = new long[count][words];
            for (int i = 0; i < count; i++) {
                for (int j = 0; j < words; j++) {
                    entries[i][j] = input.word();
                    array.set(
                            Recorder.WORD, (long) i * size + (long) j * Long.BYTES, entries[i][j]);
                }
            }
            int expected = 0;
            while (expected < count && reading.isCarriedOut(entries[expected])) {
                expected++;
            }
            long handled = decoder.run(array, 0, size, count);
            String what = Arrays.deepToString(entries);
            assertThat(Handled.done(handled)).as(what).isEqualTo(expected);
            assertThat(Handled.refusal(handled) == null).as(what).isEqualTo(expected == count);
            pages.check(what);
        }
    }
}
