// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.KeptPages.unsigned;

import java.math.BigInteger;
import org.ioasis.host.ContextFuzz;
import org.ioasis.host.FuzzInput;
import org.ioasis.host.KeptPages;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.nesting.EntryFuzz;
import org.ioasis.spec.AmdCommand;

/**
 * What a guest writes for its AMD IOMMU is any bytes: commands, device table entries and guest CR3
 * tables. One thread.
 */
public final class AmdFuzz {
    /** What the host calls the guest's domains 1 and 2, and its device 8. */
    private static final int FIRST = 11;

    private static final int SECOND = 12;
    private static final int DEVICE = 5;
    private static final int DEVICE_OF_GUEST = 8;
    private static final int[] DOMAINS = {FIRST, FIRST, SECOND, 1};
    private static final int BITS = 52;

    private final KeptPages pages;

    private AmdFuzz(FuzzInput input) {
        pages = new KeptPages(input, DOMAINS);
    }

    private static int domain(int ofGuest) {
        return switch (ofGuest) {
            case 1 -> FIRST;
            case 2 -> SECOND;
            default -> AmdCommands.Names.NONE;
        };
    }

    private final class Known implements AmdCommands.Names, DeviceCaches {
        @Override
        public int domain(int ofGuest) {
            return AmdFuzz.domain(ofGuest);
        }

        @Override
        public int device(int ofGuest) {
            return ofGuest == DEVICE_OF_GUEST ? DEVICE : AmdCommands.Names.NONE;
        }

        @Override
        public void forgetDomains() {
            pages.tlb.domain(FIRST);
            pages.tlb.domain(SECOND);
        }

        @Override
        public void table(int ofGuest, int space) {
            assertThat(AmdFuzz.domain(ofGuest)).isNotEqualTo(AmdCommands.Names.NONE);
            assertThat(space).isBetween(0, (1 << 20) - 1);
        }

        @Override
        public void context(int device, int space) {
            throw new AssertionError("no command is about one");
        }

        @Override
        public void contexts(int device) {
            throw new AssertionError("no command is about those");
        }

        @Override
        public void forget(int device, int space, long first, long last) {
            assertThat(space).isBetween(0, (1 << 20) - 1);
            forget(device, first, last);
        }

        @Override
        public void forget(int device, long first, long last) {
            assertThat(device).isEqualTo(DEVICE);
            assertThat(unsigned(first)).isLessThanOrEqualTo(unsigned(last));
        }
    }

    public static void commands(FuzzInput input) {
        AmdFuzz fuzz = new AmdFuzz(input);
        Known known = fuzz.new Known();
        AmdCommands decoder = new AmdCommands(fuzz.pages.tlb, known, known);
        EntryFuzz.run(input, decoder, AmdCommand.SIZE, fuzz.pages, fuzz::isCarriedOut);
    }

    /** 2.4 of AMD's specification, for what a guest may say. */
    private boolean isCarriedOut(long[] words) {
        switch ((int) (words[0] >>> 60)) {
            case 3 -> {
                int domain = domain((int) (words[0] >>> 32) & 0xffff);
                int space = (int) words[0] & 0xf_ffff;
                boolean isGuests = (words[1] & 4) != 0;
                pages.take(page ->
                        (isGuests
                                        ? page.isOf(domain, space) || page.isGlobalOf(domain)
                                        : page.domain() == domain && page.isOfFirst())
                                && isNamed(page, words[1]));
            }
            case 4 -> {
                return (words[0] & 0xffff) == DEVICE_OF_GUEST;
            }
            case 8 -> pages.take(page -> page.domain() == FIRST || page.domain() == SECOND);
            default -> {
                return false;
            }
        }
        return true;
    }

    /** With S, twice as much as the ones in a row from bit 12 on say. */
    private static boolean isNamed(KeptPages.Page page, long word) {
        int sizeLg2 = 12;
        if ((word & 1) != 0) {
            while (sizeLg2 < Long.SIZE && (word >>> sizeLg2 & 1) != 0) {
                sizeLg2++;
            }
            sizeLg2++;
        }
        BigInteger first = unsigned(word).shiftRight(sizeLg2).shiftLeft(sizeLg2);
        BigInteger last = first.add(BigInteger.TWO.pow(sizeLg2)).subtract(BigInteger.ONE);
        return page.meets(first, last);
    }

    /** Device table entries and guest CR3 tables. */
    public static void contexts(FuzzInput input) {
        long register = input.word();
        ContextFuzz memory = new ContextFuzz(input);
        while (!input.isOver()) {
            int rid = input.next(256) << 8 | input.next(256);
            int pasid = input.next(2) == 0 ? DeviceTable.NO_PASID : (int) input.word() & 0xf_ffff;
            memory.check(
                    BITS, () -> DeviceTable.of(memory, register, BITS).find(rid, pasid), input);
        }
    }
}
