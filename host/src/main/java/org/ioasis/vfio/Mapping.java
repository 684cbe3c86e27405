// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import org.ioasis.iommufd.Owner;
import org.ioasis.vfio.tracker.PinTracker;
import org.ioasis.vfio.tracker.SparsePageTable;
import org.jspecify.annotations.Nullable;

/** What one MAP_DMA has made: struct vfio_dma. Under its container's lock. */
final class Mapping {
    private static final int PAGE_LG2 = Long.numberOfTrailingZeros(PinTracker.PAGE);

    final long first;
    final long last;
    final boolean isReadable;
    final boolean isWritable;

    /** Whose memory it is, as who mapped it or gave it a new address. */
    Owner owner;

    /** The program's address is void until another one is given: devices go on with its pages. */
    boolean isAddressInvalid;

    /** Pages that mediated devices have pinned. */
    final PinTracker pins;

    /** What was written; null: nobody wants to know. */
    @Nullable DirtyPages dirty;

    Mapping(long first, long last, boolean isReadable, boolean isWritable, Owner owner) {
        this.first = first;
        this.last = last;
        this.isReadable = isReadable;
        this.isWritable = isWritable;
        this.owner = owner;
        pins = new SparsePageTable(pages());
    }

    long length() {
        return last - first + 1;
    }

    long pages() {
        return ((last - first) >>> PAGE_LG2) + 1;
    }

    /** The index of the page that an IOVA of it lies in. */
    long page(long iova) {
        return (iova - first) >>> PAGE_LG2;
    }
}
