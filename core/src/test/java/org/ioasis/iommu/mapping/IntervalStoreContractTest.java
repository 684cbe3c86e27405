// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

final class IntervalStoreContractTest extends MappingStoreContract {
    @Override
    MappingStore newStore() {
        return new IntervalStore();
    }
}
