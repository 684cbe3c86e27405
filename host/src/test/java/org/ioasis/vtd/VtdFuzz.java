// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.KeptPages.unsigned;
import static org.ioasis.spec.IommufdNesting.VTD_INVALIDATE_SIZE;

import java.math.BigInteger;
import org.ioasis.host.ContextFuzz;
import org.ioasis.host.FuzzInput;
import org.ioasis.host.KeptPages;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommufd.nesting.EntryFuzz;
import org.ioasis.spec.VtdQueue;

/**
 * What a guest writes for its VT-d is any bytes: descriptors of its queue, entries as Linux has
 * them for a first stage, and root, context and PASID entries. One thread.
 */
public final class VtdFuzz {
    private static final int TAG = 3;
    private static final int[] DOMAINS = {TAG, TAG, 0, 0xffff};
    private static final BigInteger LAST = unsigned(-1);
    private static final BigInteger PAGE = BigInteger.valueOf(4096);

    private final KeptPages pages;

    private VtdFuzz(FuzzInput input) {
        pages = new KeptPages(input, DOMAINS);
    }

    /** Entries of a call, for the only first stage that there is. */
    public static void entries(FuzzInput input) {
        VtdFuzz fuzz = new VtdFuzz(input);
        Iotlb tlb = fuzz.pages.tlb;
        VtdInvalidations decoder =
                new VtdInvalidations(
                        new VtdInvalidations.Table() {
                            @Override
                            public void invalidateAll() {
                                tlb.domain(TAG);
                            }

                            @Override
                            public void invalidate(long first, long last) {
                                tlb.everySpace(TAG, first, last, 0);
                            }
                        });
        EntryFuzz.run(input, decoder, VTD_INVALIDATE_SIZE, fuzz.pages, fuzz::isEntryCarriedOut);
    }

    private boolean isEntryCarriedOut(long[] words) {
        boolean isWhole = words[1] == -1;
        if ((words[2] & ~1L) != 0 || (words[0] & 4095) != 0 || (isWhole && words[0] != 0)) {
            return false;
        }
        if (isWhole) {
            pages.take(page -> page.domain() == TAG);
        } else if (words[1] != 0) {
            BigInteger first = unsigned(words[0]);
            BigInteger end = first.add(unsigned(words[1]).multiply(PAGE));
            BigInteger last = end.subtract(BigInteger.ONE).min(LAST);
            pages.take(page -> page.domain() == TAG && page.isOfFirst() && page.meets(first, last));
        }
        return true;
    }

    /** Descriptors of the queue that the guest's driver fills. */
    public static void queue(FuzzInput input) {
        VtdFuzz fuzz = new VtdFuzz(input);
        Iotlb tlb = fuzz.pages.tlb;
        QueuedInvalidations decoder = new QueuedInvalidations(tlb, new Others(tlb));
        EntryFuzz.run(input, decoder, VtdQueue.SIZE, fuzz.pages, fuzz::isCarriedOut);
    }

    /** What is not about translations names nothing that cannot be. */
    private record Others(Iotlb tlb) implements QueuedInvalidations.Rest {
        @Override
        public void secondStage(int domain, long first, long last) {
            tlb.secondRange(domain, first, last);
        }

        @Override
        public void contexts(int domain, int device, int space) {
            assertThat(domain).isBetween(ANY, 0xffff);
            assertThat(device).isBetween(ANY, 0xffff);
            assertThat(space).isBetween(ANY, (1 << 20) - 1);
        }

        @Override
        public void forget(int device, int space, long first, long last) {
            assertThat(device).isBetween(0, 0xffff);
            assertThat(space).isBetween(ANY, (1 << 20) - 1);
            assertThat(unsigned(first)).isLessThanOrEqualTo(unsigned(last));
        }

        @Override
        public void interrupts() {
            // Of no translation.
        }

        @Override
        public void wait(long word0, long address) {
            assertThat(word0 & 0xf).isEqualTo(VtdQueue.WAIT);
        }
    }

    /** 6.5.2 of VT-d's specification. */
    private boolean isCarriedOut(long[] words) {
        if ((words[0] & 0xe00) != 0) {
            return false;
        }
        int granularity = (int) (words[0] >>> 4) & 3;
        return switch ((int) words[0] & 15) {
            case 1 -> granularity != 0;
            case 2 -> isTranslations(granularity, words);
            case 3, 4, 5, 8 -> true;
            case 6 -> isSpaces(granularity, words);
            case 7 -> granularity != 2;
            default -> false;
        };
    }

    private static int domain(long[] words) {
        return (int) (words[0] >>> 16) & 0xffff;
    }

    private static boolean isNamed(KeptPages.Page page, long[] words) {
        int sizeLg2 = 12 + (int) (words[1] & 63);
        BigInteger first = unsigned(words[1] & -4096).shiftRight(sizeLg2).shiftLeft(sizeLg2);
        BigInteger last = first.add(BigInteger.TWO.pow(sizeLg2)).subtract(BigInteger.ONE);
        return page.meets(first, last);
    }

    private boolean isTranslations(int granularity, long[] words) {
        int domain = domain(words);
        switch (granularity) {
            case 1 -> pages.take(_ -> true);
            case 2 -> pages.take(page -> page.domain() == domain);
            case 3 ->
                    pages.take(page ->
                            page.domain() == domain
                                    && (page.stages() == (Iotlb.FIRST | Iotlb.SECOND)
                                            || (page.stages() == Iotlb.SECOND
                                                    && isNamed(page, words))));
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean isSpaces(int granularity, long[] words) {
        int domain = domain(words);
        int space = (int) (words[0] >>> 32) & 0xf_ffff;
        switch (granularity) {
            case 2 -> pages.take(page -> page.isOf(domain, space));
            case 3 ->
                    pages.take(page ->
                            (page.isOf(domain, space) || page.isGlobalOf(domain))
                                    && isNamed(page, words));
            default -> {
                return false;
            }
        }
        return true;
    }

    /** Root, context and PASID entries, in whatever mode. */
    public static void contexts(FuzzInput input) {
        int bits = ContextFuzz.bits(input);
        long register = input.word();
        ContextFuzz memory = new ContextFuzz(input);
        while (!input.isOver()) {
            int rid = input.next(256) << 8 | input.next(256);
            int pasid = input.next(2) == 0 ? RootTable.NO_PASID : (int) input.word() & 0xf_ffff;
            boolean isPrivileged = input.next(2) == 0;
            memory.check(
                    bits,
                    () -> RootTable.of(memory, register, bits).find(rid, pasid, isPrivileged),
                    input);
        }
    }
}
