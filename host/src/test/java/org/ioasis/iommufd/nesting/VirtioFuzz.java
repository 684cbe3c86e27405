// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.nesting;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.KeptPages.unsigned;
import static org.ioasis.spec.VirtioIommuTables.INVALIDATE_SIZE;

import java.math.BigInteger;
import org.ioasis.host.FuzzInput;
import org.ioasis.host.KeptPages;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.nesting.VirtioInvalidations.Naming;

/**
 * INVALIDATE requests of virtio-iommu that are any bytes, for an IOMMU of either naming. One
 * thread.
 */
public final class VirtioFuzz {
    private static final int TAG = 3;
    private static final int[] DOMAINS = {TAG, TAG, 1, 2};
    private static final BigInteger END = BigInteger.TWO.pow(Long.SIZE);

    private final KeptPages pages;
    private final Naming naming;

    private VirtioFuzz(FuzzInput input) {
        naming = input.next(2) == 0 ? Naming.PASID : Naming.ARCHID;
        pages = new KeptPages(input, DOMAINS);
    }

    /** As drivers have them. */
    private record OneTable(Iotlb tlb) implements VirtioInvalidations.Scopes {
        @Override
        public void translations(int domain, int space) {
            if (space == DeviceCaches.NO_SPACE) {
                tlb.firstStage(TAG);
            } else {
                tlb.space(TAG, space);
            }
        }

        @Override
        public void translations(int domain, int space, long first, long last) {
            if (space == DeviceCaches.NO_SPACE) {
                tlb.everySpace(TAG, first, last, 0);
            } else {
                tlb.range(TAG, space, first, last, 0);
            }
        }

        @Override
        public void tables(int domain, int pasid) {
            assertThat(pasid).isBetween(DeviceCaches.NO_SPACE, (1 << 20) - 1);
        }

        @Override
        public void devices(int domain, int pasid, long first, long last) {
            assertThat(pasid).isBetween(DeviceCaches.NO_SPACE, (1 << 20) - 1);
            assertThat(unsigned(first)).isLessThanOrEqualTo(unsigned(last));
        }
    }

    public static void run(FuzzInput input) {
        VirtioFuzz fuzz = new VirtioFuzz(input);
        VirtioInvalidations decoder =
                new VirtioInvalidations(new OneTable(fuzz.pages.tlb), fuzz.naming);
        EntryFuzz.run(input, decoder, INVALIDATE_SIZE, fuzz.pages, fuzz::isCarriedOut);
    }

    private boolean isCarriedOut(long[] words) {
        int granularity = (int) (words[0] >>> 32) & 0xffff;
        int type = (int) (words[0] >>> 48);
        int flags = (int) words[1] & 0xffff;
        int pasid = (int) words[2];
        boolean isReservedZero =
                (words[1] >>> 16 & 0xffff) == 0
                        && words[2] >>> 32 == 0
                        && words[6] >>> 8 == 0
                        && (int) words[7] == 0;
        if ((int) words[0] != 7 || !isReservedZero || flags > 7 || type < 1 || type > 7) {
            return false;
        }
        boolean hasPasid = (flags & 1) != 0;
        boolean hasArchid = (flags & 2) != 0;
        if ((hasPasid && pasid >>> 20 != 0) || (hasArchid && words[3] >>> 16 != 0)) {
            return false;
        }
        boolean isOfSpace = naming == Naming.PASID ? hasPasid : hasArchid;
        int space = naming == Naming.PASID ? pasid : (int) words[3];
        boolean isCached = (type & 1) != 0;
        return switch (granularity) {
            case 1 -> {
                pages.take(page -> isCached && page.domain() == TAG && page.isOfFirst());
                yield true;
            }
            case 2 -> {
                if (!hasPasid && !hasArchid) {
                    yield false;
                }
                pages.take(page ->
                        isCached
                                && (isOfSpace
                                        ? page.isOf(TAG, space)
                                        : page.domain() == TAG && page.isOfFirst()));
                yield true;
            }
            case 4 -> (type & 4) == 0 && isRange(words, isCached, isOfSpace, space);
            default -> false;
        };
    }

    private boolean isRange(long[] words, boolean isCached, boolean isOfSpace, int space) {
        int sizeLg2 = (int) words[6] & 0xff;
        BigInteger first = unsigned(words[4]);
        BigInteger end = first.add(unsigned(words[5]).shiftLeft(sizeLg2));
        boolean isPossible =
                words[5] != 0
                        && sizeLg2 >= 12
                        && sizeLg2 < Long.SIZE
                        && first.equals(first.shiftRight(sizeLg2).shiftLeft(sizeLg2))
                        && end.compareTo(END) <= 0;
        if (isPossible && isCached) {
            BigInteger last = end.subtract(BigInteger.ONE);
            pages.take(page ->
                    (isOfSpace
                                    ? page.isOf(TAG, space) || page.isGlobalOf(TAG)
                                    : page.domain() == TAG && page.isOfFirst())
                            && page.meets(first, last));
        }
        return isPossible;
    }
}
