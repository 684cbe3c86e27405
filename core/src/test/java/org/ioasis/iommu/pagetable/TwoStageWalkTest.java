// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.Formats;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Two stages of any two formats: what is translated, what is refused by which of them. */
class TwoStageWalkTest {
    /** Where the first stage has its tables, between the stages. */
    private static final long TABLES = 0x1000_0000L;

    private static final int TABLE_BYTES = 4 << 20;

    /** Where memory begins between the stages, and behind them. */
    private static final long DATA = 0x2000_0000L;

    private static final long BEHIND = 0x3000_0000L;
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;
    private static final int PAGES = 64;

    /** A first stage whose tables lie page by page in another order behind the second. */
    private static final class Stages {
        final PageTableFormat first;
        final PageTableFormat second;
        final TableArena firstTables =
                new TableArena(new long[TABLE_BYTES / Long.BYTES], TABLES, TABLE_BYTES);
        final TableArena secondTables =
                new TableArena(
                        new long[2 * TABLE_BYTES / Long.BYTES],
                        TableFixture.ADDRESS,
                        2 * TABLE_BYTES);
        final PageTable firstTable;
        final PageTable secondTable;
        final Gather gather = new Gather();
        final TwoStageWalk walk = new TwoStageWalk();
        int loads;

        /** Behind the second stage the tables' last page comes first. */
        final TableAccess memory =
                new TableAccess() {
                    @Override
                    public Outcome load(long address, Cell into) {
                        loads++;
                        return firstTables.load(between(address), into);
                    }

                    @Override
                    public Outcome exchange(long at, long expected, long word, Cell witness) {
                        return firstTables.exchange(between(at), expected, word, witness);
                    }
                };

        final TableAccess counted =
                new TableAccess() {
                    @Override
                    public Outcome load(long address, Cell into) {
                        loads++;
                        return secondTables.load(address, into);
                    }

                    @Override
                    public Outcome exchange(long at, long expected, long word, Cell witness) {
                        return secondTables.exchange(at, expected, word, witness);
                    }
                };

        Stages(PageTableFormat first, PageTableFormat second) {
            this.first = first;
            this.second = second;
            firstTable = PageTable.create(first, firstTables);
            secondTable = PageTable.create(second, secondTables);
            for (long at = 0; at < TABLE_BYTES; at += page(second)) {
                mapSecond(TABLES + at, BEHIND + TABLE_BYTES - page(second) - at, READ_WRITE);
            }
        }

        private long between(long address) {
            long page = page(second);
            long within = address & (page - 1);
            return TABLES + TABLE_BYTES - page - (address - within - BEHIND) + within;
        }

        void mapSecond(long from, long to, int rights) {
            assertThat(secondTable.map(from, from + page(second) - 1, to, rights, gather))
                    .isEqualTo(PageTableStatus.OK);
            gather.release(secondTables);
        }

        void unmapSecond(long from) {
            assertThat(secondTable.unmap(from, from + page(second) - 1, gather))
                    .isEqualTo(PageTableStatus.OK);
            gather.release(secondTables);
        }

        void mapFirst(long from, long to, int rights) {
            assertThat(firstTable.map(from, from + page(first) - 1, to, rights, gather))
                    .isEqualTo(PageTableStatus.OK);
            gather.release(firstTables);
        }

        boolean walks(long iova, int access, boolean marks) {
            return walk.walk(
                    new Stage(first, firstTable.root(), true, 0),
                    new Stage(second, secondTable.root(), true, 0),
                    counted,
                    memory,
                    iova,
                    access,
                    marks);
        }

        long start() {
            return first.half() == Half.UPPER ? ~Bits.mask(first.inputBits()) : 0;
        }
    }

    private static long page(PageTableFormat format) {
        return 1L << format.pageLg2();
    }

    static List<PageTableFormat> formats() {
        return Formats.ALL;
    }

