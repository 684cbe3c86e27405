// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.Formats;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a page table of the engine's own does beside the cases that Linux has. */
class PageTableTest {
    private static final int PAGE = 4096;

    static List<PageTableFormat> formats() {
        return Formats.ALL;
    }

    /** Every word of the tables, and how many are in use. */
    private static List<Long> digest(TableFixture t, int bytes) {
        List<Long> words = new ArrayList<>();
        Cell cell = new Cell();
        for (int at = 0; at < bytes; at += Long.BYTES) {
            assertThat(t.arena.load(TableFixture.ADDRESS + at, cell)).isEqualTo(Outcome.OK);
            words.add(cell.word());
        }
        words.add(t.arena.heldBytes());
        words.add(t.table.root());
        return words;
    }

    @ParameterizedTest
    @MethodSource("formats")
    void whatIsRefusedHasChangedNothing(PageTableFormat format) {
        int bytes = 1 << 20;
        TableFixture t = new TableFixture(format, bytes);
        long page = t.page();
        long start = t.start();
        t.mapped(start + 8 * page, 8 * page, 0);
        List<Long> before = digest(t, bytes);
        int rw = Rights.READ | Rights.WRITE;
        long end = 1L << (format.outputBits() - 1) << 1;
        record Refused(long first, long last, long output, PageTableStatus status) {}
        List<Refused> maps =
                List.of(
                        new Refused(start + page, start, 0, PageTableStatus.RANGE),
                        new Refused(start + 1, start + page - 1, 0, PageTableStatus.MISFIT),
                        new Refused(start, start + page - 2, 0, PageTableStatus.MISFIT),
                        new Refused(start, start + page - 1, 1, PageTableStatus.MISFIT),
                        new Refused(start, start + page - 1, end, PageTableStatus.MISFIT),
                        new Refused(
                                start, start + 2 * page - 1, end - page, PageTableStatus.MISFIT),
                        new Refused(start, start + 2 * page - 1, -page, PageTableStatus.MISFIT),
                        new Refused(start, start + 9 * page - 1, 0, PageTableStatus.OVERLAPS),
                        new Refused(
                                start + 15 * page,
                                start + 64 * page - 1,
                                0,
                                PageTableStatus.OVERLAPS));
        for (Refused map : maps) {
            assertThat(t.table.map(map.first, map.last, map.output, rw, t.gather))
                    .as("%x..%x to %x", map.first, map.last, map.output)
                    .isEqualTo(map.status);
            assertThat(t.gather.isEmpty()).isTrue();
            assertThat(digest(t, bytes)).isEqualTo(before);
        }
        assertThat(t.table.unmap(start + page, start, t.gather)).isEqualTo(PageTableStatus.RANGE);
        assertThat(t.table.unmap(start + 1, start + page - 1, t.gather))
                .isEqualTo(PageTableStatus.MISFIT);
        assertThat(digest(t, bytes)).isEqualTo(before);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aPageIsLedElsewhereWithoutAMomentOnWhichItIsNot(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        long sizes = t.safeSizes();
        int rw = Rights.READ | Rights.WRITE;
        int replaced = 0;
        for (long rest = sizes; rest != 0; rest &= rest - 1) {
            int lg2 = Long.numberOfTrailingZeros(rest);
            long size = 1L << lg2;
            t.mapped(t.start(), size, 0);
            long held = t.arena.heldBytes();
            int smaller = lg2 == format.pageLg2() ? 0 : format.pageLg2();
            assertThat(t.table.replace(t.start(), lg2, size, Rights.READ))
                    .isEqualTo(PageTableStatus.OK);
            t.leadsTo(t.start(), size);
            t.leadsTo(t.start() + size - 1, 2 * size - 1);
            assertThat(t.table.walk(t.start(), Rights.WRITE, false, t.walk)).isFalse();
            assertThat(t.arena.heldBytes()).isEqualTo(held);
            if (smaller != 0) {
                assertThat(t.table.replace(t.start(), smaller, 0, rw))
                        .isEqualTo(PageTableStatus.RANGE);
                assertThat(t.table.replace(t.start() + t.page(), lg2, 0, rw))
                        .isEqualTo(PageTableStatus.RANGE);
            }
            assertThat(t.table.replace(t.start(), lg2, 1, rw)).isEqualTo(PageTableStatus.MISFIT);
            assertThat(t.table.replace(t.start(), lg2, -size, rw))
                    .isEqualTo(PageTableStatus.MISFIT);
            assertThat(t.table.replace(t.start() + size, lg2, 0, rw))
                    .isEqualTo(PageTableStatus.RANGE);
            t.leadsTo(t.start(), size);
            assertThat(t.unmapped(t.start(), size)).isEqualTo(size);
            assertThat(t.table.replace(t.start(), lg2, 0, rw)).isEqualTo(PageTableStatus.RANGE);
            replaced++;
        }
        assertThat(replaced).isEqualTo(Long.bitCount(sizes));
        t.isGivenBackWhole();
    }

    @Test
    void atTheLimitOfTablesAMapIsRefusedUntilSomeAreGivenBack() {
        X86Format format = new X86Format(48, true, 52);
        int bytes = 6 * PAGE;
        TableFixture t = new TableFixture(format, bytes);
        t.mapped(0, PAGE, 0); // the top and three below it
        assertThat(t.arena.heldBytes()).isEqualTo(4 * PAGE);
        t.mapped(1L << 30, PAGE, 0); // two more: the limit
        assertThat(t.arena.heldBytes()).isEqualTo(t.arena.limitBytes());
        List<Long> before = digest(t, bytes);
        assertThat(t.map(1L << 21, PAGE, 0)).isEqualTo(PageTableStatus.NO_MEMORY);
        assertThat(digest(t, bytes)).isEqualTo(before);
        t.mapped(PAGE, PAGE, 0); // needs no table

        assertThat(t.table.unmap(1L << 30, (1L << 30) + PAGE - 1, t.gather))
                .isEqualTo(PageTableStatus.OK);
        assertThat(t.gather.tables()).isEqualTo(2);
        assertThat(t.map(1L << 21, PAGE, 0))
                .as("what waits for its readers counts")
                .isEqualTo(PageTableStatus.NO_MEMORY);
        t.gather.release(t.arena);
        t.mapped(1L << 21, PAGE, 0);
        t.leadsTo(1L << 21, 0);
        assertThat(PageTable.fits(format, t.arena)).isTrue();
        t.mapped(1L << 22, PAGE, 0);
        assertThat(PageTable.fits(format, t.arena)).isFalse();
    }

    @Test
    void aTableThatIsUnlinkedIsNotWrittenBeforeItIsGivenBack() {
        int bytes = 1 << 20;
        TableFixture t = new TableFixture(new X86Format(48, true, 52), bytes);
        for (int i = 0; i < 512; i++) {
            t.mapped((long) i * PAGE, PAGE, 2L * i * PAGE);
        }
        t.walks(0);
        long leafTable = t.walk.entryAddress();
        Cell cell = new Cell();
        t.table.unmap(0, (1L << 30) - 1, t.gather);
        assertThat(t.gather.bytes()).isEqualTo(512L * PAGE);
        assertThat(t.gather.first()).isZero();
        assertThat(t.gather.last()).isEqualTo(512L * PAGE - 1);
        assertThat(t.walks(0)).isFalse();
        for (int i = 0; i < 512; i++) {
            t.arena.load(leafTable + i * 8L, cell);
            assertThat(cell.word()).isEqualTo(2L * i * PAGE | 0x67);
        }
        t.gather.release(t.arena);
        t.isGivenBackWhole();
    }

    @Test
    void anEmptyTopThatGrowsIsReplacedAndWaitsForItsReaders() {
        TableFixture t = new TableFixture(Amdv1Format.growing(2, false));
        assertThat(t.map(1L << 60, PAGE, 0)).isEqualTo(PageTableStatus.OK);
        assertThat(t.gather.tables()).isEqualTo(1);
        assertThat(Root.level(t.table.root())).isEqualTo(5);
        t.gather.release(t.arena);
        t.leadsTo(1L << 60, 0);
        // The last page of all, and the whole space unmapped in one range.
        t.mapped(-PAGE, PAGE, PAGE);
        t.leadsTo(-1L, 2 * PAGE - 1);
        assertThat(t.table.unmap(0, -1L, t.gather)).isEqualTo(PageTableStatus.OK);
        assertThat(t.gather.bytes()).isEqualTo(2 * PAGE);
        assertThat(t.gather.last()).isEqualTo(-1L);
        t.gather.release(t.arena);
        t.isGivenBackWhole();
    }

    @Test
    void writesNeedWriteAndReadsNeedRead() {
        TableFixture t = new TableFixture(Amdv1Format.growing(3, false));
        for (int rights = 0; rights < 4; rights++) {
            long at = (long) rights * PAGE;
            assertThat(t.table.map(at, at + PAGE - 1, 0, rights, t.gather))
                    .isEqualTo(PageTableStatus.OK);
            for (int access = 0; access < 4; access++) {
                assertThat(t.table.walk(at, access, false, t.walk))
                        .as("%d through %d", access, rights)
                        .isEqualTo((access & ~rights) == 0);
            }
        }
    }

    @Test
    void aPageIsDirtyAsAWholeAndToldOnlyWhereItWasAskedFor() {
        TableFixture t = new TableFixture(Amdv1Format.growing(3, false));
        t.mapped(0x8000, 0x8000, 0); // one page of 32 KiB in eight entries
        assertThat(t.table.walk(0xf000, Rights.WRITE, true, t.walk)).isTrue();
        List<String> told = new ArrayList<>();
        DirtyVisitor visitor = (first, last) -> told.add("%x..%x".formatted(first, last));
        t.table.dirty(0x9000, 0xafff, true, visitor);
        t.table.dirty(0x9000, 0xafff, false, visitor);
        t.table.dirty(0, -1L, false, visitor);
        assertThat(told).containsExactly("9000..afff", "9000..afff");
    }

    @Test
    void memoryOfTablesIsCheckedAtEachAccessOfAWalker() {
        TableArena arena = new TableArena(new long[512], TableFixture.ADDRESS, 4096);
        Cell cell = new Cell();
        for (long offset : new long[] {-8, 4096, 1, 4, -1, Long.MIN_VALUE}) {
            long at = TableFixture.ADDRESS + offset;
            assertThat(arena.load(at, cell)).as("%x", at).isEqualTo(Outcome.REFUSED);
            assertThat(arena.exchange(at, 0, 1, cell)).as("%x", at).isEqualTo(Outcome.REFUSED);
        }
        assertThat(arena.load(TableFixture.ADDRESS + 4088, cell)).isEqualTo(Outcome.OK);
        assertThatThrownBy(() -> new TableArena(new long[512], 0, 4096))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new TableArena(new long[512], TableFixture.ADDRESS, 4097))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void memoryOfTablesComesPieceByPieceAndWhereItEndsNothingIsChanged() {
        int pieceLg2 = 14;
        List<Long> asked = new ArrayList<>();
        TableArena arena =
                new TableArena(
                        bytes -> {
                            asked.add(bytes);
                            return asked.size() > 3 ? null : new long[(int) bytes / Long.BYTES];
                        },
                        pieceLg2,
                        TableFixture.ADDRESS,
                        1 << 20);
        PageTableFormat format = new X86Format(48, true, 52);
        assertThat(PageTable.fits(format, arena)).isTrue();
        PageTable table = PageTable.create(format, arena);
        assertThat(asked).containsExactly(1L << pieceLg2);
        Gather gather = new Gather();
        Walk walk = new Walk();
        Cell cell = new Cell();
        assertThat(arena.load(TableFixture.ADDRESS + (1 << pieceLg2), cell))
                .as("a piece that is not there yet")
                .isEqualTo(Outcome.REFUSED);
        // Twelve tables in three pieces: the top one, and three more for each of three places.
        int mapped = 0;
        PageTableStatus status = PageTableStatus.OK;
        while (status == PageTableStatus.OK) {
            long first = (long) mapped << 39;
            status = table.map(first, first + PAGE - 1, (long) mapped * PAGE, Rights.READ, gather);
            mapped += status == PageTableStatus.OK ? 1 : 0;
        }
        assertThat(status).isEqualTo(PageTableStatus.NO_MEMORY);
        assertThat(mapped).isEqualTo(3);
        assertThat(asked).hasSize(4);
        for (int i = 0; i < mapped; i++) {
            assertThat(table.walk((long) i << 39, Rights.READ, false, walk)).isTrue();
            assertThat(walk.output()).isEqualTo((long) i * PAGE);
        }
        assertThat(table.unmap(0, PAGE - 1, gather)).isEqualTo(PageTableStatus.OK);
        gather.release(arena);
        long last = 3L << 39;
        assertThat(table.map(last, last + PAGE - 1, 0, Rights.READ, gather))
                .as("tables that were given back are used again")
                .isEqualTo(PageTableStatus.OK);
    }

    @Test
    void aTableMakesNoPagesOfSizesThatItWasNotToHave() {
        TableFixture t = new TableFixture(new X86Format(48, true, 52));
        assertThatThrownBy(() -> PageTable.create(t.format, t.arena, 1L << 21))
                .isInstanceOf(IllegalArgumentException.class);
        PageTable table = PageTable.create(t.format, t.arena, 1L << 12 | 1L << 30);
        assertThat(table.pageSizes()).isEqualTo(1L << 12 | 1L << 30);
        assertThat(table.map(0, (1L << 21) - 1, 0, Rights.READ, t.gather))
                .isEqualTo(PageTableStatus.OK);
        int[] leaves = new int[1];
        assertThat(
                        table.leaves(
                                0,
                                (1L << 21) - 1,
                                (_, sizeLg2, _, _, _) -> sizeLg2 == 12 && ++leaves[0] > 0))
                .isTrue();
        assertThat(leaves[0]).isEqualTo(512);
    }

    /** Pages by their first address, each with the output and last address: the plain model. */
    private record Page(long last, long output) {}

    @ParameterizedTest
    @MethodSource("formats")
    void randomChangesAgreeWithAMapOfPages(PageTableFormat format) {
        long seed = System.nanoTime();
        System.out.println("random changes " + format + " seed " + seed);
        Random random = new Random(seed);
        TableFixture t = new TableFixture(format);
        TreeMap<Long, Page> model = new TreeMap<>();
        int pageLg2 = format.pageLg2();
        long space = 1L << 12; // pages: several tables
        int mapped = 0;
        int split = 0;
        int refused = 0;
        for (int i = 0; i < 4000; i++) {
            long from = random.nextLong(space);
            long length = 1 + random.nextLong(1L << random.nextInt(12));
            boolean isLarge = random.nextInt(8) == 0;
            if (isLarge) {
                from &= -512;
                length = 1024;
            }
            long first = t.start() + (from << pageLg2);
            long last = first + (length << pageLg2) - 1;
            boolean hits = !within(model, first, last).isEmpty();
            if (random.nextInt(3) != 0) {
                long output = random.nextLong(space) << pageLg2;
                if (isLarge || random.nextBoolean()) {
                    output = first & Bits.mask(pageLg2 + 12);
                }
                PageTableStatus status = t.map(first, last - first + 1, output);
                assertThat(status)
                        .as("seed %d", seed)
                        .isEqualTo(hits ? PageTableStatus.OVERLAPS : PageTableStatus.OK);
                if (hits) {
                    refused++;
                } else {
                    add(t, model, first, last, output);
                    mapped++;
                }
            } else {
                Map.Entry<Long, Page> before = model.lowerEntry(first);
                boolean splits =
                        before != null
                                && before.getValue().last() >= first
                                && !model.containsKey(first);
                PageTableStatus status = t.table.unmap(first, last, t.gather);
                assertThat(status)
                        .as("seed %d", seed)
                        .isEqualTo(splits ? PageTableStatus.SPLITS : PageTableStatus.OK);
                long bytes = 0;
                if (splits) {
                    split++;
                } else {
                    for (long page : within(model, first, last)) {
                        bytes += Objects.requireNonNull(model.remove(page)).last() - page + 1;
                    }
                }
                assertThat(t.gather.bytes()).as("seed %d", seed).isEqualTo(bytes);
            }
            t.gather.release(t.arena);
            if (i % 50 == 0) {
                agrees(t, model, seed);
            }
        }
        agrees(t, model, seed);
        assertThat(mapped).isPositive();
        assertThat(refused).isPositive();
        // Where all pages have one size there is none to split.
        assertThat(split > 0).isEqualTo(Long.bitCount(t.safeSizes()) > 1);
        t.unmapped(t.start(), t.end() - t.start() + 1);
        t.isGivenBackWhole();
    }

    private static List<Long> within(NavigableMap<Long, Page> model, long first, long last) {
        List<Long> pages = new ArrayList<>(model.subMap(first, true, last, true).keySet());
        Map.Entry<Long, Page> before = model.lowerEntry(first);
        if (before != null && before.getValue().last() >= first) {
            pages.add(before.getKey());
        }
        return pages;
    }

    /** Which pages a range is cut into is worked out anew, by trying every size. */
    private static void add(
            TableFixture t, Map<Long, Page> model, long first, long last, long output) {
        long at = first;
        while (at <= last && at >= first) {
            int size = 0;
            for (int lg2 = 0; lg2 < 40; lg2++) {
                long length = 1L << lg2;
                boolean has = (t.table.pageSizes() >>> lg2 & 1) != 0;
                boolean isAligned = at % length == 0 && (output + at - first) % length == 0;
                if (has && isAligned && last - at >= length - 1) {
                    size = lg2;
                }
            }
            model.put(at, new Page(at + (1L << size) - 1, output + at - first));
            at += 1L << size;
        }
    }

    private static void agrees(TableFixture t, Map<Long, Page> model, long seed) {
        TreeMap<Long, Page> found = new TreeMap<>();
        t.table.leaves(
                t.start(),
                t.end(),
                (iova, sizeLg2, output, level, entry) ->
                        found.put(iova, new Page(iova + (1L << sizeLg2) - 1, output)) == null);
        assertThat(found).as("seed %d", seed).isEqualTo(model);
        model.forEach((first, page) -> t.leadsTo(page.last(), page.output() + page.last() - first));
    }

    @ParameterizedTest
    @MethodSource("formats")
    @Timeout(60)
    void readersSeeEachPageWholeOrNotWhileTheOwnerChangesTheTable(PageTableFormat format)
            throws InterruptedException {
        TableFixture t = new TableFixture(format);
        long page = t.page();
        long start = t.start();
        int pages = 1 << 11;
        t.mapped(start, page, 0x40 * page);
        AtomicReference<String> wrong = new AtomicReference<>("");
        boolean[] isDone = new boolean[1];
        long[] found = new long[1];
        Thread reader =
                new Thread(() -> {
                    Walk walk = new Walk();
                    Random random = new Random(7);
                    while (!Thread.currentThread().isInterrupted()) {
                        long at = random.nextInt(pages) * page;
                        if (t.table.walk(start + at, Rights.READ, false, walk)) {
                            found[0]++;
                            if (walk.output() != 0x40 * page + at) {
                                wrong.set("%x to %x".formatted(at, walk.output()));
                            }
                        } else if (walk.fault() != WalkFault.TRANSLATION) {
                            wrong.set(at + " " + walk.fault());
                        }
                    }
                    isDone[0] = true;
                });
        reader.start();
        // What is unlinked is kept to the end: no reader is ever in a table that is used again.
        List<Gather> waiting = new ArrayList<>();
        Random random = new Random(11);
        for (int i = 0; i < 1500; i++) {
            long from = 1L + random.nextInt(pages - 1);
            long length = 1L + random.nextInt((int) (pages - from));
            Gather gather = new Gather();
            long first = start + from * page;
            long last = start + (from + length) * page - 1;
            if (t.table.map(first, last, (0x40 + from) * page, Rights.READ, gather)
                    == PageTableStatus.OVERLAPS) {
                assertThat(t.table.unmap(start + page, start + pages * page - 1, gather))
                        .isEqualTo(PageTableStatus.OK);
            }
            waiting.add(gather);
            if (i % 500 == 0) {
                t.leadsTo(start, 0x40 * page);
            }
        }
        reader.interrupt();
        reader.join();
        assertThat(isDone[0]).isTrue();
        assertThat(wrong.get()).isEmpty();
        waiting.forEach(gather -> gather.release(t.arena));
        t.unmapped(start, t.end() - start + 1);
        t.isGivenBackWhole();
    }
}
