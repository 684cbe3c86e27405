// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * A top table in one word, so that it can be replaced by a higher one under readers: its address
 * and, in the low bits, its level. Any thread.
 */
public final class Root {
    static final int LEVEL_MAX = 5;

    private static final long LEVEL_MASK = 7;

    private Root() {}

    public static long of(long address, int level) {
        if ((address & LEVEL_MASK) != 0 || level < 0 || level > LEVEL_MAX) {
            throw new IllegalArgumentException(
                    "no top table of level %d at 0x%x".formatted(level, address));
        }
        return address | level;
    }

    public static long address(long root) {
        return root & ~LEVEL_MASK;
    }

    public static int level(long root) {
        return (int) (root & LEVEL_MASK);
    }
}
