// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Arithmetic of sizes that are powers of two, right up to 2^64. Any thread. */
public final class Bits {
    /** Answer of {@link #bestPageLg2}: no size fits. */
    public static final int NONE = -1;

    private Bits() {}

    /** The lowest {@code bits}, 0 to 64. */
    public static long mask(int bits) {
        return bits == 0 ? 0 : -1L >>> (Long.SIZE - bits);
    }

    /**
     * The bits below a range whose address says how large it is, as in ATS and in commands of
     * IOMMUs about it: as many as there are ones in a row from {@code pageLg2} on, and one more.
     */
    public static long maskOfSized(long address, int pageLg2) {
        int ones = Long.numberOfTrailingZeros(~(address >> pageLg2));
        return mask(Math.min(pageLg2 + ones + 1, Long.SIZE));
    }

    /** True if no address of {@code address} needs more than {@code bits}. */
    public static boolean fits(long address, int bits) {
        return (address & ~mask(bits)) == 0;
    }

    /**
     * The largest of {@code sizes} that both addresses are multiples of and that does not go beyond
     * {@code last}, or {@link #NONE}.
     *
     * @param sizes a bit for each size
     */
    public static int bestPageLg2(long sizes, long first, long last, long output) {
        // A page of 2^n needs n zeros below in both addresses and, of what is left, 2^n bytes.
        int aligned = Long.numberOfTrailingZeros(first | output);
        long length = last - first + 1;
        int fitting = length == 0 ? Long.SIZE : Long.SIZE - 1 - Long.numberOfLeadingZeros(length);
        int bits = Math.min(Math.min(aligned, fitting) + 1, Long.SIZE);
        return Long.SIZE - 1 - Long.numberOfLeadingZeros(sizes & mask(bits));
    }

    /**
     * How many pages of the {@linkplain #bestPageLg2 best size} follow each other from {@code
     * first} until the range ends or a larger one fits.
     */
    public static long pageCount(long sizes, long first, long last, long output, int pageLg2) {
        long length = last - first;
        long pages = (length >>> pageLg2) + ((length & mask(pageLg2)) == mask(pageLg2) ? 1 : 0);
        long larger = sizes & ~mask(pageLg2 + 1);
        if (pageLg2 == Long.SIZE - 1 || larger == 0) {
            return pages;
        }
        int next = Long.numberOfTrailingZeros(larger);
        long before = mask(next) - (first & mask(next));
        // The next size begins after so many bytes less one, if ever: never where the two addresses
        // differ below it, and a still larger one begins no earlier.
        boolean fits =
                (first & mask(next)) != 0
                        && ((first ^ output) & mask(next)) == 0
                        && Long.compareUnsigned(length, before) > 0
                        && Long.compareUnsigned(length - before - 1, mask(next)) >= 0;
        return fits ? (before >>> pageLg2) + 1 : pages;
    }
}
