// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

/**
 * The 64-bit words of a table. 0 is nothing; else the word is the link to a table or a leaf.
 *
 * <p>A leaf does not hold the output address but its distance from the IOVA, modulo 2^64. So a leaf
 * of any size needs alignment of the IOVA only, and all leaves of one mapping are equal but for the
 * bits that mark its borders. Granules have at least 4 KiB, which leaves the lowest 12 bits for
 * flags; bits 7 to 11 are free. A link is the number of the table's first word, a multiple of 512.
 */
final class Entry {
    /** The {@link MapFlags}, in the same bits. */
    static final long FLAGS = MapFlags.READ | MapFlags.WRITE | MapFlags.MMIO;

    static final int LEAF_AT = 3;
    static final long LEAF = 1 << LEAF_AT;

    /** The mapping's first leaf. */
    static final int START_AT = 4;

    static final long START = 1 << START_AT;

    /** The mapping's last leaf. */
    static final long END = 1 << 5;

    /** A leaf that is all of its mapping. */
    static final long WHOLE = START | END;

    /** The rest is the number of a table's first word. */
    static final long TABLE = 1 << 6;

    private static final long LOW_BITS = 0xfff;

    // Also says that the number is not negative, nor the address: saves a check at each access.
    static final long TABLE_BITS = 0x07ff_ffff_ffff_fe00L;

    private Entry() {}

    static long leaf(long delta, int flags) {
        return delta | flags | LEAF;
    }

    static long delta(long leaf) {
        return leaf & ~LOW_BITS;
    }

    static int flags(long leaf) {
        return (int) (leaf & FLAGS);
    }

    static boolean isLeaf(long entry) {
        return (entry & LEAF) != 0;
    }

    static boolean isTable(long entry) {
        return (entry & TABLE) != 0;
    }

    static long link(long table) {
        return table | TABLE;
    }

    static long table(long link) {
        return link & TABLE_BITS;
    }
}
