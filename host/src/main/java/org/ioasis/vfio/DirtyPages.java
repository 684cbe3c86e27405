// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import java.util.Arrays;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.vfio.tracker.PinTracker;

/**
 * Which pages of a mapping were written, as far as anybody can tell. Under its container's lock.
 */
final class DirtyPages {
    /** The most bits of one bitmap: INT_MAX, to whole words. */
    static final long BITS_MAX = 1L << 31;

    /** Words at a time on their way to a program. */
    private static final int PIECE = 512;

    private final long bits;
    private final long[] words;

    /**
     * @param bits pages, at most {@link #BITS_MAX}
     */
    DirtyPages(long bits) {
        this.bits = bits;
        words = new long[(int) (bytes(bits) / Long.BYTES)];
    }

    /** What the bitmap of so many pages takes. */
    static long bytes(long bits) {
        return (bits + Long.SIZE - 1) / Long.SIZE * Long.BYTES;
    }

    void mark(long first, long last) {
        for (long bit = first; bit <= last; bit++) {
            words[(int) (bit >>> 6)] |= 1L << bit;
        }
    }

    void markAll() {
        Arrays.fill(words, -1);
        int rest = (int) bits & (Long.SIZE - 1);
        if (rest != 0) {
            words[words.length - 1] = (1L << rest) - 1;
        }
    }

    /** What stays pinned can be written at any time; all else is clean now. */
    void restart(PinTracker pins) {
        Arrays.fill(words, 0);
        for (long page = pins.nextPinned(0); page != PinTracker.NONE; ) {
            mark(page, page);
            page = pins.nextPinned(page + 1);
        }
    }

    /**
     * Tells a program. Bits before it in the first word stay, since they are another mapping's.
     *
     * @param at the bit that is its first page's
     */
    void tell(Bitmap into, long at) throws IommufdException {
        int shift = (int) at & (Long.SIZE - 1);
        long word = at >>> 6;
        long carried = shift == 0 ? 0 : into.read(word) & ((1L << shift) - 1);
        long left = (shift + bits + Long.SIZE - 1) / Long.SIZE;
        long[] piece = new long[(int) Math.min(left, PIECE)];
        int next = 0;
        while (left > 0) {
            int count = (int) Math.min(left, piece.length);
            for (int i = 0; i < count; i++) {
                long now = next < words.length ? words[next] : 0;
                next++;
                piece[i] = carried | (now << shift);
                carried = shift == 0 ? 0 : now >>> (Long.SIZE - shift);
            }
            into.write(word, piece, count);
            word += count;
            left -= count;
        }
    }
}
