// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;

/** A table of a guest, as the driver of an IOMMU sees it. Under its context's lock. */
public interface NestedDomain extends HwDomain, Invalidator {
    /** Refuses all entries, as where the vIOMMU is told what to forget. */
    @Override
    default long invalidate(
            int type, MemorySegment entries, long offset, int entryLength, int count) {
        return Handled.refused(0, InvalidationRefusal.UNSUPPORTED);
    }
}
