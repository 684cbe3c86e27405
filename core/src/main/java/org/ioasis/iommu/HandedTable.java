// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.memory.GuestMemory;

/**
 * What a driver hands over in the place of mappings: a table that it owns, or a table of such
 * tables. Two are the same if all that they say is. Immutable; any thread.
 */
public sealed interface HandedTable permits VtdTable, LpaeTables, SmmuContexts {
    /** False if no table can be so. */
    boolean isPossible();

    /** True if it has something to say of each PASID of an endpoint: then all go through it. */
    boolean hasContexts();

    /**
     * What accesses go through. Only of a table that is possible.
     *
     * @param tag what is kept of it is known by
     * @param memory where it lies, and what it leads to
     */
    Translation translation(int tag, GuestMemory memory, Iotlb cached);
}
