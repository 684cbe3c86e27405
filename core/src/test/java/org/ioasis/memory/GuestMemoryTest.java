// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.ioasis.memory.GuestMemory.Change;
import org.ioasis.virtqueue.Allocation;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The table of regions: lookups in every part of its index, and changes that are refused. */
class GuestMemoryTest {
    private static final long MIB_2 = 2L << 20;
    private static final long GIB = 1L << 30;

    private final Guards guards = new Guards(new HandClock(), lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 8);

    private @Nullable Region find(long gpa) {
        return memory.find(gpa);
    }

    private List<Region> regions() {
        List<Region> regions = new ArrayList<>();
        memory.forEachRegion(regions::add);
        return regions;
    }

    @Test
    void nothingIsFoundInAnEmptyTable() {
        assertThat(find(0)).isNull();
        assertThat(find(-1L)).isNull();
        assertThat(find(1L << 37)).isNull();
    }

    @Test
    void overlapIsRefusedAndChangesNothing() {
        Region there = Ram.ram(0x10000, 0x2000);
        memory.add(there);

        assertThat(memory.add(Ram.ram(0x11fff, 1))).isEqualTo(Change.OVERLAPS);
        assertThat(memory.add(Ram.ram(0xf000, 0x1001))).isEqualTo(Change.OVERLAPS);
        assertThat(memory.add(Ram.rom(0, 1L << 40))).isEqualTo(Change.OVERLAPS);
        assertThat(memory.add(Ram.rom(0x10800, 1))).isEqualTo(Change.OVERLAPS);

        assertThat(regions()).containsExactly(there);
        assertThat(find(0xffff)).isNull();
        assertThat(find(0x12000)).isNull();
    }

    @Test
    void neighboursDoNotOverlap() {
        assertThat(memory.add(Ram.ram(0x10000, 0x1000))).isEqualTo(Change.DONE);
        assertThat(memory.add(Ram.ram(0x11000, 0x1000))).isEqualTo(Change.DONE);
        assertThat(memory.add(Ram.ram(0xf000, 0x1000))).isEqualTo(Change.DONE);
        assertThat(memory.regionCount()).isEqualTo(3);
    }

    @Test
    void atTheLimitARegionIsRefusedAndTheOthersStay() {
        for (int i = 0; i < 8; i++) {
            assertThat(memory.add(Ram.ram(i * 0x10000L, 0x1000))).isEqualTo(Change.DONE);
        }

        assertThat(memory.add(Ram.ram(0x1000000, 0x1000))).isEqualTo(Change.LIMIT);

        assertThat(memory.regionCount()).isEqualTo(8);
        assertThat(find(0x1000000)).isNull();
        assertThat(memory.remove(0x70000, 0x70fff, () -> {})).isEqualTo(Change.DONE);
        assertThat(memory.add(Ram.ram(0x1000000, 0x1000))).isEqualTo(Change.DONE);
    }

    @Test
    void removalThatWouldCutARegionIsRefusedAndChangesNothing() {
        Region low = Ram.ram(0x10000, 0x2000);
        Region high = Ram.ram(0x20000, 0x2000);
        memory.add(low);
        memory.add(high);
        long[][] cuts = {
            {0x10000, 0x10fff},
            {0x11000, 0x11fff},
            {0x10800, 0x117ff},
            {0xf000, 0x11ffe},
            {0x10000, 0x20fff},
            {0x11000, 0x21fff},
            {0, 0x20000},
            {0x11fff, -1L}
        };
        for (long[] cut : cuts) {
            assertThat(memory.remove(cut[0], cut[1], () -> fail("removed")))
                    .as("0x%x..0x%x", cut[0], cut[1])
                    .isEqualTo(Change.CUTS);
        }

        assertThat(regions()).containsExactly(low, high);
        assertThat(find(0x10000)).isSameAs(low);
        assertThat(find(0x21fff)).isSameAs(high);
    }

