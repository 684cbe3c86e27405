// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.ioasis.host.LongMap;

/**
 * Addresses of held pages by their index in a mapping: the storage of those that an access holds.
 * Leaves of 512, made where they are used, so that a mapping costs what is held of it and not what
 * it spans. Under its context's lock.
 */
final class PageNumbers {
    private static final int LEAF_LG2 = 9;
    private static final int MASK = (1 << LEAF_LG2) - 1;

    /** Distinguishes address 0 from nothing; page addresses leave their low bits free. */
    private static final long PRESENT = 1;

    private static final class Leaf {
        private final long[] words = new long[1 << LEAF_LG2];
        private int used;
    }

    private final LongMap<Leaf> leaves = new LongMap<>();

    boolean contains(long index) {
        return word(index) != 0;
    }

    /** The address at an index that is there. */
    long get(long index) {
        long word = word(index);
        if (word == 0) {
            throw new IllegalStateException("page " + index + " is held by no access");
        }
        return word - PRESENT;
    }

    private long word(long index) {
        Leaf leaf = leaves.get(index >>> LEAF_LG2);
        return leaf == null ? 0 : leaf.words[(int) index & MASK];
    }

    /** Adds what is not there. */
    void put(long index, long address) {
        Leaf leaf = leaves.get(index >>> LEAF_LG2);
        if (leaf == null) {
            leaf = new Leaf();
            leaves.put(index >>> LEAF_LG2, leaf);
        }
        leaf.words[(int) index & MASK] = address + PRESENT;
        leaf.used++;
    }

    /** Removes what is there. */
    void remove(long index) {
        Leaf leaf = leaves.get(index >>> LEAF_LG2);
        if (leaf == null || leaf.words[(int) index & MASK] == 0) {
            throw new IllegalStateException("page " + index + " is held by no access");
        }
        leaf.words[(int) index & MASK] = 0;
        if (--leaf.used == 0) {
            leaves.remove(index >>> LEAF_LG2);
        }
    }
}
