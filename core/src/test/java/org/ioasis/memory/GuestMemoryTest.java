// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.ioasis.memory.GuestMemory.Change;
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
        return memory.table().find(gpa);
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

        assertThat(memory.regionCount()).isEqualTo(1);
        assertThat(memory.region(0)).isSameAs(there);
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
    void onlyTheExactRegionIsRemoved() {
        memory.add(Ram.ram(0x10000, 0x2000));
        List<String> unused = new ArrayList<>();

        assertThat(memory.remove(0x10000, 0x10fff, () -> unused.add("part")))
                .isEqualTo(Change.MISSING);
        assertThat(memory.remove(0x11000, 0x11fff, () -> unused.add("end")))
                .isEqualTo(Change.MISSING);
        assertThat(memory.remove(0, -1L, () -> unused.add("all"))).isEqualTo(Change.MISSING);

        assertThat(unused).isEmpty();
        assertThat(memory.regionCount()).isEqualTo(1);
        assertThat(memory.remove(0x10000, 0x11fff, () -> unused.add("exact")))
                .isEqualTo(Change.DONE);
        assertThat(unused).containsExactly("exact");
        assertThat(find(0x10000)).isNull();
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
        assertThat(memory.region(0)).isSameAs(beforeSignBit);
        assertThat(memory.region(2)).isSameAs(last);
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
        assertThatThrownBy(() -> new GuestMemory(guards, 32768))
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
        for (int round = 0; round < 300; round++) {
            GuestMemory many = new GuestMemory(guards, 64);
            List<Region> model = new ArrayList<>();
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
            }
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
                    assertThat(many.table().find(gpa))
                            .as("seed %d round %d gpa 0x%x", seed, round, gpa)
                            .isSameAs(expected);
                }
            }
        }
    }
}
