// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.ioasis.spec.VtdQueue.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.InvalidationRefusal;
import org.jspecify.annotations.Nullable;

/**
 * Descriptors of a guest's VT-d invalidation queue, carried out where they are (Intel
 * Virtualization Technology for Directed I/O, 6.5.2). An IOMMU stops at the one that is refused
 * here. One thread at a time; allocates nothing.
 */
public final class QueuedInvalidations extends Entries {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int PAGE_LG2 = 12;

    /** What descriptors are for besides translations. */
    public interface Rest {
        /** In the place of a domain, a device or a space: whatever it is. */
        int ANY = -1;

        /**
         * Of a domain, pages of the second stage are others now: what leads from there through that
         * stage alone goes, and all that goes through both. Inclusive, unsigned.
         */
        void secondStage(int domain, long first, long last);

        /** Which tables a device or a space of it has may be others now. */
        void contexts(int domain, int device, int space);

        /** A device forgets what it keeps of a range; inclusive, unsigned. */
        void forget(int device, int space, long first, long last);

        /** Entries of interrupts may be others now. */
        void interrupts();

        /**
         * All before this one is done.
         *
         * @param word0 says who is told and how
         */
        void wait(long word0, long address);
    }

    private final CachedTranslations translations;
    private final Rest rest;

    public QueuedInvalidations(CachedTranslations translations, Rest rest) {
        super(SIZE);
        this.translations = translations;
        this.rest = rest;
    }

    @Override
    protected @Nullable InvalidationRefusal entry(MemorySegment entries, long offset) {
        long word0 = entries.get(WORD, offset);
        long word1 = entries.get(WORD, offset + Long.BYTES);
        if ((word0 & TYPE_HIGH) != 0) {
            return InvalidationRefusal.COMMAND;
        }
        boolean isDone =
                switch ((int) word0 & TYPE_MASK) {
                    case CONTEXT_CACHE -> contexts(word0);
                    case IOTLB -> translations(word0, word1);
                    case PASID_IOTLB -> spaces(word0, word1);
                    case PASID_CACHE -> entriesOfSpaces(word0);
                    case DEVICE_TLB -> {
                        int device = (int) (word0 >>> SOURCE_SHIFT) & SOURCE_MASK;
                        forget(device, Rest.ANY, word1, (word1 & SIZE_BIT) != 0);
                        yield true;
                    }
                    case PASID_DEVICE_TLB -> {
                        int device = (int) (word0 >>> PASID_SOURCE_SHIFT) & SOURCE_MASK;
                        int space = (word1 & GLOBAL) != 0 ? Rest.ANY : space(word0);
                        forget(device, space, word1, (word1 & PASID_SIZE_BIT) != 0);
                        yield true;
                    }
                    case INTERRUPT_ENTRIES -> {
                        rest.interrupts();
                        yield true;
                    }
                    case WAIT -> {
                        rest.wait(word0, word1);
                        yield true;
                    }
                    default -> false;
                };
        return isDone ? null : InvalidationRefusal.COMMAND;
    }

    private boolean contexts(long word0) {
        switch (granularity(word0)) {
            case CONTEXT_GLOBAL -> rest.contexts(Rest.ANY, Rest.ANY, Rest.ANY);
            case CONTEXT_DOMAIN -> rest.contexts(domain(word0), Rest.ANY, Rest.ANY);
            case CONTEXT_DEVICE -> {
                int source = (int) (word0 >>> SOURCE_SHIFT) & SOURCE_MASK;
                int masked = (int) (word0 >>> FUNCTION_MASK_SHIFT) & FUNCTION_MASK_MASK;
                // Three bits have a function's number; the mask leaves out the highest first.
                int left = 7 & (-1 << (3 - masked));
                for (int function = 0; function < 8; function++) {
                    if ((function & ~left) == (source & 7 & ~left)) {
                        rest.contexts(domain(word0), (source & ~7) | function, Rest.ANY);
                    }
                }
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean translations(long word0, long word1) {
        switch (granularity(word0)) {
            case IOTLB_GLOBAL -> translations.all();
            case IOTLB_DOMAIN -> translations.domain(domain(word0));
            case IOTLB_PAGES -> {
                long mask = pages(word1);
                long first = word1 & ADDRESS_MASK & ~mask;
                rest.secondStage(domain(word0), first, first | mask);
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean spaces(long word0, long word1) {
        switch (granularity(word0)) {
            case PASID_IOTLB_ALL -> translations.space(domain(word0), space(word0));
            case PASID_IOTLB_PAGES -> {
                long mask = pages(word1);
                long first = word1 & ADDRESS_MASK & ~mask;
                translations.range(domain(word0), space(word0), first, first | mask, 0);
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean entriesOfSpaces(long word0) {
        switch (granularity(word0)) {
            case PASID_CACHE_DOMAIN -> rest.contexts(domain(word0), Rest.ANY, Rest.ANY);
            case PASID_CACHE_ONE -> rest.contexts(domain(word0), Rest.ANY, space(word0));
            case PASID_CACHE_GLOBAL -> rest.contexts(Rest.ANY, Rest.ANY, Rest.ANY);
            default -> {
                return false;
            }
        }
        return true;
    }

    private void forget(int device, int space, long word1, boolean hasSize) {
        long mask = hasSize ? Bits.maskOfSized(word1, PAGE_LG2) : Bits.mask(PAGE_LG2);
        long first = word1 & ADDRESS_MASK & ~mask;
        rest.forget(device, space, first, first | mask);
    }

    private static int granularity(long word0) {
        return (int) (word0 >>> GRANULARITY_SHIFT) & GRANULARITY_MASK;
    }

    private static int domain(long word0) {
        return (int) (word0 >>> DOMAIN_SHIFT) & DOMAIN_MASK;
    }

    private static int space(long word0) {
        return (int) (word0 >>> PASID_SHIFT) & PASID_MASK;
    }

    /** The bits below a range of a power of two of pages. */
    private static long pages(long word1) {
        return Bits.mask(Math.min(PAGE_LG2 + ((int) word1 & PAGES_LG2_MASK), Long.SIZE));
    }
}