    @Test
    void removalWhereNothingIsIsMissing() {
        memory.add(Ram.ram(0x10000, 0x2000));

        assertThat(memory.remove(0, 0xffff, () -> fail("removed"))).isEqualTo(Change.MISSING);
        assertThat(memory.remove(0x12000, -1L, () -> fail("removed"))).isEqualTo(Change.MISSING);

        assertThat(memory.regionCount()).isOne();
    }

    @Test
    void removalTakesEveryRegionThatLiesWholeInIt() {
        Region below = Ram.ram(0, 0x1000);
        Region above = Ram.ram(4 * MIB_2, 0x1000);
        memory.add(below);
        memory.add(above);
        memory.add(Ram.ram(0x1000, 0x1000));
        memory.add(Ram.ram(MIB_2 - 0x1000, 0x2000));
        memory.add(Ram.ram(2 * MIB_2, MIB_2));
        List<String> unused = new ArrayList<>();

        assertThat(memory.remove(0x1000, 4 * MIB_2 - 1, () -> unused.add("three")))
                .isEqualTo(Change.DONE);

        assertThat(unused).containsExactly("three");
        assertThat(regions()).containsExactly(below, above);
        for (long gpa : new long[] {0x1000, MIB_2 - 1, MIB_2, 2 * MIB_2, 3 * MIB_2 - 1}) {
            assertThat(find(gpa)).as("0x%x", gpa).isNull();
        }
        assertThat(memory.remove(0, -1L, () -> unused.add("all"))).isEqualTo(Change.DONE);
        assertThat(unused).containsExactly("three", "all");
        assertThat(regions()).isEmpty();
    }

    @Test
    void asManyRegionsAsThereMayBeCostNoMoreEachThanAFew() {
        GuestMemory many = new GuestMemory(guards, GuestMemory.REGION_LIMIT);
        Allocation allocation = new Allocation();
        List<Region> pages = new ArrayList<>();
        for (int i = 0; i < GuestMemory.REGION_LIMIT; i++) {
            // In no order that a list would like, over 256 MiB and, one in four, far above.
            long page = (i * 40_504L) % GuestMemory.REGION_LIMIT;
            pages.add(Ram.rom((i % 4 == 0 ? 1L << 50 : 0) + page * 0x1000, 0x1000));
        }

        long before = allocation.bytes();
        for (Region page : pages) {
            assertThatAdded(many, page);
        }
        long perRegion = (allocation.bytes() - before) / pages.size();

        assertThat(perRegion).isLessThan(2048);
        assertThat(many.regionCount()).isEqualTo(GuestMemory.REGION_LIMIT);
        assertThat(many.add(Ram.rom(1L << 60, 0x1000))).isEqualTo(Change.LIMIT);
        assertThat(many.find(1L << 60)).isNull();
        // The first comparison of records is linked, which is not what a look-up costs.
        assertThat(many.find(pages.getFirst().gpaFirst())).isEqualTo(pages.getFirst());
        before = allocation.bytes();
        for (Region page : pages) {
            boolean isFound =
                    page.equals(many.find(page.gpaFirst()))
                            && page.equals(many.find(page.gpaLast()));
            if (!isFound) {
                fail("not found: " + page);
            }
        }
        assertThat(allocation.bytes() - before).as("lookups").isLessThan(4096);
        assertThat(many.remove(0, -1L, () -> {})).isEqualTo(Change.DONE);
        assertThat(many.regionCount()).isZero();
    }

    private static void assertThatAdded(GuestMemory memory, Region region) {
        if (memory.add(region) != Change.DONE) {
            fail("not added: " + region);
        }
    }

    @Test
    void accessToARegionWithoutADescriptorIsRefusedAndCounted() {
        memory.add(new Region(0x1000, 0x1fff, null, true, null));
        memory.add(Ram.readOnly(0x2000, 0x1000));
        DirectDma dma = new DirectDma(memory, guards.open());
        MemorySegment bytes = MemorySegment.ofArray(new byte[16]);

        dma.enter();
        assertThat(dma.write(0x1000, bytes, 0, 16)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.read(0x1ff8, bytes, 0, 8)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.read(0x2000, bytes, 0, 16)).isEqualTo(Outcome.OK);
        assertThat(dma.write(0x2000, bytes, 0, 16)).isEqualTo(Outcome.REFUSED);
        dma.leave();

        assertThat(memory.unreachableAccesses()).isEqualTo(2);
    }

