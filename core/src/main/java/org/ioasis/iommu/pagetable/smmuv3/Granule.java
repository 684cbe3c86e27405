// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.smmuv3;

import org.ioasis.spec.ArmTable;
import org.ioasis.spec.SmmuTables;

/** Sizes as descriptors and commands encode them. Any thread. */
public final class Granule {
    public static final int LG2_4K = 12;
    public static final int LG2_16K = 14;
    public static final int LG2_64K = 16;

    /** Answer of {@link #lg2}: reserved. */
    public static final int NONE = 0;

    private static final int[] OUTPUT_BITS = {32, 36, 40, 42, 44, 48, 52};

    private Granule() {}

    /** By the two bits of TG0 and TG. */
    public static int lg2(int bits) {
        return switch (bits) {
            case SmmuTables.TG_4K -> LG2_4K;
            case SmmuTables.TG_64K -> LG2_64K;
            case SmmuTables.TG_16K -> LG2_16K;
            default -> NONE;
        };
    }

    /**
     * Bits of output addresses by IPS or PS: what the SMMU and its tables have, if it says more, as
     * the reserved number does.
     */
    public static int outputBits(int size, int most) {
        int limit = Math.min(most, ArmTable.ADDRESS_BITS);
        return size < OUTPUT_BITS.length ? Math.min(OUTPUT_BITS[size], limit) : limit;
    }
}
