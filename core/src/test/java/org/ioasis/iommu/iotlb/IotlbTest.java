// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.iotlb.Iotlb.Scope;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.Rights;
import org.junit.jupiter.api.Test;

/** What is found, and what each scope of an invalidation takes and leaves (facts 6.2, 6.4, 7). */
class IotlbTest {
    private static final int BOTH = Iotlb.FIRST | Iotlb.SECOND;
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;

    private final Iotlb tlb = new Iotlb(256);

    private void fill(int domain, int space, int stages, long iova, int pageLg2, boolean global) {
        fill(domain, space, stages, iova, pageLg2, pageLg2, global);
    }

    private void fill(
            int domain,
            int space,
            int stages,
            long iova,
            int pageLg2,
            int leafLg2,
            boolean global) {
        long tag = Iotlb.tag(domain, space, stages);
        long output = iova + 0x7000_0000_0000L;
        assertThat(tlb.fill(tlb.epoch(), tag, iova, output, READ_WRITE, pageLg2, leafLg2, global))
                .isTrue();
    }

    private boolean has(int domain, int space, int stages, long iova) {
        long found = tlb.find(Iotlb.tag(domain, space, stages), iova);
        if (found == Iotlb.NONE) {
            return false;
        }
        assertThat(Iotlb.output(found, iova)).isEqualTo(iova + 0x7000_0000_0000L);
        assertThat(Iotlb.rights(found)).isEqualTo(READ_WRITE);
        return true;
    }

    @Test
    void anEntryIsFoundThroughoutItsPageByItsDomainSpaceAndStages() {
        fill(1, 2, BOTH, 0x1234_5000L, 12, false);
        fill(1, 3, BOTH, 0x4000_0000L, 21, false);
        assertThat(has(1, 2, BOTH, 0x1234_5fffL)).isTrue();
        assertThat(has(1, 2, BOTH, 0x1234_6000L)).isFalse();
        assertThat(has(1, 3, BOTH, 0x1234_5000L)).isFalse();
        assertThat(has(2, 2, BOTH, 0x1234_5000L)).isFalse();
        assertThat(has(1, 2, Iotlb.FIRST, 0x1234_5000L)).isFalse();
        assertThat(has(1, 3, BOTH, 0x401f_ffffL)).isTrue();
        assertThat(has(1, 3, BOTH, 0x4020_0000L)).isFalse();
        long found = tlb.find(Iotlb.tag(1, 3, BOTH), 0x4012_3456L);
        assertThat(Iotlb.pageLg2(found)).isEqualTo(21);
    }

    @Test
    void theLargestAndTheHighestPagesAreEntriesLikeAnyOther() {
        long tag = Iotlb.tag(-1, 0xff_ffff, BOTH);
        assertThat(tlb.fill(tlb.epoch(), tag, -1L, 0xfff, 1, 12, 12, false)).isTrue();
        assertThat(Iotlb.output(tlb.find(tag, -1L), -1L)).isEqualTo(0xfff);
        assertThat(tlb.fill(tlb.epoch(), tag, 5, 6, 1, 63, 63, false)).isTrue();
        assertThat(Iotlb.output(tlb.find(tag, 0x1234), 0x1234)).isEqualTo(0x1234);
        // All of 2^64, and pages below 4 KiB, are kept by nobody.
        assertThat(tlb.fill(tlb.epoch(), tag, 0, 0, 1, 64, 64, false)).isFalse();
        assertThat(tlb.fill(tlb.epoch(), tag, 0, 0, 1, 11, 11, false)).isFalse();
        assertThat(tlb.range(-1, 0xff_ffff, -1L, -1L, 12)).isEqualTo(1);
        assertThat(tlb.find(tag, -1L)).isEqualTo(Iotlb.NONE);
        assertThat(tlb.range(-1, 0xff_ffff, 0, -1L, 0)).isEqualTo(1);
    }

    @Test
    void aGlobalEntryIsFoundInEverySpaceOfItsDomainAndInNoOther() {
        fill(1, 2, BOTH, 0x5000, 12, true);
        assertThat(has(1, 7, BOTH, 0x5000)).isTrue();
        assertThat(has(2, 2, BOTH, 0x5000)).isFalse();
    }

