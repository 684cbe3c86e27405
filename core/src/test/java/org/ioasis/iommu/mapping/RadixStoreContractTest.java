// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Guards;

final class RadixStoreContractTest extends MappingStoreContract {
    @Override
    MappingStore newStore() {
        Guards guards = new Guards(() -> 0, lease -> {});
        return new RadixStore(new TablePool(new SegmentTables(1 << 20), 1 << 20, guards), 12);
    }
}
