// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.ioasis.spec.IommufdNesting.INVALIDATE_VIRTIO;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.iotlb.CachedTranslations;
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
    private final CachedTranslations translations;
    private final CarriedOut carriedOut;

    /** Hears of entries that were carried out. */
    public interface CarriedOut {
        /** Returns when what they took away is out of use. */
        void entries(int type, int count);
    }

    /**
     * @param ownType of the IOMMU's own entries
     * @param translations that both take away from; those of one call all together
     */
    public GuestEntries(
            int ownType,
            Entries own,
            VirtioInvalidations virtio,
            CachedTranslations translations,
            CarriedOut carriedOut) {
        this.ownType = ownType;
        this.own = own;
        this.virtio = virtio;
        this.translations = translations;
        this.carriedOut = carriedOut;
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        if (type != ownType && type != INVALIDATE_VIRTIO) {
            return Handled.refused(0, InvalidationRefusal.TYPE);
        }
        Entries entries = type == ownType ? own : virtio;
        long handled;
        translations.begin();
        try {
            handled = entries.run(array, offset, entryLength, count);
        } finally {
            translations.end();
        }
        if (Handled.done(handled) > 0) {
            carriedOut.entries(type, Handled.done(handled));
        }
        return handled;
    }
}