    @Test
    void aSpaceIsInvalidatedWithoutWhatIsGlobal() {
        fill(1, 2, BOTH, 0x5000, 12, false);
        fill(1, 2, BOTH, 0x6000, 12, true);
        fill(1, 3, BOTH, 0x5000, 12, false);
        fill(1, 2, Iotlb.SECOND, 0x5000, 12, false);
        fill(2, 2, BOTH, 0x5000, 12, false);
        assertThat(tlb.space(1, 2)).isEqualTo(1);
        assertThat(has(1, 2, BOTH, 0x5000)).isFalse();
        assertThat(has(1, 2, BOTH, 0x6000)).isTrue();
        assertThat(has(1, 3, BOTH, 0x5000)).isTrue();
        assertThat(has(1, 2, Iotlb.SECOND, 0x5000)).isTrue();
        assertThat(has(2, 2, BOTH, 0x5000)).isTrue();
        assertThat(tlb.removed(Scope.SPACE)).isEqualTo(1);
        assertThat(tlb.commands(Scope.SPACE)).isEqualTo(1);
    }

    @Test
    void aDomainGoesWithAllItsSpacesAndTheFirstStageWithoutTheSecondAlone() {
        fill(1, 2, BOTH, 0x5000, 12, false);
        fill(1, 3, Iotlb.FIRST, 0x6000, 12, true);
        fill(1, 0, Iotlb.SECOND, 0x5000, 12, false);
        fill(2, 2, BOTH, 0x5000, 12, false);
        assertThat(tlb.firstStage(1)).isEqualTo(2);
        assertThat(has(1, 0, Iotlb.SECOND, 0x5000)).isTrue();
        assertThat(tlb.domain(1)).isEqualTo(1);
        assertThat(has(2, 2, BOTH, 0x5000)).isTrue();
        assertThat(tlb.all()).isEqualTo(1);
        assertThat(tlb.size()).isZero();
    }

    @Test
    void whoEndsWhatOthersHaveBegunOrBeginsTwiceIsRefusedAndTheRestGoesOn() throws Exception {
        fill(1, 2, BOTH, 0x5000, 12, false);
        fill(1, 2, BOTH, 0x6000, 12, false);
        assertThatThrownBy(tlb::end).isInstanceOf(IllegalStateException.class);
        tlb.begin();
        assertThat(tlb.range(1, 2, 0x5000, 0x5fff, 0)).isEqualTo(1);
        assertThatThrownBy(tlb::begin).isInstanceOf(IllegalStateException.class);
        try (ExecutorService other = Executors.newSingleThreadExecutor()) {
            assertThatThrownBy(() -> other.submit(tlb::end).get(1, TimeUnit.MINUTES))
                    .hasCauseInstanceOf(IllegalStateException.class);
            assertThat(tlb.range(1, 2, 0x6000, 0x6fff, 0)).as("still together").isEqualTo(1);
            tlb.end();
            fill(1, 2, BOTH, 0x5000, 12, false);
            Callable<Long> taken = () -> tlb.space(1, 2);
            assertThat(other.submit(taken).get(1, TimeUnit.MINUTES)).isEqualTo(1);
        }
        assertThatThrownBy(tlb::end).isInstanceOf(IllegalStateException.class);
        assertThat(tlb.size()).isZero();
    }

    @Test
    void aRangeTakesItsOwnPagesAndTheGlobalOnesAndNoNeighbours() {
        for (long page = 0x4000; page <= 0x9000; page += 0x1000) {
            fill(1, 2, BOTH, page, 12, false);
        }
        fill(1, 9, BOTH, 0x1_6000, 12, true);
        fill(1, 3, BOTH, 0x6000, 12, false);
        assertThat(tlb.range(1, 2, 0x5800, 0x7000, 0)).isEqualTo(3);
        assertThat(has(1, 2, BOTH, 0x4000)).isTrue();
        assertThat(has(1, 2, BOTH, 0x8000)).isTrue();
        assertThat(has(1, 3, BOTH, 0x6000)).isTrue();
        assertThat(tlb.range(1, 2, 0x1_6000, 0x1_6fff, 0)).isEqualTo(1);
        assertThat(has(1, 9, BOTH, 0x1_6000)).isFalse();
        // A range that no look page by page is worth is looked for in every set.
        assertThat(tlb.range(1, 2, 0, 1L << 40, 0)).isEqualTo(3);
        assertThat(tlb.everySpace(1, 0x6000, 0x6000, 0)).isEqualTo(1);
        assertThat(tlb.size()).isZero();
    }

