// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import java.util.function.Supplier;

/** Chooses the store that fits a granule. Any thread. */
public final class MappingStores {
    private MappingStores() {}

    /**
     * Makes the stores of one IOMMU's domains.
     *
     * @param pageSizeMask page sizes of the IOMMU; a domain's granule is its lowest bit or a
     *     multiple of that, because endpoints can only take bits away
     * @param tables where the tables come from; not used for small granules
     */
    public static Supplier<MappingStore> forPageSizes(long pageSizeMask, TablePool tables) {
        int granuleLg2 = Long.numberOfTrailingZeros(pageSizeMask);
        if (granuleLg2 < RadixStore.GRANULE_LG2_MIN) {
            return IntervalStore::new;
        }
        int lg2 = Math.min(granuleLg2, RadixStore.GRANULE_LG2_MAX);
        return () -> new RadixStore(tables, lg2);
    }
}
