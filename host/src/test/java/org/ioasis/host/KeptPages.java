// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.ioasis.iommu.iotlb.Iotlb;

/**
 * Translations that an IOTLB has kept, and beside it a plain list of them: whoever says in plain
 * words what a command takes away is told whether the command did just that. One thread.
 */
public final class KeptPages {
    private static final int ENTRIES = 4096;
    private static final int PAGES_MAX = 24;
    private static final int[] SIZES_LG2 = {12, 12, 12, 14, 16, 21, 25, 30, 39};
    private static final int RIGHTS = 3;

    /**
     * One of them.
     *
     * @param space ASID or PASID; of what is global the one that it came from
     * @param stages bits of {@link Iotlb}
     */
    public record Page(
            int domain, int space, long first, int sizeLg2, boolean isGlobal, int stages) {
        public boolean isOfFirst() {
            return (stages & Iotlb.FIRST) != 0;
        }

        public boolean isOf(int number, int spaceNumber) {
            return domain == number && isOfFirst() && !isGlobal && space == spaceNumber;
        }

        public boolean isGlobalOf(int number) {
            return domain == number && isOfFirst() && isGlobal;
        }

        /** Whether an address from {@code from} to {@code to} is in it; both can be any number. */
        public boolean meets(BigInteger from, BigInteger to) {
            BigInteger begin = unsigned(first);
            BigInteger end = begin.add(BigInteger.TWO.pow(sizeLg2)).subtract(BigInteger.ONE);
            return begin.compareTo(to) <= 0 && from.compareTo(end) <= 0;
        }

        private long tag() {
            return Iotlb.tag(domain, isOfFirst() ? space : 0, stages);
        }
    }

    public final Iotlb tlb = new Iotlb(ENTRIES);

    private final List<Page> pages = new ArrayList<>();
    private final List<Page> all = new ArrayList<>();

    /** Those that an input names: mostly near each other, so that commands find some. */
    public KeptPages(FuzzInput input, int[] domains) {
        int count = input.next(PAGES_MAX + 1);
        for (int i = 0; i < count; i++) {
            int domain = domains[input.next(domains.length)];
            int stages = 1 + input.next(3);
            boolean isGlobal = stages != Iotlb.SECOND && input.next(4) == 0;
            int space = stages == Iotlb.SECOND ? 0 : input.next(4);
            int sizeLg2 = SIZES_LG2[input.next(SIZES_LG2.length)];
            long address =
                    switch (input.next(4)) {
                        case 0 -> input.word();
                        case 1 -> -1L - ((long) input.next(256) << 12);
                        default -> (long) input.next(256) << 12;
                    };
            add(new Page(domain, space, address & -1L << sizeLg2, sizeLg2, isGlobal, stages));
        }
        if (tlb.evicted() != 0) {
            // Some had to make room for others, which is no command's doing.
            tlb.all();
            pages.clear();
        }
    }

    private void add(Page page) {
        boolean isNew = all.stream().noneMatch(other -> isSame(page, other));
        if (isNew && fill(page)) {
            pages.add(page);
            all.add(page);
        }
    }

    private static boolean isSame(Page a, Page b) {
        return a.domain == b.domain
                && a.stages == b.stages
                && a.sizeLg2 == b.sizeLg2
                && a.first == b.first
                && a.isGlobal == b.isGlobal
                && (a.isGlobal || a.space == b.space);
    }

    private boolean fill(Page page) {
        return tlb.fill(
                tlb.epoch(),
                page.tag(),
                page.first,
                output(page),
                RIGHTS,
                page.sizeLg2,
                page.sizeLg2,
                page.isGlobal);
    }

    private long output(Page page) {
        return (long) (all.indexOf(page) + 1) << 40 & -1L << page.sizeLg2;
    }

    public static BigInteger unsigned(long number) {
        return new BigInteger(Long.toUnsignedString(number));
    }

    /** A command that was carried out takes these away. */
    public void take(Predicate<Page> which) {
        pages.removeIf(which);
    }

    /** Exactly those are there that no command has taken. */
    public void check(String what) {
        assertThat(tlb.size())
                .as("%s: pages that are left of %s", what, all)
                .isEqualTo(pages.size());
        for (Page page : pages) {
            assertThat(tlb.find(page.tag(), page.first))
                    .as("%s leaves %s", what, page)
                    .isNotEqualTo(Iotlb.NONE);
        }
    }
}