    @Test
    void regionsThatShareABlockOfTheIndexAreToldApart() {
        Region low = Ram.ram(MIB_2 - 0x1000, 0x1800); // over the border of two blocks
        Region high = Ram.ram(MIB_2 + 0x1000, 0x1000);
        Region end = Ram.ram(2 * MIB_2 - 0x1000, 0x1000);
        memory.add(end);
        memory.add(low);
        memory.add(high);

        assertThat(find(MIB_2 - 0x1001)).isNull();
        assertThat(find(MIB_2 - 0x1000)).isSameAs(low);
        assertThat(find(MIB_2)).isSameAs(low);
        assertThat(find(MIB_2 + 0x7ff)).isSameAs(low);
        assertThat(find(MIB_2 + 0x800)).isNull();
        assertThat(find(MIB_2 + 0x1000)).isSameAs(high);
        assertThat(find(2 * MIB_2 - 0x1001)).isNull();
        assertThat(find(2 * MIB_2 - 1)).isSameAs(end);
        assertThat(find(2 * MIB_2)).isNull();
    }

    @Test
    void wholeBlocksAreFoundToTheirLastByte() {
        Region region = Ram.ram(3 * MIB_2, 2 * MIB_2);
        memory.add(region);

        assertThat(find(3 * MIB_2 - 1)).isNull();
        assertThat(find(3 * MIB_2)).isSameAs(region);
        assertThat(find(5 * MIB_2 - 1)).isSameAs(region);
        assertThat(find(5 * MIB_2)).isNull();
    }

    @Test
    void regionsAboveTheIndexAreFound() {
        Region across = Ram.rom(127 * GIB, 2 * GIB); // the index ends at 128 GiB
        Region far = Ram.ram(1L << 45, 0x1000);
        memory.add(far);
        memory.add(across);

        assertThat(find(127 * GIB)).isSameAs(across);
        assertThat(find(128 * GIB - 1)).isSameAs(across);
        assertThat(find(128 * GIB)).isSameAs(across);
        assertThat(find(129 * GIB - 1)).isSameAs(across);
        assertThat(find(129 * GIB)).isNull();
        assertThat(find((1L << 45) + 0xfff)).isSameAs(far);
        assertThat(find((1L << 45) + 0x1000)).isNull();
    }

    @Test
    @Tag("P-09")
    @DisplayName("P-09: a region may end at 2^64-1")
    void aRegionMayEndAtTheLastAddress() {
        Region last = Ram.ram(-0x1000L, 0x1000);
        Region beforeSignBit = Ram.rom(Long.MAX_VALUE - 0xfff, 0x1000);
        Region afterSignBit = Ram.rom(Long.MIN_VALUE, 0x1000);
        memory.add(last);
        memory.add(afterSignBit);
        memory.add(beforeSignBit);

        assertThat(find(-1L)).isSameAs(last);
        assertThat(find(-0x1000L)).isSameAs(last);
        assertThat(find(-0x1001L)).isNull();
        assertThat(find(0)).isNull();
        assertThat(find(Long.MAX_VALUE)).isSameAs(beforeSignBit);
        assertThat(find(Long.MIN_VALUE)).isSameAs(afterSignBit);
        assertThat(regions()).containsExactly(beforeSignBit, afterSignBit, last);
    }

    @Test
    void oneRegionMayBeAllAddresses() {
        Region all = Ram.rom(0, 0); // size 2^64
        memory.add(all);

        assertThat(find(0)).isSameAs(all);
        assertThat(find(-1L)).isSameAs(all);
        assertThat(find(128 * GIB)).isSameAs(all);
        assertThat(memory.add(Ram.ram(0x1000, 0x1000))).isEqualTo(Change.OVERLAPS);
    }