    @Test
    void anEntryGoesWithAnyPartOfThePageOfTheFirstStageThatItWasMadeFrom() {
        // A page of 2 MiB behind pages of 4 KiB, of which three were used.
        for (long page : new long[] {0x40_0000, 0x41_5000, 0x5f_f000}) {
            fill(1, 2, BOTH, page, 12, 21, false);
        }
        fill(1, 2, BOTH, 0x60_0000, 12, 21, false);
        assertThat(tlb.range(1, 2, 0x40_7000, 0x40_7fff, 0)).isEqualTo(3);
        assertThat(has(1, 2, BOTH, 0x60_0000)).isTrue();
    }

    @Test
    void aHintOfTheLevelLeavesPagesOfOtherLevels() {
        fill(1, 2, BOTH, 0x20_0000, 21, false);
        fill(1, 2, BOTH, 0x30_0000, 12, false);
        // Sixteen contiguous pages are of the lowest level, too.
        fill(1, 2, BOTH, 0x31_0000, 16, false);
        assertThat(tlb.range(1, 2, 0x20_0000, 0x3f_ffff, 12)).isEqualTo(2);
        assertThat(has(1, 2, BOTH, 0x20_0000)).isTrue();
        assertThat(tlb.range(1, 2, 0x20_0000, 0x20_0fff, 21)).isEqualTo(1);
    }

    @Test
    void aRangeBetweenTheStagesTakesTheSecondByAddressAndTheNestedOnesAll() {
        fill(1, 0, Iotlb.SECOND, 0x5000, 12, false);
        fill(1, 0, Iotlb.SECOND, 0x8000, 12, false);
        fill(1, 2, BOTH, 0x10_0000, 12, false);
        fill(1, 2, Iotlb.FIRST, 0x5000, 12, false);
        assertThat(tlb.secondRange(1, 0x5000, 0x5fff)).isEqualTo(2);
        assertThat(has(1, 0, Iotlb.SECOND, 0x8000)).isTrue();
        assertThat(has(1, 2, Iotlb.FIRST, 0x5000)).isTrue();
        assertThat(tlb.removed(Scope.SECOND_RANGE)).isEqualTo(2);
    }

    @Test
    void whatWasFilledBeforeAnInvalidationIsNotKept() {
        long epoch = tlb.epoch();
        tlb.domain(77);
        long tag = Iotlb.tag(1, 2, BOTH);
        assertThat(tlb.fill(epoch, tag, 0x5000, 0x9000, READ_WRITE, 12, 12, false)).isFalse();
        assertThat(tlb.find(tag, 0x5000)).isEqualTo(Iotlb.NONE);
        assertThat(tlb.size()).isZero();
        assertThat(tlb.unkept()).isEqualTo(1);
        assertThat(tlb.filled()).isZero();
    }

    @Test
    void whatIsSmallerThanAPageIsNotKeptAndCounted() {
        long tag = Iotlb.tag(1, 2, BOTH);
        assertThat(tlb.fill(tlb.epoch(), tag, 0x5000, 0x9000, READ_WRITE, 11, 12, false)).isFalse();
        assertThat(tlb.find(tag, 0x5000)).isEqualTo(Iotlb.NONE);
        assertThat(tlb.unkept()).isEqualTo(1);
    }

    @Test
    void aSecondFillOfAPageReplacesTheFirst() {
        long tag = Iotlb.tag(1, 2, BOTH);
        tlb.fill(tlb.epoch(), tag, 0x5000, 0x9000, Rights.READ, 12, 12, false);
        tlb.fill(tlb.epoch(), tag, 0x5000, 0x9000, READ_WRITE, 12, 12, false);
        assertThat(tlb.size()).isEqualTo(1);
        assertThat(Iotlb.rights(tlb.find(tag, 0x5000))).isEqualTo(READ_WRITE);
    }

