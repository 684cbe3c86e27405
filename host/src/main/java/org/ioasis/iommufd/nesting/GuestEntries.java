// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.ioasis.spec.IommufdNesting.INVALIDATE_VIRTIO;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.Invalidator;

/**
 * What may be invalidated at an IOMMU in its own type of entries and in that of virtio-iommu. When
 * a call returns, what its entries took away is out of use. Under its context's lock; allocates
 * nothing.
 */
public final class GuestEntries implements Invalidator {
    private final int ownType;
    private final Entries own;
    private final VirtioInvalidations virtio;
    private final Runnable settle;

    /**
     * @param ownType of the IOMMU's own entries
     * @param settle returns when what was taken away is out of use
     */
    public GuestEntries(int ownType, Entries own, VirtioInvalidations virtio, Runnable settle) {
        this.ownType = ownType;
        this.own = own;
        this.virtio = virtio;
        this.settle = settle;
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        if (type != ownType && type != INVALIDATE_VIRTIO) {
            return Handled.refused(0, InvalidationRefusal.TYPE);
        }
        Entries entries = type == ownType ? own : virtio;
        long handled = entries.run(array, offset, entryLength, count);
        if (Handled.done(handled) > 0) {
            settle.run();
        }
        return handled;
    }
}