    /** Formats that have the low addresses that a second stage is asked for. */
    private static List<PageTableFormat> seconds() {
        List<PageTableFormat> seconds = new ArrayList<>(Formats.ALL);
        seconds.removeIf(format -> format.half() == Half.UPPER);
        return seconds;
    }

    /** What a page of the smallest size that was asked for with these rights allows. */
    private static int allowed(PageTableFormat format, int rights) {
        long attributes = format.attributes(rights);
        return attributes == PageTableFormat.NO_ATTRIBUTES
                ? -1
                : format.rights(format.leafEntry(0, 0, format.pageLg2(), attributes, 0), 0);
    }

    private record Page(long to, int rights) {}

    @ParameterizedTest
    @MethodSource("formats")
    void eachPairTranslatesAndRefusesAsThePlainModelSays(PageTableFormat first) {
        long seed = System.nanoTime();
        System.out.println("two stages " + first + " seed " + seed);
        Random random = new Random(seed);
        int translated = 0;
        int refused = 0;
        for (PageTableFormat second : seconds()) {
            Stages stages = new Stages(first, second);
            Map<Long, Page> firsts = new HashMap<>();
            Map<Long, Page> pages = new HashMap<>();
            for (int i = 0; i < PAGES; i++) {
                int rights = random.nextInt(8) == 0 ? random.nextInt(4) : READ_WRITE;
                if (random.nextInt(8) != 0 && allowed(first, rights) >= 0) {
                    long to = DATA + random.nextInt(PAGES) * page(first);
                    stages.mapFirst(stages.start() + i * page(first), to, rights);
                    firsts.put((long) i, new Page(to, allowed(first, rights)));
                }
            }
            for (long at = 0; at < PAGES * page(first); at += page(second)) {
                int rights = random.nextInt(8) == 0 ? random.nextInt(4) : READ_WRITE;
                if (random.nextInt(8) != 0 && allowed(second, rights) >= 0) {
                    long to = DATA + random.nextInt(1 << 12) * page(second);
                    stages.mapSecond(DATA + at, to, rights);
                    pages.put((DATA + at) / page(second), new Page(to, allowed(second, rights)));
                }
            }
            for (int i = 0; i < 3500; i++) {
                long offset = random.nextLong(PAGES * page(first));
                int access = 1 + random.nextInt(3);
                boolean isThere = stages.walks(stages.start() + offset, access, i % 2 == 0);
                TwoStageWalk walk = stages.walk;
                Page one = firsts.get(offset / page(first));
                String what = "seed %d, %s, 0x%x".formatted(seed, second, offset);
                assertThat(isThere).as(what).isEqualTo(walk.fault() == TwoStageFault.NONE);
                if (one == null || (access & ~one.rights) != 0) {
                    assertThat(walk.fault()).as(what).isEqualTo(TwoStageFault.FIRST);
                    assertThat(walk.failed().fault())
                            .as(what)
                            .isEqualTo(one == null ? WalkFault.TRANSLATION : WalkFault.PERMISSION);
                    refused++;
                    continue;
                }
                long between = one.to + offset % page(first);
                assertThat(walk.intermediate()).as(what).isEqualTo(between);
                Page two = pages.get(between / page(second));
                if (two == null || (access & ~two.rights) != 0) {
                    assertThat(walk.fault()).as(what).isEqualTo(TwoStageFault.SECOND_FOR_INPUT);
                    assertThat(walk.failed().fault())
                            .as(what)
                            .isEqualTo(two == null ? WalkFault.TRANSLATION : WalkFault.PERMISSION);
                    refused++;
                    continue;
                }
                assertThat(walk.output()).as(what).isEqualTo(two.to + between % page(second));
                assertThat(walk.rights()).as(what).isEqualTo(one.rights & two.rights);
                assertThat(walk.pageLg2())
                        .as(what)
                        .isEqualTo(Math.min(first.pageLg2(), second.pageLg2()));
                translated++;
            }
        }
        assertThat(translated).isGreaterThan(10_000);
        assertThat(refused).isGreaterThan(10_000);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anEntryOfTheFirstStageIsReachedThroughTheSecondOnly(PageTableFormat first) {
        PageTableFormat second = new VtdSecondStageFormat(48, 52, false);
        Stages stages = new Stages(first, second);
        stages.mapFirst(stages.start(), DATA, READ_WRITE);
        stages.mapSecond(DATA, DATA, READ_WRITE);
        assertThat(stages.walks(stages.start(), Rights.READ, false)).isTrue();
        List<Long> entries = new ArrayList<>();
        Walk alone = new Walk();
        assertThat(stages.firstTable.walk(stages.start(), Rights.READ, false, alone)).isTrue();
        entries.add(Root.address(stages.firstTable.root()));
        entries.add(alone.entryAddress());
        for (long entry : entries) {
            long page = entry & -page(second);
            stages.unmapSecond(page);
            assertThat(stages.walks(stages.start(), Rights.READ, false)).isFalse();
            assertThat(stages.walk.fault()).isEqualTo(TwoStageFault.SECOND_FOR_TABLE);
            assertThat(stages.walk.failed().fault()).isEqualTo(WalkFault.TRANSLATION);
            assertThat(stages.walk.intermediate() & -page(second)).isEqualTo(page);
            // Readable is enough, unless the entry is marked.
            long behind = BEHIND + TABLE_BYTES - page(second) - (page - TABLES);
            stages.mapSecond(page, behind, Rights.READ);
            assertThat(stages.walks(stages.start(), Rights.WRITE, false)).isTrue();
            stages.unmapSecond(page);
            stages.mapSecond(page, behind, READ_WRITE);
        }
    }

    @Test
    void aMarkThatTheSecondStageDoesNotLetThroughIsItsFault() {
        Stages stages = new Stages(new X86Format(48, true, 52), Amdv1Format.growing(3, false));
        stages.mapFirst(0, DATA, Rights.READ);
        stages.mapSecond(DATA, DATA, READ_WRITE);
        Walk alone = new Walk();
        assertThat(stages.firstTable.walk(0, Rights.READ, false, alone)).isTrue();
        long leaf = alone.entryAddress();
        Cell cell = new Cell();
        assertThat(stages.firstTables.load(leaf, cell)).isEqualTo(Outcome.OK);
        long entry = cell.word();
        // Not accessed yet: the walk has to write.
        assertThat(stages.firstTables.exchange(leaf, entry, entry & ~0x20, cell))
                .isEqualTo(Outcome.OK);
        long page = leaf & -4096;
        long behind = BEHIND + TABLE_BYTES - 4096 - (page - TABLES);
        stages.unmapSecond(page);
        stages.mapSecond(page, behind, Rights.READ);
        assertThat(stages.walks(0, Rights.READ, true)).isFalse();
        assertThat(stages.walk.fault()).isEqualTo(TwoStageFault.SECOND_FOR_TABLE);
        assertThat(stages.walk.failed().fault()).isEqualTo(WalkFault.PERMISSION);
        assertThat(stages.walk.intermediate()).isEqualTo(leaf);
        stages.unmapSecond(page);
        stages.mapSecond(page, behind, READ_WRITE);
        assertThat(stages.walks(0, Rights.READ, true)).isTrue();
        assertThat(stages.firstTables.load(leaf, cell)).isEqualTo(Outcome.OK);
        assertThat(cell.word()).isEqualTo(entry);
    }

    @Test
    void aWalkReadsNoMoreThanFourTimesFiveAndFourEntriesWithFourLevelsEach() {
        Stages stages = new Stages(new X86Format(48, true, 52), new X86Format(48, true, 52));
        stages.mapFirst(0, DATA, READ_WRITE);
        stages.mapSecond(DATA, DATA, READ_WRITE);
        stages.loads = 0;
        assertThat(stages.walks(0, READ_WRITE, false)).isTrue();
        assertThat(stages.loads).isEqualTo(24);
    }

    /** Words of anybody's: entries that may be valid, and memory that is absent now and then. */
    private static TableAccess hostile(Random random, int[] loads) {
        return new TableAccess() {
            @Override
            public Outcome load(long address, Cell into) {
                loads[0]++;
                into.set(random.nextLong() | (random.nextBoolean() ? 3 : 1));
                return random.nextInt(256) == 0 ? Outcome.ABSENT : Outcome.OK;
            }

            @Override
            public Outcome exchange(long at, long expected, long word, Cell witness) {
                witness.set(expected);
                return random.nextInt(64) == 0 ? Outcome.REFUSED : Outcome.OK;
            }
        };
    }

    @ParameterizedTest
    @MethodSource("formats")
    void tablesOfAnythingInBothStagesEndAfterABoundedNumberOfEntries(PageTableFormat first) {
        long seed = System.nanoTime();
        System.out.println("hostile stages " + first + " seed " + seed);
        Random random = new Random(seed);
        int[] loads = new int[1];
        TableAccess memory = hostile(random, loads);
        TwoStageWalk walk = new TwoStageWalk();
        Map<TwoStageFault, Integer> seen = new EnumMap<>(TwoStageFault.class);
        long reach = Bits.mask(first.reachLg2(first.firstTop()));
        for (PageTableFormat second : seconds()) {
            int levels = first.firstTop() + 1;
            int below = second.firstTop() + 1;
            Stage one = new Stage(first, Root.of(TABLES, first.firstTop()), true, 0);
            Stage two = new Stage(second, Root.of(BEHIND, second.firstTop()), true, 0);
            for (int i = 0; i < 2000; i++) {
                loads[0] = 0;
                boolean marks = random.nextBoolean();
                long iova = first.iova(random.nextLong() & reach);
                boolean isDone =
                        walk.walk(one, two, memory, memory, iova, random.nextInt(16), marks);
                // A mark of the first stage takes another walk of the second.
                int most = levels * (marks ? 2 * below + 1 : below + 1) + below;
                assertThat(loads[0]).as("seed %d", seed).isLessThanOrEqualTo(most);
                assertThat(isDone).isEqualTo(walk.fault() == TwoStageFault.NONE);
                if (isDone) {
                    assertThat(Bits.fits(walk.output(), second.outputBits())).isTrue();
                }
                seen.merge(walk.fault(), 1, Integer::sum);
            }
        }
        assertThat(seen).containsKeys(TwoStageFault.FIRST, TwoStageFault.SECOND_FOR_TABLE);
    }

    @Test
    void tablesThatLieInEachOtherEndAtTheLowestLevel() {
        Stages stages =
                new Stages(ArmFormat.stage1(12, 48, 48, Half.LOWER), ArmFormat.stage2(12, 40, 40));
        long top = Root.address(stages.firstTable.root());
        Cell cell = new Cell();
        for (int i = 0; i < 512; i++) {
            long at = top + i * 8L;
            assertThat(stages.firstTables.exchange(at, 0, top | 3 | 0x400, cell))
                    .isEqualTo(Outcome.OK);
        }
        stages.loads = 0;
        // Each level is the top again, and so is the page: whoever reads it reads the table.
        assertThat(stages.walks(0x1234_5678_9abcL, Rights.READ, false)).isTrue();
        assertThat(stages.walk.intermediate()).isEqualTo(top + 0xabc);
        assertThat(stages.loads).isLessThanOrEqualTo(24);
        assertThat(stages.walks(1L << 48, Rights.READ, false)).isFalse();
        assertThat(stages.walk.fault()).isEqualTo(TwoStageFault.FIRST);
        assertThat(stages.walk.failed().fault()).isEqualTo(WalkFault.RANGE);
    }
}