    @Test
    void thereAreNeverMoreEntriesThanItsCapacityAndThoseThatGoAreCounted() {
        Iotlb small = new Iotlb(Iotlb.ENTRIES_MIN);
        long tag = Iotlb.tag(1, 2, BOTH);
        for (long page = 0; page < 1000; page++) {
            long at = page << 12;
            assertThat(small.fill(small.epoch(), tag, at, at, 1, 12, 12, false)).isTrue();
            assertThat(small.find(tag, at)).isNotEqualTo(Iotlb.NONE);
        }
        assertThat(small.size()).isEqualTo(small.capacity()).isEqualTo(16);
        assertThat(small.filled()).isEqualTo(1000);
        assertThat(small.evicted()).isEqualTo(1000 - 16);
        for (int entries : new int[] {0, 8, 24, 1 << 21}) {
            assertThatThrownBy(() -> new Iotlb(entries))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    private record Line(
            int domain,
            int space,
            int stages,
            long page,
            int pageLg2,
            int leafLg2,
            boolean global) {
        boolean isOf(int of) {
            return domain == of;
        }

        boolean isFirst() {
            return (stages & Iotlb.FIRST) != 0;
        }

        boolean touches(long first, long last) {
            long from = page & -1L << leafLg2;
            return Long.compareUnsigned(from, last) <= 0
                    && Long.compareUnsigned(from | Bits.mask(leafLg2), first) >= 0;
        }
    }

    @Test
    void everyScopeTakesWhatAPlainListSaysOverRandomEntriesAndCommands() {
        long seed = System.nanoTime();
        System.out.println("iotlb seed " + seed);
        Random random = new Random(seed);
        List<Line> model = new ArrayList<>();
        Iotlb large = new Iotlb(1 << 17);
        long taken = 0;
        for (int round = 0; round < 4000; round++) {
            for (int i = random.nextInt(12); i > 0; i--) {
                int pageLg2 = random.nextInt(4) == 0 ? 21 : 12;
                int leafLg2 = round > 2000 && random.nextInt(8) == 0 ? 21 : pageLg2;
                long page = (long) random.nextInt(1 << 12) << 12 & -1L << pageLg2;
                boolean global = random.nextInt(8) == 0;
                int stages = 1 + random.nextInt(3);
                int space = global ? 0 : random.nextInt(4);
                Line line =
                        new Line(random.nextInt(3), space, stages, page, pageLg2, leafLg2, global);
                long tag = Iotlb.tag(line.domain, line.space, line.stages);
                assertThat(large.fill(large.epoch(), tag, page, page, 1, pageLg2, leafLg2, global))
                        .isTrue();
                model.removeIf(other ->
                        other.domain == line.domain
                                && other.space == line.space
                                && other.stages == line.stages
                                && other.page == line.page
                                && other.pageLg2 == line.pageLg2
                                && other.global == line.global);
                model.add(line);
            }
            int domain = random.nextInt(3);
            int space = random.nextInt(4);
            long first = (long) random.nextInt(1 << 24);
            long last = first + random.nextInt(1 << (1 + random.nextInt(23)));
            int before = model.size();
            long went =
                    switch (random.nextInt(16)) {
                        case 0 -> {
                            model.removeIf(line -> line.isOf(domain));
                            yield large.domain(domain);
                        }
                        case 1 -> {
                            model.removeIf(line -> line.isOf(domain) && line.isFirst());
                            yield large.firstStage(domain);
                        }
                        case 2, 3 -> {
                            model.removeIf(line ->
                                    line.isOf(domain)
                                            && line.isFirst()
                                            && !line.global
                                            && line.space == space);
                            yield large.space(domain, space);
                        }
                        case 4, 5 -> {
                            model.removeIf(line ->
                                    line.isOf(domain)
                                            && line.isFirst()
                                            && line.touches(first, last));
                            yield large.everySpace(domain, first, last, 0);
                        }
                        case 6 -> {
                            model.removeIf(line ->
                                    line.isOf(domain)
                                            && (line.stages == 3
                                                    || (line.stages == 2
                                                            && line.touches(first, last))));
                            yield large.secondRange(domain, first, last);
                        }
                        default -> {
                            model.removeIf(line ->
                                    line.isOf(domain)
                                            && line.isFirst()
                                            && (line.global || line.space == space)
                                            && line.touches(first, last));
                            yield large.range(domain, space, first, last, 0);
                        }
                    };
            assertThat(large.evicted()).as("room for all").isZero();
            assertThat(went).as("seed %d round %d", seed, round).isEqualTo(before - model.size());
            assertThat(large.size()).isEqualTo(model.size());
            taken += went;
        }
        assertThat(taken).isGreaterThan(5_000);
        for (Line line : model) {
            long tag = Iotlb.tag(line.domain, line.space, line.stages);
            assertThat(large.find(tag, line.page)).isNotEqualTo(Iotlb.NONE);
        }
    }
}
