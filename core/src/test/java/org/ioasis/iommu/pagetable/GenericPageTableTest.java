// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import org.ioasis.iommu.pagetable.format.Formats;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The twenty cases that Linux's generic page table holds every format to, under the names that they
 * have there. What a case is about is Linux's; how it is checked is ours.
 */
class GenericPageTableTest {
    private static final long PATTERN = 0x074a_7144_5dea_dbeefL;
    private static final long GIB = 1L << 30;

    static List<PageTableFormat> formats() {
        return Formats.ALL;
    }

    private static long testOutput(PageTableFormat format, int sizeLg2) {
        return PATTERN & Bits.mask(format.outputBits()) & ~Bits.mask(sizeLg2);
    }

    private static List<Integer> sizesOf(long bits) {
        List<Integer> sizes = new ArrayList<>();
        for (int lg2 = 0; lg2 < Long.SIZE; lg2++) {
            if ((bits >>> lg2 & 1) != 0) {
                sizes.add(lg2);
            }
        }
        return sizes;
    }

    private static int levels(PageTableFormat format) {
        return format.lastTop() + 1;
    }

    // The format's own cases.

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("init")
    void aTableOfEachFormatIsMadeAndHasPages(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        assertThat(t.table.pageSizes()).isNotZero();
        assertThat(Long.numberOfTrailingZeros(t.table.pageSizes())).isEqualTo(format.pageLg2());
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("bitops")
    void arithmeticHoldsAtTheEndsOfAWord(PageTableFormat format) {
        assertThat(Bits.mask(0)).isZero();
        assertThat(Bits.mask(1)).isEqualTo(1);
        assertThat(Bits.mask(63)).isEqualTo(Long.MAX_VALUE);
        assertThat(Bits.mask(64)).isEqualTo(-1L);
        assertThat(Bits.fits(-1L, 64)).isTrue();
        assertThat(Bits.fits(-1L, 63)).isFalse();
        assertThat(Bits.fits(0, 0)).isTrue();
        int bits = format.inputBits();
        assertThat(format.offset(-1L)).isEqualTo(Bits.mask(bits));
        assertThat(format.iova(format.offset(-1L)))
                .isEqualTo(format.half() == Half.LOWER ? Bits.mask(bits) : -1L);
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("best_pgsize")
    void bestSizeIsTheLargestThatFits(PageTableFormat format) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        long ours = new TableFixture(format).safeSizes();
        int compared = 0;
        for (int i = 0; i < 20_000; i++) {
            long sizes = i % 2 == 0 ? random.nextLong() : ours;
            long first = random.nextLong() << random.nextInt(64);
            long output = random.nextLong() << random.nextInt(64);
            long last = random.nextLong() | Bits.mask(random.nextInt(64));
            if (Long.compareUnsigned(first, last) > 0) {
                last = -1L;
            }
            int expected = Bits.NONE;
            for (int lg2 : sizesOf(sizes)) {
                boolean isAligned = ((first | output) & Bits.mask(lg2)) == 0;
                if (isAligned && Long.compareUnsigned(last - first, Bits.mask(lg2)) >= 0) {
                    expected = lg2;
                }
            }
            assertThat(Bits.bestPageLg2(sizes, first, last, output))
                    .as("seed %d: %x %x..%x %x", seed, sizes, first, last, output)
                    .isEqualTo(expected);
            compared++;
        }
        assertThat(compared).isEqualTo(20_000);
        assertThat(Bits.bestPageLg2(-1L, 0, -1L, 0)).isEqualTo(63);
        assertThat(Bits.bestPageLg2(0, 0, -1L, 0)).isEqualTo(Bits.NONE);
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("pgsz_count")
    void pagesOfOneSizeAreCountedUpToWhereALargerOneFits(PageTableFormat format) {
        long sizes = new TableFixture(format).safeSizes();
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int counted = 0;
        for (int i = 0; i < 2_000; i++) {
            int pageLg2 = format.pageLg2();
            long first = (long) random.nextInt(1 << 12) << pageLg2;
            long last = first + ((long) random.nextInt(1, 1 << 11) << pageLg2) - 1;
            long output = (long) random.nextInt(1 << 12) << pageLg2;
            if (i % 2 == 0) {
                output = first; // the same below any size
            }
            int best = Bits.bestPageLg2(sizes, first, last, output);
            long expected = 0;
            long at = first;
            while (Long.compareUnsigned(at, last) < 0
                    && Bits.bestPageLg2(sizes, at, last, output + at - first) == best) {
                at += 1L << best;
                expected++;
            }
            assertThat(Bits.pageCount(sizes, first, last, output, best))
                    .as("seed %d: %x..%x to %x", seed, first, last, output)
                    .isEqualTo(expected);
            counted++;
        }
        assertThat(counted).isEqualTo(2_000);
        assertThat(Bits.pageCount(1L << 12, 0, -1L, 0, 12)).isEqualTo(1L << 52);
        assertThat(Bits.pageCount(1L << 63, 0, -1L, 0, 63)).isEqualTo(2);
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("table_ptr")
    void anEntryOfATableLeadsToIt(PageTableFormat format) {
        long table = testOutput(format, format.tableLg2());
        for (int level = 1; level < levels(format); level++) {
            long entry = format.tableEntry(table, level);
            assertThat(format.kind(entry, level)).isEqualTo(EntryKind.TABLE);
            assertThat(format.table(entry, level)).isEqualTo(table);
            assertThat(format.tableLevel(entry, level)).isEqualTo(level - 1);
            assertThat(format.rights(entry, level)).isEqualTo(Rights.ALL);
            assertThat(format.kind(0, level)).isEqualTo(EntryKind.EMPTY);
        }
        assertThat(levels(format)).isGreaterThan(1);
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("max_va")
    void noTopTableReachesFartherThanTheFormat(PageTableFormat format) {
        for (int top = format.firstTop(); top < levels(format); top++) {
            assertThat(format.reachLg2(top)).isLessThanOrEqualTo(format.inputBits());
        }
        assertThat(format.reachLg2(format.lastTop())).isEqualTo(format.inputBits());
        TableFixture t = new TableFixture(format);
        t.mapped(t.end() - t.page() + 1, t.page(), 0);
        t.leadsTo(t.end(), t.page() - 1);
        if (t.end() != -1L) {
            assertThat(t.map(t.end() + 1, t.page(), 0)).isEqualTo(PageTableStatus.RANGE);
            assertThat(t.map(t.end() - t.page() + 1, 2 * t.page(), 0))
                    .isEqualTo(PageTableStatus.RANGE);
        }
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("table_radix")
    void levelsDecodeEachBitOfAnAddressOnce(PageTableFormat format) {
        long decoded = Bits.mask(format.pageLg2());
        for (int level = 0; level < levels(format); level++) {
            boolean isTop = level == format.lastTop();
            int above = isTop ? format.inputBits() : format.itemLg2(level + 1);
            long index = format.index(Bits.mask(format.inputBits()), level, isTop);
            assertThat(index).isEqualTo(Bits.mask(above - format.itemLg2(level)));
            long bits = index << format.itemLg2(level);
            assertThat(decoded & bits).isZero();
            decoded |= bits;
        }
        assertThat(decoded).isEqualTo(Bits.mask(format.inputBits()));
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("entry_possible_sizes")
    void pagesOfALevelAreAtLeastAnItemAndLessThanATable(PageTableFormat format) {
        int withPages = 0;
        for (int level = 0; level < levels(format); level++) {
            long sizes = format.pageSizes(level);
            int item = format.itemLg2(level);
            assertThat(sizes & Bits.mask(item)).isZero();
            assertThat(sizes & ~Bits.mask(format.itemLg2(level + 1))).isZero();
            withPages += sizes != 0 ? 1 : 0;
        }
        assertThat(withPages).isPositive();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("entry_oa")
    void eachItemOfAPageTellsWhereThePageIs(PageTableFormat format) {
        long attributes = format.attributes(Rights.READ);
        int items = 0;
        for (int level = 0; level < levels(format); level++) {
            for (int lg2 : sizesOf(format.pageSizes(level))) {
                if (lg2 >= format.outputBits()) {
                    continue;
                }
                long highest = Bits.mask(format.outputBits()) & ~Bits.mask(lg2);
                for (long output : new long[] {testOutput(format, lg2), 0, highest}) {
                    for (int i = 0; i < 1 << (lg2 - format.itemLg2(level)); i++) {
                        long entry = format.leafEntry(output, level, lg2, attributes, i);
                        assertThat(format.kind(entry, level)).isEqualTo(EntryKind.LEAF);
                        assertThat(format.leafLg2(entry, level)).isEqualTo(lg2);
                        assertThat(format.output(entry, level)).isEqualTo(output);
                        items++;
                    }
                }
            }
        }
        assertThat(items).isPositive();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("attr_from_entry")
    void attributesThatAreReadMakeTheSameEntry(PageTableFormat format) {
        int entries = 0;
        for (int level = 0; level < levels(format); level++) {
            for (int lg2 : sizesOf(format.pageSizes(level))) {
                for (int rights = 0; rights <= Rights.ALL; rights++) {
                    long attributes = format.attributes(rights);
                    if (attributes == PageTableFormat.NO_ATTRIBUTES) {
                        assertThat(rights & (Rights.READ | Rights.WRITE))
                                .isNotEqualTo(Rights.READ | Rights.WRITE);
                        continue;
                    }
                    long output = testOutput(format, lg2);
                    long entry = format.leafEntry(output, level, lg2, attributes, 0);
                    long again = format.attributesOf(entry, level);
                    assertThat(format.leafEntry(output, level, lg2, again, 0)).isEqualTo(entry);
                    entries++;
                }
            }
        }
        assertThat(entries).isPositive();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("dirty")
    void aWriteThroughAnyItemMakesThePageDirtyUntilItIsCleaned(PageTableFormat format) {
        if (!format.tracksDirty()) {
            // Linux leaves these out; here the question is refused.
            TableFixture t = new TableFixture(format);
            org.assertj.core.api.Assertions.assertThatThrownBy(
                            () -> t.table.dirty(0, 0, true, (first, last) -> {}))
                    .isInstanceOf(IllegalStateException.class);
            return;
        }
        int pages = 0;
        for (int lg2 : sizesOf(new TableFixture(format).safeSizes())) {
            TableFixture t = new TableFixture(format);
            long size = 1L << lg2;
            t.mapped(t.start(), size, 0);
            assertThat(dirty(t, size, true)).isEmpty();
            t.walks(t.start());
            int itemLg2 = format.itemLg2(t.walk.level());
            for (long at = 0; at < size; at += 1L << itemLg2) {
                assertThat(t.table.walk(t.start() + at, Rights.READ, true, t.walk)).isTrue();
                assertThat(dirty(t, size, true)).isEmpty();
                assertThat(t.table.walk(t.start() + at, Rights.WRITE, true, t.walk)).isTrue();
                List<Long> whole = List.of(t.start(), t.start() + size - 1);
                assertThat(dirty(t, size, true)).isEqualTo(whole);
                assertThat(dirty(t, size, false)).isEqualTo(whole);
                assertThat(dirty(t, size, false)).isEmpty();
            }
            pages++;
        }
        assertThat(pages).isPositive();
    }

    private static List<Long> dirty(TableFixture t, long size, boolean isKept) {
        List<Long> ranges = new ArrayList<>();
        t.table.dirty(
                t.start(),
                t.start() + size - 1,
                isKept,
                (first, last) -> {
                    ranges.add(first);
                    ranges.add(last);
                });
        return ranges;
    }

    /** Bits that hardware ignores: the specifications' tables of entries, by hand. */
    private static long softwareBits(PageTableFormat format) {
        if (format.name().startsWith("amdv1")) {
            return 0x8000_0000_0000_019eL;
        }
        if (format.name().startsWith("x86")) {
            return 0x7ff0_0000_0000_0e00L;
        }
        if (format.name().startsWith("vtd")) {
            return 0x3ff0_0000_0000_0400L;
        }
        if (format.name().startsWith("tce")) {
            return 0x0000_0000_0000_0ffcL;
        }
        return 0x0780_0000_0000_0000L;
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("sw_bit_leaf")
    void bitsOfSoftwareChangeNothingInAPage(PageTableFormat format) {
        long software = softwareBits(format);
        long attributes = format.attributes(Rights.READ | Rights.WRITE);
        int bits = 0;
        for (int bit : sizesOf(software)) {
            for (int level = 0; level < levels(format); level++) {
                for (int lg2 : sizesOf(format.pageSizes(level))) {
                    long output = testOutput(format, lg2);
                    long plain = format.leafEntry(output, level, lg2, attributes, 0);
                    long entry = plain | 1L << bit;
                    assertThat(format.kind(entry, level)).isEqualTo(EntryKind.LEAF);
                    assertThat(format.output(entry, level)).isEqualTo(output);
                    assertThat(format.leafLg2(entry, level)).isEqualTo(lg2);
                    assertThat(format.rights(entry, level)).isEqualTo(format.rights(plain, level));
                    bits++;
                }
            }
        }
        assertThat(bits).isPositive();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("sw_bit_table")
    void bitsOfSoftwareChangeNothingInALink(PageTableFormat format) {
        long table = testOutput(format, format.tableLg2());
        int bits = 0;
        for (int bit : sizesOf(softwareBits(format))) {
            for (int level = 1; level < levels(format); level++) {
                long entry = format.tableEntry(table, level) | 1L << bit;
                assertThat(format.kind(entry, level)).isEqualTo(EntryKind.TABLE);
                assertThat(format.table(entry, level)).isEqualTo(table);
                assertThat(format.tableLevel(entry, level)).isEqualTo(level - 1);
                bits++;
            }
        }
        assertThat(bits).isPositive();
    }

    // The cases of whole tables.

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("increase_level")
    void theTopGrowsByOneLevelAtATimeUpToTheLast(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        t.mapped(t.start(), t.page(), 0);
        int top = format.firstTop();
        assertThat(Root.level(t.table.root())).isEqualTo(top);
        while (top < format.lastTop()) {
            long beyond = 1L << format.reachLg2(top);
            assertThat(t.walks(beyond)).isFalse();
            assertThat(t.walk.fault()).isEqualTo(WalkFault.RANGE);
            t.mapped(beyond, t.page(), 0);
            top++;
            assertThat(Root.level(t.table.root())).isEqualTo(top);
            t.leadsTo(t.start(), 0);
            t.leadsTo(beyond, 0);
        }
        assertThat(format.reachLg2(top)).isEqualTo(format.inputBits());
        t.unmapped(t.start(), t.end() - t.start() + 1);
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("map_simple")
    void aRangeOfEachSizeBecomesOnePage(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        Map<Integer, Long> places = new TreeMap<>();
        long next = t.start() + 256 * t.page();
        for (int lg2 : sizesOf(t.safeSizes())) {
            long size = 1L << lg2;
            long at = next + size - 1 & -size;
            t.mapped(at, size, testOutput(format, lg2));
            places.put(lg2, at);
            next = at + size;
        }
        assertThat(places).isNotEmpty();
        for (int lg2 : places.keySet()) {
            assertThat(t.leafCount(1L << lg2)).as("pages of 2^%d", lg2).isEqualTo(1);
            long step = Math.max(t.page(), 1L << Math.max(0, lg2 - 9));
            for (long offset = 0; offset < 1L << lg2; offset += step) {
                t.leadsTo(places.getOrDefault(lg2, 0L) + offset, testOutput(format, lg2) + offset);
            }
            assertThat(t.walk.pageLg2()).isEqualTo(lg2);
        }
        assertThat(t.leafCount()).isEqualTo(places.size());
        places.forEach((lg2, at) -> assertThat(t.unmapped(at, 1L << lg2)).isEqualTo(1L << lg2));
        assertThat(t.leafCount()).isZero();
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("map_table_to_oa")
    void aLargePageTakesThePlaceOfATableThatWasEmptied(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        long sizes = t.safeSizes() & Bits.mask(31);
        long largest = Long.highestOneBit(sizes);
        long start = t.start() + 256 * t.page() + largest - 1 & -largest;
        for (int lg2 : sizesOf(sizes)) {
            long size = 1L << lg2;
            // Not aligned to any larger size, so that pages stay small.
            long output = largest == size ? 0 : size;
            for (long at = 0; at < largest; at += size) {
                t.mapped(start + at, size, output + at);
            }
            assertThat(t.leafCount()).isEqualTo((int) (largest / size));
            assertThat(t.leafCount(size)).isEqualTo((int) (largest / size));
            t.leadsTo(start + largest - 1, output + largest - 1);
            if (size == largest) {
                assertThat(t.unmapped(start, largest)).isEqualTo(largest);
            } else {
                assertThat(t.unmapped(start, largest / 2)).isEqualTo(largest / 2);
                for (long at = largest / 2; at < largest; at += size) {
                    assertThat(t.unmapped(start + at, size)).isEqualTo(size);
                }
            }
            assertThat(t.leafCount()).isZero();
        }
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("unmap_split")
    void aSmallUnmapAtTheStartOfALargePageTakesThePageAndNoMore(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        long start = t.start();
        List<Integer> sizes = sizesOf(t.safeSizes());
        int pairs = 0;
        for (int small : sizes) {
            for (int large : sizes) {
                if (large <= small) {
                    continue;
                }
                long size = 1L << large;
                t.mapped(start, size, 0);
                assertThat(t.unmapped(start, 1L << small)).isEqualTo(size);
                t.mapped(start, size, 0);
                t.mapped(start + size, size, 0);
                assertThat(t.table.unmap(start + (1L << small), start + size - 1, t.gather))
                        .isEqualTo(PageTableStatus.SPLITS);
                assertThat(t.leafCount()).isEqualTo(2);
                assertThat(t.unmapped(start, 1L << small)).isEqualTo(size);
                assertThat(t.unmapped(start + size, size)).isEqualTo(size);
                pairs++;
            }
        }
        // A format whose pages have all one size has none to split.
        assertThat(pairs).isEqualTo(sizes.size() * (sizes.size() - 1) / 2);
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("random_map")
    void rangesThatCollideAreRefusedAndFitOnceTheOthersAreGone(PageTableFormat format) {
        long seed = System.nanoTime();
        System.out.println("random_map " + format + " seed " + seed);
        Random random = new Random(seed);
        TableFixture t = new TableFixture(format);
        TreeMap<Long, Long> model = new TreeMap<>(Long::compareUnsigned); // first to last
        int collisions = 0;
        for (int i = 0; i < 1000; i++) {
            boolean isUpper = format.half() == Half.BOTH && random.nextBoolean();
            long base = isUpper ? -GIB : t.start();
            long pages = GIB >>> format.pageLg2();
            long from = random.nextLong(pages);
            long first = base + (from << format.pageLg2());
            long last = base + ((random.nextLong(from, pages) + 1) << format.pageLg2()) - 1;
            long output = first & Bits.mask(format.outputBits());
            PageTableStatus status = t.map(first, last - first + 1, output);
            t.gather.release(t.arena);
            List<Long> hit = overlapping(model, first, last);
            assertThat(status)
                    .as("seed %d", seed)
                    .isEqualTo(hit.isEmpty() ? PageTableStatus.OK : PageTableStatus.OVERLAPS);
            if (!hit.isEmpty()) {
                collisions++;
                for (long other : hit) {
                    long end = Objects.requireNonNull(model.remove(other));
                    check(t, random, other, end);
                    assertThat(t.unmapped(other, end - other + 1)).isEqualTo(end - other + 1);
                }
                t.mapped(first, last - first + 1, output);
            }
            model.put(first, last);
            check(t, random, first, last);
        }
        assertThat(collisions).isPositive();
        model.forEach((first, last) -> t.unmapped(first, last - first + 1));
        assertThat(t.leafCount()).isZero();
        t.isGivenBackWhole();
    }

    private static List<Long> overlapping(Map<Long, Long> model, long first, long last) {
        List<Long> hit = new ArrayList<>();
        model.forEach((from, to) -> {
            if (Long.compareUnsigned(from, last) <= 0 && Long.compareUnsigned(to, first) >= 0) {
                hit.add(from);
            }
        });
        return hit;
    }

    private static void check(TableFixture t, Random random, long first, long last) {
        long mask = Bits.mask(t.format.outputBits());
        t.leadsTo(first, first & mask);
        t.leadsTo(last, last & mask);
        for (int i = 0; i < 16; i++) {
            long at = first + random.nextLong(last - first + 1);
            t.leadsTo(at, at & mask);
        }
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("pgsize_boundary")
    void aRangeAcrossABoundaryOfSizesIsMappedWhole(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        long first = t.start() + 0xfef8_0000L;
        if (format.pageLg2() > 12) {
            assertThat(t.map(first, 0x2_0000, 0x20_8b95_d000L)).isEqualTo(PageTableStatus.MISFIT);
            return;
        }
        t.mapped(first, 0x2_0000, 0x20_8b95_d000L);
        for (long at = 0; at < 0x2_0000; at += t.page()) {
            t.leadsTo(first + at, 0x20_8b95_d000L + at);
        }
        assertThat(t.walks(first - 1)).isFalse();
        assertThat(t.walks(first + 0x2_0000)).isFalse();
        assertThat(t.unmapped(first, 0x2_0000)).isEqualTo(0x2_0000);
        t.isGivenBackWhole();
    }

    @ParameterizedTest
    @MethodSource("formats")
    @DisplayName("mixed")
    void aRangeThatIsAlignedToNeitherEndHasTheFewestPages(PageTableFormat format) {
        TableFixture t = new TableFixture(format);
        long first = 0x3fe400L << 12;
        long length = (0x4c0600L << 12) - first;
        if (format.inputBits() <= 35) {
            assertThat(t.map(first, length, first)).isEqualTo(PageTableStatus.RANGE);
            return;
        }
        t.mapped(t.start() + first, length, first);
        if ((t.safeSizes() >>> 21 & 0x3ff) == 0x201) {
            // 2 MiB and 1 GiB, and nothing between: 14, 3 and 3.
            assertThat(t.leafCount()).isEqualTo(20);
            assertThat(t.leafCount(1L << 21)).isEqualTo(17);
            assertThat(t.leafCount(1L << 30)).isEqualTo(3);
        } else {
            int pages = 0;
            for (long at = 0; at < length; pages++) {
                int best = 0;
                for (int lg2 : sizesOf(t.table.pageSizes())) {
                    if ((first + at) % (1L << lg2) == 0 && length - at >= 1L << lg2) {
                        best = lg2;
                    }
                }
                at += 1L << best;
            }
            assertThat(t.leafCount()).isEqualTo(pages);
        }
        for (long at = 0; at < length; at += 1L << 20) {
            t.leadsTo(t.start() + first + at, first + at);
        }
        assertThat(t.unmapped(t.start() + first, length)).isEqualTo(length);
        t.isGivenBackWhole();
    }
}
