// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.mapping.MapFlags.MMIO;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What every {@link MappingStore} does, whatever it is made of; granule 4 KiB. */
abstract class MappingStoreContract {
    private static final long PAGE = 0x1000;
    private static final long MIB2 = 1L << 21;
    private static final long GIB = 1L << 30;
    private static final int RW = READ | WRITE;

    private final MappingStore store = newStore();

    abstract MappingStore newStore();

    // Refusals

    @Test
    @Tag("D-43")
    @Tag("D-44")
    void unmapThatCutsAMappingAtItsStartIsRefusedAndChangesNothing() {
        map(0x10000, 0x13fff, 0x80000);

        assertThat(store.unmap(0x11000, 0x13fff)).isEqualTo(MappingStore.SPLITS);

        assertThat(all()).containsExactly("10000..13fff->80000 f3");
        assertThat(store.size()).isEqualTo(1);
    }

    @Test
    @Tag("D-43")
    @Tag("D-44")
    void unmapThatCutsAMappingAtItsEndIsRefusedAndChangesNothing() {
        map(0x10000, 0x13fff, 0x80000);

        assertThat(store.unmap(0x10000, 0x12fff)).isEqualTo(MappingStore.SPLITS);

        assertThat(all()).containsExactly("10000..13fff->80000 f3");
    }

    @Test
    void unmapInsideOfAMappingIsRefused() {
        map(0x10000, 0x1ffff, 0x80000);

        assertThat(store.unmap(0x14000, 0x15fff)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.splits(0x14000, 0x15fff)).isTrue();
    }