    @Test
    void aRegionOfTheWrongSizeIsNotMade() {
        assertThatThrownBy(() -> new Region(0x2000, 0x1fff, null, false, null))
                .isInstanceOf(IllegalArgumentException.class);
        Region good = Ram.ram(0, 0x1000);
        assertThatThrownBy(() -> new Region(0, 0x1fff, good.segment(), true, null))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void limitsOutsideTheIndexAreRefused() {
        assertThatThrownBy(() -> new GuestMemory(guards, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new GuestMemory(guards, 65536))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void clearRemovesEverything() {
        memory.add(Ram.ram(0, 0x1000));
        memory.add(Ram.ram(-0x1000L, 0x1000));
        List<String> unused = new ArrayList<>();

        memory.clear(() -> unused.add("all"));

        assertThat(unused).containsExactly("all");
        assertThat(memory.regionCount()).isZero();
        assertThat(find(0)).isNull();
        assertThat(find(-1L)).isNull();
    }

    @Test
    void randomRegionsAreFoundAsALinearSearchFindsThem() {
        long seed = 20261120;
        SplittableRandom random = new SplittableRandom(seed);
        long[] bases = {0, MIB_2, GIB, 127 * GIB, 128 * GIB, Long.MAX_VALUE, -MIB_2 * 4};
        int goneAndFree = 0;
        int present = 0;
        for (int round = 0; round < 300; round++) {
            GuestMemory many = new GuestMemory(guards, 64);
            List<Region> model = new ArrayList<>();
            List<Region> removed = new ArrayList<>();
            for (int i = 0; i < 60; i++) {
                long first = bases[random.nextInt(bases.length)] + random.nextLong(8 * MIB_2);
                long size = 1 + random.nextLong(random.nextBoolean() ? 0x3000 : 4 * MIB_2);
                if (Long.compareUnsigned(first + (size - 1), first) < 0) {
                    continue;
                }
                Region region = Ram.rom(first, size);
                boolean overlaps =
                        model.stream().anyMatch(r -> r.overlaps(first, first + (size - 1)));
                assertThat(many.add(region))
                        .as("seed %d round %d", seed, round)
                        .isEqualTo(overlaps ? Change.OVERLAPS : Change.DONE);
                if (!overlaps) {
                    model.add(region);
                }
                if (random.nextInt(4) == 0 && !model.isEmpty()) {
                    Region gone = model.remove(random.nextInt(model.size()));
                    assertThat(many.remove(gone.gpaFirst(), gone.gpaLast(), () -> {}))
                            .as("seed %d round %d", seed, round)
                            .isEqualTo(Change.DONE);
                    removed.add(gone);
                }
            }
            for (Region gone : removed) {
                long gpa = gone.gpaFirst();
                if (model.stream().noneMatch(r -> r.overlaps(gpa, gpa))) {
                    assertThat(many.find(gpa)).as("seed %d round %d", seed, round).isNull();
                    goneAndFree++;
                }
            }
            present += model.size();
            for (Region region : model) {
                for (long gpa :
                        new long[] {
                            region.gpaFirst() - 1,
                            region.gpaFirst(),
                            region.gpaLast(),
                            region.gpaLast() + 1,
                            region.gpaFirst()
                                    + Long.remainderUnsigned(
                                            random.nextLong(),
                                            region.gpaLast() - region.gpaFirst() + 1)
                        }) {
                    Region expected =
                            model.stream().filter(r -> r.overlaps(gpa, gpa)).findAny().orElse(null);
                    assertThat(many.find(gpa))
                            .as("seed %d round %d gpa 0x%x", seed, round, gpa)
                            .isSameAs(expected);
                }
            }
        }
        assertThat(goneAndFree).as("looked for after their removal").isGreaterThan(1000);
        assertThat(present).as("found").isGreaterThan(1000);
    }
}
