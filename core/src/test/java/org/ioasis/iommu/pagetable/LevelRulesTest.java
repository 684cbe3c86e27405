// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.Formats;
import org.ioasis.iommu.pagetable.format.TceFormat;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a walk tells by bits alone is what the functions of the format say of the same entry. */
class LevelRulesTest {
    private static final int ENTRIES = 100_000;

    private int tables;
    private int pages;

    /** All formats, and those with traits or with less output than their entries have room for. */
    static List<PageTableFormat> formats() {
        List<PageTableFormat> formats = new ArrayList<>(Formats.ALL);
        formats.add(ArmFormat.stage1(12, 48, 40, Half.LOWER, 0));
        formats.add(ArmFormat.stage1(16, 48, 44, Half.UPPER, ArmFormat.IGNORES_ACCESS_FLAG));
        formats.add(ArmFormat.stage1(14, 47, 48, Half.LOWER, ArmFormat.IGNORES_TOP_BYTE));
        formats.add(ArmFormat.stage2(12, 40, 36, 2, ArmFormat.IGNORES_ACCESS_FLAG));
        formats.add(new X86Format(57, true, 46, X86Format.MARKS_EXTENDED));
        formats.add(new X86Format(48, false, 40, X86Format.IGNORES_WRITE_PROTECTION));
        formats.add(new VtdSecondStageFormat(39, 39, true));
        formats.add(Amdv1Format.ofMode(6, true));
        formats.add(TceFormat.window(16, 40, 3));
        return formats;
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anEntryThatItsBitsTellIsWhatTheFormatSays(PageTableFormat format) {
        long seed = System.nanoTime();
        System.out.println("plain entries " + format + " seed " + seed);
        Random random = new Random(seed);
        for (int level = 0; level <= format.lastTop(); level++) {
            LevelRules rules = format.rules()[level];
            assertThat(rules.level).isEqualTo(level);
            assertThat(rules.within).isEqualTo(Bits.mask(format.itemLg2(level)));
            tables = 0;
            pages = 0;
            for (int i = 0; i < ENTRIES; i++) {
                isAlike(format, rules, level, entry(format, level, random));
            }
            assertThat(tables > 0)
                    .as("tables of %d", level)
                    .isEqualTo(format.tableBits(level) != 0 && level > 0);
            assertThat(pages > 0).as("pages of %d", level).isEqualTo(format.pageBits(level) != 0);
        }
    }

    /** One that leads somewhere, with some bits changed: anywhere, or such as no mark is. */
    private static long entry(PageTableFormat format, int level, Random random) {
        long address = random.nextLong() & Bits.mask(format.outputBits());
        boolean isTable = level > 0 && random.nextBoolean();
        long entry =
                isTable
                        ? format.tableEntry(address & -1L << format.tableLg2(), level)
                        : format.leafEntry(
                                address & -1L << format.itemLg2(level),
                                level,
                                format.itemLg2(level),
                                format.attributes(Rights.ALL),
                                0);
        int flips = random.nextInt(5);
        for (int i = 0; i < flips; i++) {
            entry ^= 1L << random.nextInt(Long.SIZE);
        }
        return entry;
    }

    private void isAlike(PageTableFormat format, LevelRules rules, int level, long entry) {
        String what = "%s, level %d, 0x%x".formatted(format, level, entry);
        for (boolean marks : new boolean[] {false, true}) {
            if ((entry & rules.tableBits(marks)) == rules.tableValue(marks)) {
                tables++;
                assertThat(format.kind(entry, level)).as(what).isEqualTo(EntryKind.TABLE);
                assertThat(format.tableLevel(entry, level)).as(what).isEqualTo(level - 1);
                assertThat(format.table(entry, level))
                        .as(what)
                        .isEqualTo(entry & rules.tableAddress);
                assertThat(Bits.fits(entry & rules.tableAddress, format.outputBits()))
                        .as(what)
                        .isTrue();
                assertThat(format.rights(entry, level)).as(what).isEqualTo(Rights.ALL);
                if (marks) {
                    assertThat(format.marked(entry, EntryKind.TABLE, false))
                            .as(what)
                            .isEqualTo(entry);
                }
            }
        }
        if ((entry & rules.pageBits) == rules.pageValue) {
            pages++;
            assertThat(format.kind(entry, level)).as(what).isEqualTo(EntryKind.LEAF);
            assertThat(format.leafLg2(entry, level)).as(what).isEqualTo(rules.itemLg2);
            assertThat(format.output(entry, level)).as(what).isEqualTo(entry & rules.pageAddress);
            assertThat(Bits.fits(entry & rules.pageAddress, format.outputBits())).as(what).isTrue();
            assertThat(format.isUnaccessed(entry)).as(what).isFalse();
        }
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anAddressIsAdmittedAloneAsItIsInARange(PageTableFormat format) {
        Random random = new Random(format.inputBits());
        int admitted = 0;
        for (int i = 0; i < ENTRIES; i++) {
            long iova = random.nextLong() >> random.nextInt(Long.SIZE);
            iova = random.nextBoolean() ? iova : iova & Bits.mask(1 + random.nextInt(Long.SIZE));
            assertThat(format.admits(iova)).as("0x%x", iova).isEqualTo(format.admits(iova, iova));
            admitted += format.admits(iova) ? 1 : 0;
        }
        assertThat(admitted).isPositive();
    }

    @Test
    void anEntryThatForbidsSomethingIsNotToldByItsBits() {
        PageTableFormat format = new X86Format(48, true, 52);
        LevelRules rules = format.rules()[3];
        long open = format.tableEntry(0x1000, 3);
        assertThat(open & rules.tableBits(false)).isEqualTo(rules.tableValue(false));
        for (long bit : new long[] {1L << 1, 1L << 2, 1L << 63}) {
            assertThat((open ^ bit) & rules.tableBits(false)).isNotEqualTo(rules.tableValue(false));
        }
    }
}