    @Test
    @Tag("D-43")
    @Tag("D-44")
    void unmapThatCutsAPageIsRefusedAndChangesNothing() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x12000, 0x13fff, 0x90000);

        assertThat(store.unmap(0x10800, 0x108ff)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(0x10001, 0x13fff)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(0x10000, 0x13ffe)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(0x12800, 0x5fffff)).isEqualTo(MappingStore.SPLITS);

        assertThat(all()).containsExactly("10000..10fff->80000 f3", "12000..13fff->90000 f3");
    }

    @Test
    void unmapThatBeginsAndEndsInsideOfEmptyPagesRemovesWhatIsBetween() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x12000, 0x13fff, 0x90000);

        assertThat(store.unmap(0xf800, 0x11800)).isEqualTo(1);
        assertThat(store.unmap(0x11fff, 0x14000)).isEqualTo(1);

        assertThat(all()).isEmpty();
    }

    @Test
    void unmapThatCutsTheSecondOfTwoMappingsLeavesTheFirst() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x11000, 0x12fff, 0x90000);

        assertThat(store.unmap(0x10000, 0x11fff)).isEqualTo(MappingStore.SPLITS);

        assertThat(all()).containsExactly("10000..10fff->80000 f3", "11000..12fff->90000 f3");
        assertThat(store.size()).isEqualTo(2);
    }

    @Test
    void unmapThatCutsAHugeMappingInsideOneOfItsLeavesIsRefused() {
        map(GIB, 3 * GIB - 1, 0);

        assertThat(store.unmap(GIB, GIB + MIB2 - 1)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(GIB, 2 * GIB - 1)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(2 * GIB, 3 * GIB - 1)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(0, GIB)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(3 * GIB - PAGE, -1L)).isEqualTo(MappingStore.SPLITS);

        assertThat(all()).containsExactly("40000000..bfffffff->0 f3");
    }

    @Test
    @Tag("D-33")
    void mapOverOnePageOfAMappingIsRefusedAndChangesNothing() {
        map(0x10000, 0x13fff, 0x80000);

        assertThat(store.map(0x13000, 0x20fff, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(0xf000, 0x10fff, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(0x11000, 0x11fff, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(0, -1L, 0, RW)).isEqualTo(MapResult.OVERLAPS);

        assertThat(all()).containsExactly("10000..13fff->80000 f3");
    }

    @Test
    void mapOfAPageInsideOfAHugeMappingIsRefused() {
        map(GIB, 2 * GIB - 1, 0);

        assertThat(store.map(GIB + 5 * PAGE, GIB + 6 * PAGE - 1, 0, RW))
                .isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(GIB + MIB2, GIB + 2 * MIB2 - 1, 0, RW)).isEqualTo(MapResult.OVERLAPS);
    }

    @Test
    void hugeMapOverASinglePageIsRefused() {
        map(GIB + MIB2 - PAGE, GIB + MIB2 - 1, 0);

        assertThat(store.map(GIB, 2 * GIB - 1, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.map(GIB, GIB + MIB2 - 1, 0, RW)).isEqualTo(MapResult.OVERLAPS);
    }

    @Test
    void lookupOfWhatIsNotMappedFindsNothing() {
        map(0x10000, 0x10fff, 0x80000);

        assertThat(look(0xffff)).isEqualTo("nothing");
        assertThat(look(0x11000)).isEqualTo("nothing");
        assertThat(look(0)).isEqualTo("nothing");
        assertThat(look(-1L)).isEqualTo("nothing");
        assertThat(look(1L << 48)).isEqualTo("nothing");
    }

    @Test
    void unmapOfNothingRemovesNothing() {
        map(0x10000, 0x10fff, 0x80000);

        assertThat(store.unmap(0x11000, -1L)).isZero();
        assertThat(store.unmap(0, 0xffff)).isZero();
        assertThat(store.unmap(0x12000, 0x12fff)).isZero();
        assertThat(store.size()).isEqualTo(1);
    }

    @Test
    void visitEndsWhenTheVisitorHasHeardEnough() {
        for (long page = 1; page <= 5; page++) {
            store.map(page * 0x2000, page * 0x2000 + 0xfff, 0x10_0000, READ);
        }

        for (int count = 1; count <= 5; count++) {
            assertThat(visitedUpTo(count, false)).isEqualTo(all().subList(0, count));
            assertThat(visitedUpTo(count, true)).isEqualTo(runs(0, -1L).subList(0, count));
        }
    }

    @Test
    void emptyStoreHasNothingAnywhere() {
        assertThat(store.unmap(0, -1L)).isZero();
        assertThat(store.overlaps(0, -1L)).isFalse();
        assertThat(store.splits(0x1000, 0x1fff)).isFalse();
        assertThat(look(0)).isEqualTo("nothing");
        assertThat(all()).isEmpty();
        assertThat(store.nearest(0x1000, (f, l, o, flags) -> true)).isFalse();
        assertThat(store.size()).isZero();
    }

    // What works

    @Test
    void lookupAnswersWithOutputAndFlagsOfTheMapping() {
        assertThat(store.map(0x10000, 0x11fff, 0x80000, READ)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x12000, 0x12fff, 0x1000, WRITE | MMIO)).isEqualTo(MapResult.DONE);

        assertThat(look(0x10000)).isEqualTo("80000 f1");
        assertThat(look(0x11fff)).isEqualTo("81fff f1");
        assertThat(look(0x12345)).isEqualTo("1345 f6");
    }

    @Test
    void lookupReachesOverTheWholeMappingIfSoMuchIsWanted() {
        map(0x10000, 0x1ffff, 0x80000);
        Extent found = new Extent();

        assertThat(store.lookup(0x11234, 0x1ffff - 0x11234 + 1, found)).isTrue();

        assertThat(found.last()).isEqualTo(0x1ffff);
    }

    @Test
    @Tag("D-37")
    void lookupDoesNotReachIntoAMappingWithOtherFlagsOrOutput() {
        assertThat(store.map(0x10000, 0x10fff, 0x80000, RW)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x11000, 0x11fff, 0x81000, READ)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x12000, 0x12fff, 0x82000, READ | MMIO)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x13000, 0x13fff, 0x80000, READ | MMIO)).isEqualTo(MapResult.DONE);
        Extent found = new Extent();

        for (long page = 0x10000; page <= 0x13000; page += PAGE) {
            assertThat(store.lookup(page, 0x10000, found)).isTrue();
            assertThat(found.last()).isEqualTo(page + PAGE - 1);
        }
    }

    @Test
    @Tag("D-45")
    void unmapOfARangeRemovesAllMappingsInside() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x12000, 0x14fff, 0x90000);
        map(0x20000, 0x20fff, 0xa0000);

        assertThat(store.unmap(0x10000, 0x1ffff)).isEqualTo(2);

        assertThat(all()).containsExactly("20000..20fff->a0000 f3");
        assertThat(look(0x13000)).isEqualTo("nothing");
    }

    @Test
    void unmapOfEverythingCountsMappingsOfAllSizes() {
        map(0, PAGE - 1, 5 * PAGE);
        map(MIB2, 2 * MIB2 - 1, 7 * PAGE);
        map(GIB + PAGE, 3 * GIB - PAGE - 1, PAGE);
        map(1L << 50, (1L << 51) - 1, 0);
        map(-PAGE, -1L, 0);

        assertThat(store.unmap(0, -1L)).isEqualTo(5);

        assertThat(all()).isEmpty();
        assertThat(store.size()).isZero();
    }

    @Test
    void neighboursStayTwoMappings() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x11000, 0x11fff, 0x81000);

        assertThat(all()).containsExactly("10000..10fff->80000 f3", "11000..11fff->81000 f3");
        assertThat(store.unmap(0x11000, 0x11fff)).isEqualTo(1);
        assertThat(look(0x10fff)).isEqualTo("80fff f3");
    }

    @Test
    void oneMappingOfTheWholeSpace() {
        map(0, -1L, 0);

        assertThat(look(0)).isEqualTo("0 f3");
        assertThat(look(-1L)).isEqualTo("ffffffffffffffff f3");
        assertThat(look(0x123456789abcdef0L)).isEqualTo("123456789abcdef0 f3");
        assertThat(all()).containsExactly("0..ffffffffffffffff->0 f3");
        assertThat(store.map(-PAGE, -1L, 0, RW)).isEqualTo(MapResult.OVERLAPS);
        assertThat(store.unmap(0, Long.MAX_VALUE)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(0, -1L)).isEqualTo(1);
        assertThat(all()).isEmpty();
    }

    @Test
    void mappingsAtBothEndsOfTheSpace() {
        map(0, PAGE - 1, 0x80000);
        map(-PAGE, -1L, 0x90000);

        assertThat(look(0)).isEqualTo("80000 f3");
        assertThat(look(-1L)).isEqualTo("90fff f3");
        assertThat(store.overlaps(PAGE, -PAGE - 1)).isFalse();
        assertThat(store.overlaps(PAGE, -1L)).isTrue();
        assertThat(store.unmap(PAGE, -1L)).isEqualTo(1);
        assertThat(all()).containsExactly("0..fff->80000 f3");
    }

    @Test
    void outputMayBeBelowTheIovaAndEndAtTheTop() {
        map(0x10000, 0x10fff, 0);
        map(0x20000, 0x21fff, -2 * PAGE);

        assertThat(look(0x10800)).isEqualTo("800 f3");
        assertThat(look(0x21fff)).isEqualTo("ffffffffffffffff f3");
    }

    @Test
    void hugeMappingThatIsAlignedNowhereIsExactAtItsBorders() {
        long first = 256 * GIB + PAGE;
        long last = first + GIB - 1;
        map(first, last, GIB + 3 * PAGE);

        assertThat(look(first - 1)).isEqualTo("nothing");
        assertThat(look(first)).isEqualTo(Long.toHexString(GIB + 3 * PAGE) + " f3");
        assertThat(look(last)).isEqualTo(Long.toHexString(2 * GIB + 3 * PAGE - 1) + " f3");
        assertThat(look(last + 1)).isEqualTo("nothing");
        assertThat(store.unmap(first, last - PAGE)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(first + PAGE, last)).isEqualTo(MappingStore.SPLITS);
        assertThat(store.unmap(first, last)).isEqualTo(1);
        assertThat(store.overlaps(0, -1L)).isFalse();
    }

    @Test
    void aLargeMappingFitsWhereSmallOnesWere() {
        for (long at = GIB; at < GIB + MIB2; at += PAGE) {
            map(at, at + PAGE - 1, at);
        }
        assertThat(store.unmap(GIB, GIB + MIB2 - 1)).isEqualTo(512);
        map(GIB, GIB + MIB2 - 1, 0);
        assertThat(store.unmap(GIB, GIB + MIB2 - 1)).isEqualTo(1);
        map(0, 4 * GIB - 1, 0);

        assertThat(look(GIB + 5)).isEqualTo("40000005 f3");
        assertThat(store.unmap(0, 4 * GIB - 1)).isEqualTo(1);
    }

    @Test
    void mappingsFarAboveAndThenFarBelow() {
        map(0x10000, 0x10fff, 1 << 20);
        map(1L << 62, (1L << 62) + PAGE - 1, 2 << 20);
        map(1L << 47, (1L << 47) + PAGE - 1, 3 << 20);

        assertThat(look(0x10000)).isEqualTo("100000 f3");
        assertThat(look(1L << 62)).isEqualTo("200000 f3");
        assertThat(look(1L << 47)).isEqualTo("300000 f3");
        assertThat(store.unmap(1L << 62, 1L << 63)).isEqualTo(1);
        assertThat(store.unmap(0, 1L << 48)).isEqualTo(2);
    }

    // Visits

    @Test
    void visitIncludesMappingsThatReachIntoTheRangeWithTheirExactBorders() {
        map(0x10000, 0x13fff, 0x80000);
        map(0x20000, 0x20fff, 0x90000);
        map(0x30000, 0x33fff, 0xa0000);

        assertThat(visited(0x13000, 0x30fff))
                .containsExactly(
                        "10000..13fff->80000 f3",
                        "20000..20fff->90000 f3",
                        "30000..33fff->a0000 f3");
        assertThat(visited(0x14000, 0x1ffff)).isEmpty();
        assertThat(visited(0x32000, 0x32fff)).containsExactly("30000..33fff->a0000 f3");
    }

    @Test
    void runsJoinNeighboursAndLeaveOutWhatIsNotWhollyInside() {
        map(0x10000, 0x10fff, 0x80000);
        map(0x11000, 0x13fff, 0x81000);
        map(0x14000, 0x14fff, 0x90000);
        assertThat(store.map(0x15000, 0x15fff, 0x91000, READ)).isEqualTo(MapResult.DONE);
        map(0x17000, 0x18fff, 0x93000);

        assertThat(runs(0, -1L))
                .containsExactly(
                        "10000..13fff->80000 f3",
                        "14000..14fff->90000 f3",
                        "15000..15fff->91000 f1",
                        "17000..18fff->93000 f3");
        assertThat(runs(0x10000, 0x17fff)).hasSize(3);
        assertThat(runs(0x12000, 0x14fff)).containsExactly("14000..14fff->90000 f3");
    }

    @Test
    void runsDoNotJoinMemoryAndMmio() {
        assertThat(store.map(0x10000, 0x10fff, 0x80000, RW)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x11000, 0x11fff, 0x81000, RW | MMIO)).isEqualTo(MapResult.DONE);
        assertThat(store.map(0x12000, 0x12fff, 0x82000, RW | MMIO)).isEqualTo(MapResult.DONE);

        assertThat(runs(0, -1L))
                .containsExactly("10000..10fff->80000 f3", "11000..12fff->81000 f7");
    }

    @Test
    void runsJoinLeavesOfDifferentSizesUpToTheEnd() {
        map(-2 * GIB, -GIB - 1, -2 * GIB);
        map(-GIB, -1L, -GIB);

        assertThat(runs(0, -1L))
                .containsExactly("ffffffff80000000..ffffffffffffffff->ffffffff80000000 f3");
    }

    @Test
    void nearestIsTheOneThatHoldsTheAddressElseTheLessDistant() {
        map(0x10000, 0x13fff, 0x80000);
        map(0x20000, 0x20fff, 0x90000);

        assertThat(nearest(0x12000)).isEqualTo("10000..13fff->80000 f3");
        assertThat(nearest(0)).isEqualTo("10000..13fff->80000 f3");
        assertThat(nearest(0x15000)).isEqualTo("10000..13fff->80000 f3");
        assertThat(nearest(0x1f000)).isEqualTo("20000..20fff->90000 f3");
        assertThat(nearest(-1L)).isEqualTo("20000..20fff->90000 f3");
    }

    private void map(long first, long last, long output) {
        assertThat(store.map(first, last, output, RW)).isEqualTo(MapResult.DONE);
    }

    private String look(long iova) {
        Extent found = new Extent();
        if (!store.lookup(iova, 1, found)) {
            return "nothing";
        }
        assertThat(Long.compareUnsigned(found.last(), iova)).isNotNegative();
        return Long.toHexString(iova + found.delta()) + " f" + found.flags();
    }

    private List<String> all() {
        return visited(0, -1L);
    }

    private List<String> visited(long first, long last) {
        List<String> list = new ArrayList<>();
        store.mappings(first, last, (f, l, o, flags) -> list.add(text(f, l, o, flags)));
        return list;
    }

    private List<String> runs(long first, long last) {
        List<String> list = new ArrayList<>();
        store.runs(first, last, (f, l, o, flags) -> list.add(text(f, l, o, flags)));
        return list;
    }

    private List<String> visitedUpTo(int count, boolean areRuns) {
        List<String> list = new ArrayList<>();
        RunVisitor visitor =
                (f, l, o, flags) -> {
                    list.add(text(f, l, o, flags));
                    return list.size() < count;
                };
        if (areRuns) {
            store.runs(0, -1L, visitor);
        } else {
            store.mappings(0, -1L, visitor);
        }
        return list;
    }

    private String nearest(long iova) {
        List<String> list = new ArrayList<>();
        assertThat(store.nearest(iova, (f, l, o, flags) -> list.add(text(f, l, o, flags))))
                .isTrue();
        assertThat(list).hasSize(1);
        return list.getFirst();
    }

    private static String text(long first, long last, long output, int flags) {
        return "%x..%x->%x f%d".formatted(first, last, output, flags);
    }
}
