// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.InvalidationRefusal;
import org.jspecify.annotations.Nullable;

/**
 * INVALIDATE requests of virtio-iommu, carried out where they are, for a driver of any IOMMU: here
 * stands what an entry means, and the driver's {@link Scopes} what that is at its hardware. Under
 * its context's lock; allocates nothing.
 */
public final class VirtioInvalidations extends Entries {
    private static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final int PAGE_LG2 = 12;

    /** PASIDs have 20 bits, the numbers of architectures (ASIDs) 16. */
    private static final long PASID_MAX = (1 << 20) - 1;

    private static final long ARCHID_MAX = (1 << 16) - 1;
    private static final int TYPES = TYPE_IOTLB | TYPE_DEVICE_TLB | TYPE_PASID_CACHE;
    private static final int FLAGS = FLAG_PASID | FLAG_ARCHID | FLAG_LEAF;

    /** By which of its numbers an entry names a space at the IOMMU. */
    public enum Naming {
        /** By PASID, as VT-d and AMD do. */
        PASID,
        /** By the number of the architecture, as Arm does. */
        ARCHID
    }

    /**
     * What an entry takes away, in the words of one IOMMU. A space is what {@link Naming} says, a
     * PASID for devices; {@link DeviceCaches#NO_SPACE} is all of them.
     */
    public interface Scopes {
        /** Translations of a domain of the guest's. */
        void translations(int domain, int space);

        /** Translations of a range, inclusive. */
        void translations(int domain, int space, long first, long last);

        /** What says which table a PASID has. */
        void tables(int domain, int pasid);

        /** What the domain's devices keep of a range themselves, if they keep anything. */
        default void devices(int domain, int pasid, long first, long last) {}
    }

    private final Scopes scopes;
    private final Naming naming;

    public VirtioInvalidations(Scopes scopes, Naming naming) {
        // The tail is the device's to write, and may lie elsewhere.
        super(INVALIDATE_TAIL, INVALIDATE_SIZE);
        this.scopes = scopes;
        this.naming = naming;
    }

    @Override
    protected @Nullable InvalidationRefusal entry(MemorySegment entries, long at) {
        int head = entries.get(INT, at + INVALIDATE_HEAD);
        int word = entries.get(INT, at + INVALIDATE_GRANULARITY);
        int flagsWord = entries.get(INT, at + INVALIDATE_FLAGS);
        int granularity = word & 0xffff;
        int type = word >>> 16;
        int flags = flagsWord & 0xffff;
        long last8 = entries.get(LONG, at + INVALIDATE_GRANULE);
        int rest = entries.get(INT, at + INVALIDATE_GRANULE + Long.BYTES);
        int reserved2 = entries.get(INT, at + INVALIDATE_RESERVED2);
        if (head != T_INVALIDATE) {
            return InvalidationRefusal.TYPE;
        }
        if ((flags & ~FLAGS) != 0
                || flagsWord >>> 16 != 0
                || reserved2 != 0
                || last8 >>> Byte.SIZE != 0
                || rest != 0) {
            return InvalidationRefusal.VALUE;
        }
        if (type == 0 || (type & ~TYPES) != 0) {
            return InvalidationRefusal.VALUE;
        }
        int domain = entries.get(INT, at + INVALIDATE_DOMAIN);
        long pasid = Integer.toUnsignedLong(entries.get(INT, at + INVALIDATE_PASID));
        long archid = entries.get(LONG, at + INVALIDATE_ARCHID);
        if (((flags & FLAG_PASID) != 0 && pasid > PASID_MAX)
                || ((flags & FLAG_ARCHID) != 0 && (archid & ~ARCHID_MAX) != 0)) {
            return InvalidationRefusal.VALUE;
        }
        int ofDevice = (flags & FLAG_PASID) != 0 ? (int) pasid : DeviceCaches.NO_SPACE;
        int space =
                switch (naming) {
                    case PASID -> ofDevice;
                    case ARCHID ->
                            (flags & FLAG_ARCHID) != 0 ? (int) archid : DeviceCaches.NO_SPACE;
                };
        return switch (granularity) {
            case GRANULARITY_DOMAIN ->
                    whole(domain, type, DeviceCaches.NO_SPACE, DeviceCaches.NO_SPACE);
            case GRANULARITY_PASID ->
                    (flags & (FLAG_PASID | FLAG_ARCHID)) == 0
                            ? InvalidationRefusal.VALUE
                            : whole(domain, type, space, ofDevice);
            case GRANULARITY_VA ->
                    range(
                            domain,
                            type,
                            space,
                            ofDevice,
                            entries.get(LONG, at + INVALIDATE_VIRT_START),
                            entries.get(LONG, at + INVALIDATE_NR_PAGES),
                            (int) last8 & 0xff);
            default -> InvalidationRefusal.VALUE;
        };
    }

    private @Nullable InvalidationRefusal whole(int domain, int type, int space, int ofDevice) {
        if ((type & TYPE_PASID_CACHE) != 0) {
            scopes.tables(domain, ofDevice);
        }
        if ((type & TYPE_IOTLB) != 0) {
            scopes.translations(domain, space);
        }
        if ((type & TYPE_DEVICE_TLB) != 0) {
            scopes.devices(domain, ofDevice, 0, -1);
        }
        return null;
    }

    private @Nullable InvalidationRefusal range(
            int domain, int type, int space, int ofDevice, long start, long pages, int pageLg2) {
        if (pages == 0
                || (type & TYPE_PASID_CACHE) != 0
                || pageLg2 < PAGE_LG2
                || pageLg2 >= Long.SIZE) {
            return InvalidationRefusal.VALUE;
        }
        if ((start & ((1L << pageLg2) - 1)) != 0) {
            return InvalidationRefusal.ALIGNMENT;
        }
        long most = ((-1L - start) >>> pageLg2) + 1;
        if (Long.compareUnsigned(pages, most) > 0) {
            return InvalidationRefusal.RANGE;
        }
        long last = start + (pages << pageLg2) - 1;
        if ((type & TYPE_IOTLB) != 0) {
            scopes.translations(domain, space, start, last);
        }
        if ((type & TYPE_DEVICE_TLB) != 0) {
            scopes.devices(domain, ofDevice, start, last);
        }
        return null;
    }
}
