package org.ioasis.iommu.mapping;

/**
 * The 64-bit words of a table. 0 is nothing; else the word is the link to a table or a leaf.
 *
 * <p>A leaf does not hold the output address but its distance from the IOVA, modulo 2^64. So a leaf
 * of any size needs alignment of the IOVA only, and all leaves of one mapping are equal but for the
 * bits that mark its borders. Granules have at least 4 KiB, which leaves the lowest 12 bits for
 * flags; bits 7 to 11 are free.
 */
final class Entry {
    /** The {@link MapFlags}, in the same bits. */
    static final long FLAGS = MapFlags.READ | MapFlags.WRITE | MapFlags.MMIO;

    static final long LEAF = 1 << 3;

    /** The mapping's first leaf. */
    static final long START = 1 << 4;

    /** The mapping's last leaf. */
    static final long END = 1 << 5;

    /** The rest is the address of a table. */
    static final long TABLE = 1 << 6;

    private static final long LOW_BITS = 0xfff;

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
        return link - TABLE;
    }
}
