// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

/**
 * Arithmetic on addresses and ranges: 64-bit unsigned, {@code first..last} with both ends inside,
 * up to 2^64-1. There is no end that could overflow, so no sum here is one that may wrap unnoticed.
 * Any thread.
 */
public final class Ranges {
    private Ranges() {}

    /** True if {@code a < b}. */
    public static boolean isBelow(long a, long b) {
        return Long.compareUnsigned(a, b) < 0;
    }

    /** True if {@code a <= b}. */
    public static boolean isAtMost(long a, long b) {
        return Long.compareUnsigned(a, b) <= 0;
    }

    public static long min(long a, long b) {
        return isAtMost(a, b) ? a : b;
    }

    public static long max(long a, long b) {
        return isAtMost(a, b) ? b : a;
    }

    /** True if the range holds {@code address}. */
    public static boolean holds(long first, long last, long address) {
        return isAtMost(first, address) && isAtMost(address, last);
    }

    /** True if the range holds all of {@code innerFirst..innerLast}. */
    public static boolean covers(long first, long last, long innerFirst, long innerLast) {
        return isAtMost(first, innerFirst) && isAtMost(innerLast, last);
    }

    /** True if the two ranges have an address in common. */
    public static boolean overlap(long first, long last, long otherFirst, long otherLast) {
        return isAtMost(first, otherLast) && isAtMost(otherFirst, last);
    }

    /**
     * True if a range that begins at {@code first} and goes {@code more} addresses on has no end.
     */
    public static boolean wraps(long first, long more) {
        return isBelow(first + more, first);
    }

    /**
     * {@code length >= 1}, or as much of it as there is from {@code address} to {@code last}, which
     * is not below it.
     */
    public static long within(long address, long last, long length) {
        long more = last - address;
        return isAtMost(length - 1, more) ? length : more + 1;
    }

    /** How far {@code address} is from the range; 0 if it is in it. */
    public static long distance(long first, long last, long address) {
        if (isBelow(address, first)) {
            return first - address;
        }
        return isBelow(last, address) ? address - last : 0;
    }
}
