// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.ioasis.spec.AmdCommand.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.InvalidationRefusal;
import org.jspecify.annotations.Nullable;

/**
 * Commands of a guest for its virtual AMD IOMMU, carried out where they are. Linux has no such
 * call; what is refused is what the VMM does by other calls. Under its context's lock; allocates
 * nothing.
 */
public final class AmdCommands extends Entries {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int PAGE_LG2 = 12;

    /** How the host calls what the guest has names for. */
    public interface Names {
        /** The guest has no such thing. */
        int NONE = -1;

        /** The DomainID that a DomainID of the guest's is at the IOMMU. */
        int domain(int ofGuest);

        /** The DeviceID of a device that the guest calls so. */
        int device(int ofGuest);

        /** All that is kept of the guest's domains is taken away. */
        void forgetDomains();

        /** Which table a space of a domain of the guest's has may be another now. */
        void table(int ofGuest, int space);
    }

    private final CachedTranslations translations;
    private final DeviceCaches devices;
    private final Names names;

    public AmdCommands(CachedTranslations translations, DeviceCaches devices, Names names) {
        super(SIZE);
        this.translations = translations;
        this.devices = devices;
        this.names = names;
    }

    @Override
    protected @Nullable InvalidationRefusal entry(MemorySegment entries, long offset) {
        long word0 = entries.get(WORD, offset);
        long word1 = entries.get(WORD, offset + Long.BYTES);
        switch ((int) (word0 >>> OPCODE_SHIFT)) {
            case INV_PAGES -> pages(word0, word1);
            case INV_IOTLB -> {
                int device = names.device((int) word0 & IOTLB_DEVICE_MASK);
                if (device == Names.NONE) {
                    return InvalidationRefusal.DEVICE;
                }
                ofDevice(device, word0, word1);
            }
            case INV_ALL -> names.forgetDomains();
            default -> {
                return InvalidationRefusal.COMMAND;
            }
        }
        return null;
    }

    private void pages(long word0, long word1) {
        int ofGuest = (int) (word0 >>> PAGES_DOMAIN_SHIFT) & DOMAIN_MASK;
        int domain = names.domain(ofGuest);
        if (domain == Names.NONE) {
            // Nothing is attached to it, so nothing is kept of it.
            return;
        }
        long first = first(word1);
        long last = last(word1);
        if ((word1 & GUEST) != 0) {
            int space = (int) word0 & PAGES_PASID_MASK;
            translations.range(domain, space, first, last, 0);
            if (last - first == -1) {
                names.table(ofGuest, space);
            }
        } else {
            translations.everySpace(domain, first, last, 0);
        }
    }

    private void ofDevice(int device, long word0, long word1) {
        if ((word1 & GUEST) == 0) {
            devices.forget(device, first(word1), last(word1));
            return;
        }
        int low = (int) (word0 >>> IOTLB_PASID_LOW_SHIFT) & IOTLB_PASID_LOW_MASK;
        int high = (int) (word0 >>> IOTLB_PASID_HIGH_SHIFT) & IOTLB_PASID_HIGH_MASK;
        devices.forget(device, high << 8 | low, first(word1), last(word1));
    }

    /** The bits below the range: of a page, or with S as many as its address says. */
    private static long mask(long word1) {
        return (word1 & SIZE_BIT) == 0 ? Bits.mask(PAGE_LG2) : Bits.maskOfSized(word1, PAGE_LG2);
    }

    private static long first(long word1) {
        return word1 & ADDRESS_MASK & ~mask(word1);
    }

    private static long last(long word1) {
        return first(word1) | mask(word1);
    }
}
