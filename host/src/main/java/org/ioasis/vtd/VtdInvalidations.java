// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.ioasis.spec.IommufdNesting.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.InvalidationRefusal;
import org.jspecify.annotations.Nullable;

/**
 * Invalidations of a first stage of VT-d, in the structure that Linux has for them, carried out
 * where they are. Under its context's lock; allocates nothing.
 */
final class VtdInvalidations extends Entries {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt HALF =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int PAGE_LG2 = 12;
    private static final long ALL_PAGES = -1;

    /** The first stage, as the entries speak of it. */
    interface Table {
        /** Nothing of it is used any more, nor what a device keeps of it. */
        void invalidateAll();

        /** The same of a range; inclusive, unsigned. */
        void invalidate(long first, long last);
    }

    private final Table table;

    VtdInvalidations(Table table) {
        super(VTD_INVALIDATE_SIZE);
        this.table = table;
    }

    @Override
    protected @Nullable InvalidationRefusal entry(MemorySegment entries, long offset) {
        long address = entries.get(WORD, offset + VTD_INVALIDATE_ADDR);
        long pages = entries.get(WORD, offset + VTD_INVALIDATE_NPAGES);
        int flags = entries.get(HALF, offset + VTD_INVALIDATE_FLAGS);
        if ((flags & ~VTD_INVALIDATE_LEAF) != 0
                || entries.get(HALF, offset + VTD_INVALIDATE_RESERVED) != 0) {
            return InvalidationRefusal.FLAG;
        }
        if ((address & ((1L << PAGE_LG2) - 1)) != 0 || (pages == ALL_PAGES && address != 0)) {
            return InvalidationRefusal.ALIGNMENT;
        }
        if (pages == ALL_PAGES) {
            table.invalidateAll();
        } else if (pages != 0) {
            long most = -address >>> PAGE_LG2;
            // From 0 on there are more pages than a range of 64 bits has addresses for.
            boolean isToTheEnd =
                    Long.compareUnsigned(pages, address == 0 ? 1L << (64 - PAGE_LG2) : most) >= 0;
            table.invalidate(address, isToTheEnd ? -1 : address + (pages << PAGE_LG2) - 1);
        }
        return null;
    }
}
