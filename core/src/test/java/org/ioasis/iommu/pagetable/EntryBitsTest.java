// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.TceFormat;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.junit.jupiter.api.Test;

/** Entries bit for bit, worked out by hand from the specifications' tables of fields. */
class EntryBitsTest {
    private static final int READ = Rights.READ;
    private static final int WRITE = Rights.WRITE;

    private final PageTableFormat amd = Amdv1Format.growing(3, false);
    private final PageTableFormat coherent = Amdv1Format.growing(3, true);
    private final PageTableFormat mock = Amdv1Format.mock();
    private final PageTableFormat x86 = new X86Format(48, true, 52);

    private static long leaf(PageTableFormat f, long output, int level, int sizeLg2, int rights) {
        return f.leafEntry(output, level, sizeLg2, f.attributes(rights), 0);
    }

    @Test
    void amdTablesNameTheLevelThatTheyLeadToAndAllowAll() {
        // PR, next level 1, IR, IW
        assertThat(amd.tableEntry(0x1234_5000L, 1)).isEqualTo(0x6000_0000_1234_5201L);
        // next level 5, in an entry of mode 6
        assertThat(amd.tableEntry(0x1234_5000L, 5)).isEqualTo(0x6000_0000_1234_5a01L);
    }

    @Test
    void amdPagesOfAnItemHaveNextLevelZeroAtAnyLevel() {
        assertThat(leaf(amd, 0xf_ffff_ffff_f000L, 0, 12, READ | WRITE))
                .isEqualTo(0x600f_ffff_ffff_f001L);
        assertThat(leaf(amd, 0x4000_0000L, 1, 21, READ)).isEqualTo(0x2000_0000_4000_0001L);
        assertThat(leaf(coherent, 0x4000_0000L, 2, 30, WRITE)).isEqualTo(0x5000_0000_4000_0001L);
        assertThat(leaf(amd, 0x1000, 0, 12, 0)).isEqualTo(0x1001);
    }

    @Test
    void amdPagesOfOtherSizesHaveNextLevelSevenAndARunOfOnes() {
        // 8 KiB: address bit 12 is the zero that ends an empty run.
        assertThat(leaf(amd, 0x2000, 0, 13, READ)).isEqualTo(0x2000_0000_0000_2e01L);
        // 64 KiB: three ones from bit 12 on, then a zero at bit 15.
        assertThat(leaf(amd, 0xab_0000, 0, 16, READ)).isEqualTo(0x2000_0000_00ab_7e01L);
        // 1 MiB in a table of 4 KiB pages, 4 MiB in one of 2 MiB pages.
        assertThat(leaf(amd, 0, 0, 20, READ)).isEqualTo(0x2000_0000_0007_fe01L);
        assertThat(leaf(amd, 0, 1, 22, READ)).isEqualTo(0x2000_0000_001f_fe01L);
        // 2^51, the largest: ones up to bit 49.
        assertThat(leaf(amd, 0, 4, 51, READ)).isEqualTo(0x2003_ffff_ffff_fe01L);
    }

    @Test
    void mockPagesCountAddressesInUnitsOfTheirSmallerPage() {
        assertThat(leaf(mock, 0x800, 0, 11, READ)).isEqualTo(0x2000_0000_0000_1001L);
        assertThat(leaf(mock, 0x1000, 0, 12, READ)).isEqualTo(0x2000_0000_0000_2e01L);
        // A huge page of the mock: 512 of its pages, one item of level 1.
        assertThat(leaf(mock, 0x10_0000, 1, 20, READ)).isEqualTo(0x2000_0000_0020_0001L);
        assertThat(mock.tableEntry(0x4000_1000L, 1)).isEqualTo(0x6000_0000_8000_2201L);
    }

    @Test
    void amdReadsWhatTheTableOfSizesSays() {
        // Ones in bits 12 to 19, then a zero: 2^(8+13) = 2 MiB... in a table of 4 KiB pages no
        // size.
        assertThat(amd.kind(0x6000_0000_000f_fe01L, 0)).isEqualTo(EntryKind.INVALID);
        assertThat(amd.kind(0x6000_0000_0007_fe01L, 0)).isEqualTo(EntryKind.LEAF);
        assertThat(amd.leafLg2(0x6000_0000_0007_fe01L, 0)).isEqualTo(20);
        assertThat(amd.output(0x6000_0000_0017_fe01L, 0)).isEqualTo(0x10_0000);
        // 512 GiB as an item of level 3 is none of ours, but it is one of the specification's.
        assertThat(amd.kind(0x6000_0000_0000_0001L, 3)).isEqualTo(EntryKind.LEAF);
        // The highest table has no pages, of either kind.
        assertThat(amd.kind(0x6000_0000_0000_0001L, 5)).isEqualTo(EntryKind.INVALID);
        assertThat(amd.kind(0x6000_0000_0000_0e01L, 5)).isEqualTo(EntryKind.INVALID);
        // A table of its own level or a higher one.
        assertThat(amd.kind(0x6000_0000_0000_1401L, 1)).isEqualTo(EntryKind.INVALID);
        assertThat(amd.kind(0x6000_0000_0000_1201L, 1)).isEqualTo(EntryKind.TABLE);
        assertThat(amd.kind(0x6000_0000_0000_1201L, 0)).isEqualTo(EntryKind.INVALID);
        assertThat(amd.kind(0x6000_0000_0000_1000L, 0)).isEqualTo(EntryKind.EMPTY);
    }

    @Test
    void x86EntriesArePresentAccessedAndOfTheUser() {
        assertThat(x86.tableEntry(0xf_ffff_ffff_f000L, 3)).isEqualTo(0xf_ffff_ffff_f027L);
        assertThat(leaf(x86, 0x1234_5000L, 0, 12, READ)).isEqualTo(0x1234_5025L);
        assertThat(leaf(x86, 0x1234_5000L, 0, 12, READ | WRITE)).isEqualTo(0x1234_5067L);
        assertThat(leaf(x86, 0x4020_0000L, 1, 21, READ)).isEqualTo(0x4020_00a5L);
        assertThat(leaf(x86, 0x4000_0000L, 2, 30, WRITE)).isEqualTo(0x4000_00e7L);
    }

    @Test
    void x86ReadsRightsAndReservedBits() {
        assertThat(x86.rights(0x8000_0000_0000_1001L, 0)).isEqualTo(READ);
        assertThat(x86.rights(0x1007L, 0)).isEqualTo(Rights.ALL);
        // PS is PAT in the lowest table, a page in the next two, and reserved above.
        assertThat(x86.kind(0x1081, 0)).isEqualTo(EntryKind.LEAF);
        assertThat(x86.kind(0x20_0081, 1)).isEqualTo(EntryKind.LEAF);
        assertThat(x86.kind(0x20_1081, 1)).as("bit 12 is PAT").isEqualTo(EntryKind.LEAF);
        assertThat(x86.output(0x20_1081, 1)).isEqualTo(0x20_0000);
        assertThat(x86.kind(0x20_2081, 1)).isEqualTo(EntryKind.INVALID);
        assertThat(x86.kind(0x81, 3)).isEqualTo(EntryKind.INVALID);
        PageTableFormat narrow = new X86Format(48, true, 39);
        assertThat(narrow.kind(0x7f_ffff_f001L, 0)).isEqualTo(EntryKind.LEAF);
        assertThat(narrow.kind(0x80_0000_0001L, 0)).isEqualTo(EntryKind.INVALID);
        assertThat(narrow.kind(0x80_0000_0001L, 2)).isEqualTo(EntryKind.INVALID);
    }

    @Test
    void vtdEntriesArePresentIfTheyCanBeReadOrWritten() {
        PageTableFormat vtd = new VtdSecondStageFormat(48, 46, false);
        assertThat(vtd.tableEntry(0x1234_5000L, 3)).isEqualTo(0x1234_5003L);
        assertThat(leaf(vtd, 0x1234_5000L, 0, 12, READ)).isEqualTo(0x1234_5001L);
        assertThat(leaf(vtd, 0x20_0000L, 1, 21, READ | WRITE)).isEqualTo(0x20_0083L);
        PageTableFormat snooping = new VtdSecondStageFormat(48, 46, true);
        assertThat(leaf(snooping, 0x4000_0000L, 2, 30, WRITE)).isEqualTo(0x4000_0882L);
        assertThat(vtd.attributes(0)).isEqualTo(PageTableFormat.NO_ATTRIBUTES);
        assertThat(vtd.kind(0x1234_5080L, 1)).isEqualTo(EntryKind.EMPTY);
        assertThat(vtd.kind(0x20_1081L, 1)).as("no PAT here").isEqualTo(EntryKind.INVALID);
        assertThat(vtd.kind(0x83, 3)).isEqualTo(EntryKind.INVALID);
        assertThat(vtd.kind(0x3fff_ffff_f001L, 0)).isEqualTo(EntryKind.LEAF);
        assertThat(vtd.kind(0x4000_0000_0001L, 0)).isEqualTo(EntryKind.INVALID);
        assertThat(vtd.marked(0x1003, EntryKind.LEAF, true)).isEqualTo(0x1303);
    }

    @Test
    void armStage1PagesBeginCleanAndReadOnlyUntilWritten() {
        PageTableFormat arm = ArmFormat.stage1(12, 48, 48, Half.LOWER);
        int data = READ | WRITE;
        assertThat(arm.tableEntry(0x1234_5000L, 3)).isEqualTo(0x1234_5003L);
        // XN 54, DBM 51, nG 11, AF 10, SH 9:8 inner, AP[2] 7, AttrIndx 1, page
        assertThat(leaf(arm, 0x1234_5000L, 0, 12, data)).isEqualTo(0x0048_0000_1234_5f87L);
        assertThat(leaf(arm, 0x1234_5000L, 0, 12, READ)).isEqualTo(0x0040_0000_1234_5f87L);
        // A block ends in 01, and is for the user with AP[1].
        assertThat(leaf(arm, 0x20_0000L, 1, 21, Rights.ALL)).isEqualTo(0x0008_0000_0020_0fc5L);
        long attributes = arm.attributes(READ);
        // The third of sixteen contiguous pages: bit 52, its own part of the output.
        long third = arm.leafEntry(0x1_0000L, 0, 16, attributes, 2);
        assertThat(third).isEqualTo(0x0050_0000_0001_2f87L);
        assertThat(arm.output(third, 0)).isEqualTo(0x1_0000L);
        long written = arm.marked(0x0048_0000_1234_5f87L, EntryKind.LEAF, true);
        assertThat(written).isEqualTo(0x0048_0000_1234_5f07L);
        assertThat(arm.isDirty(written)).isTrue();
        assertThat(arm.isDirty(0x0048_0000_1234_5f87L)).isFalse();
        assertThat(arm.isDirty(0x0000_0000_1234_5f07L)).as("without DBM").isFalse();
        assertThat(arm.kind(0x1234_5f05L, 0)).as("no block").isEqualTo(EntryKind.INVALID);
        assertThat(arm.kind(0x1, 3)).as("no block of 512 GiB").isEqualTo(EntryKind.INVALID);
        assertThat(arm.rights(0x7000_0000_0000_0003L, 1)).isEqualTo(READ);
    }

    @Test
    void armPagesAreReadOnlyWithoutHardwareThatMarksThemDirty() {
        PageTableFormat plain = ArmFormat.stage1(12, 48, 48, Half.LOWER, 0);
        long clean = 0x0048_0000_1234_5f87L; // DBM, read only
        assertThat(plain.rights(clean, 0) & WRITE).isZero();
        assertThat(plain.rights(clean & ~0x80, 0) & WRITE).isEqualTo(WRITE);
        assertThat(plain.marked(clean & ~0x480, EntryKind.LEAF, true)).isEqualTo(clean & ~0x80);
        PageTableFormat second = ArmFormat.stage2(12, 40, 40, 2, 0);
        assertThat(second.rights(0x0048_0000_0000_577fL, 0) & WRITE).isZero();
        assertThat(second.rights(0x0040_0000_0000_57ffL, 0) & WRITE).isEqualTo(WRITE);
    }

    @Test
    void armPagesWithoutTheAccessFlagAreUnaccessedUnlessAffdSaysSo() {
        PageTableFormat plain = ArmFormat.stage1(12, 48, 48, Half.LOWER, 0);
        PageTableFormat lax =
                ArmFormat.stage1(12, 48, 48, Half.LOWER, ArmFormat.IGNORES_ACCESS_FLAG);
        long page = 0x1234_5003L;
        assertThat(plain.isUnaccessed(page)).isTrue();
        assertThat(plain.isUnaccessed(page | 0x400)).isFalse();
        assertThat(lax.isUnaccessed(page)).isFalse();
        assertThat(x86.isUnaccessed(1)).as("a mark and no fault").isFalse();
    }

    @Test
    void globalPagesHaveGOrNoNg() {
        PageTableFormat arm = ArmFormat.stage1(12, 48, 48, Half.LOWER);
        assertThat(arm.isGlobal(0x1234_5403L)).isTrue();
        assertThat(arm.isGlobal(0x1234_5c03L)).isFalse();
        assertThat(ArmFormat.stage2(12, 40, 40).isGlobal(0x1234_5403L)).isFalse();
        assertThat(x86.isGlobal(0x1101)).isTrue();
        assertThat(x86.isGlobal(0x1001)).isFalse();
        assertThat(new VtdSecondStageFormat(48, 46, false).isGlobal(0x1103)).isFalse();
        assertThat(amd.isGlobal(-1L)).isFalse();
    }

    @Test
    void x86EntriesOfAPasidEntryThatSaysSoHaveAnExtendedAccessedBitAndNoWriteProtection() {
        PageTableFormat extended = new X86Format(48, true, 52, X86Format.MARKS_EXTENDED);
        assertThat(extended.marked(0x1007, EntryKind.LEAF, false)).isEqualTo(0x1427);
        assertThat(extended.marked(0x1007, EntryKind.LEAF, true)).isEqualTo(0x1467);
        assertThat(x86.marked(0x1007, EntryKind.LEAF, true)).isEqualTo(0x1067);
        PageTableFormat open = new X86Format(48, true, 52, X86Format.IGNORES_WRITE_PROTECTION);
        assertThat(open.rights(0x1001, 0) & WRITE).isEqualTo(WRITE);
        assertThat(x86.rights(0x1001, 0) & WRITE).isZero();
    }

    @Test
    void amdModesHaveNineBitsMoreEachUpToAllOfThem() {
        for (int mode = 1; mode <= 6; mode++) {
            PageTableFormat format = Amdv1Format.ofMode(mode, false);
            int bits = mode == 6 ? 64 : 12 + 9 * mode;
            assertThat(format.firstTop()).isEqualTo(mode - 1);
            assertThat(format.admits(0, Bits.mask(bits))).isTrue();
            assertThat(format.admits(0, -1L)).isEqualTo(mode == 6);
        }
    }

    @Test
    void armStage2BeginsWithAWholeEntryAndSixteenTablesAtMost() {
        // 4 KiB, level 2 of ours: entries of 1 GiB, so 31 to 43 bits.
        assertThat(ArmFormat.canBegin(12, 30, 2)).isFalse();
        assertThat(ArmFormat.canBegin(12, 31, 2)).isTrue();
        assertThat(ArmFormat.canBegin(12, 43, 2)).isTrue();
        assertThat(ArmFormat.canBegin(12, 44, 2)).isFalse();
        // 64 KiB, level 1: entries of 512 MiB, 13 bits of index.
        assertThat(ArmFormat.canBegin(16, 46, 1)).isTrue();
        assertThat(ArmFormat.canBegin(16, 47, 1)).isFalse();
        assertThat(ArmFormat.canBegin(12, 39, -1)).isFalse();
    }

    @Test
    void armContiguousPagesAreAsLargeAsTheGranuleSays() {
        int[][] forms = {{12, 16, 25}, {14, 21, 30}, {16, 21, 34}};
        for (int[] form : forms) {
            PageTableFormat arm = ArmFormat.stage1(form[0], 48, 48, Half.LOWER);
            long page = 1L << 52 | 0xc03;
            assertThat(arm.leafLg2(page, 0)).isEqualTo(form[1]);
            assertThat(arm.leafLg2(page & ~2, 1)).isEqualTo(form[2]);
        }
    }

    @Test
    void armStage2HasItsOwnRightsAndTablesSideBySide() {
        PageTableFormat arm = ArmFormat.stage2(12, 40, 40);
        // XN 54, DBM 51, AF, SH inner, S2AP read, MemAttr 1111, page
        assertThat(leaf(arm, 0x5000, 0, 12, READ | WRITE)).isEqualTo(0x0048_0000_0000_577fL);
        assertThat(leaf(arm, 0x5000, 0, 12, READ)).isEqualTo(0x0040_0000_0000_577fL);
        assertThat(arm.marked(0x0048_0000_0000_577fL, EntryKind.LEAF, true))
                .isEqualTo(0x0048_0000_0000_57ffL);
        // 40 bits begin at ARM's level 1, with two tables; 43 bits with sixteen.
        assertThat(arm.firstTop()).isEqualTo(2);
        assertThat(arm.topLg2(2)).isEqualTo(13);
        PageTableFormat sixteen = ArmFormat.stage2(12, 43, 43);
        assertThat(sixteen.firstTop()).isEqualTo(2);
        assertThat(sixteen.topLg2(2)).isEqualTo(16);
        assertThat(ArmFormat.stage2(12, 44, 44).firstTop()).isEqualTo(3);
    }

    @Test
    void tcesHaveTheirPageAndTwoBitsAndAreEmptyWithoutThem() {
        PageTableFormat tce = TceFormat.window(12, 30, 1);
        assertThat(leaf(tce, 0x1234_5000L, 0, 12, READ | WRITE)).isEqualTo(0x1234_5003L);
        assertThat(leaf(tce, 0x1234_5000L, 0, 12, READ)).isEqualTo(0x1234_5001L);
        assertThat(tce.kind(0xdead_beef_0000_000cL, 0)).isEqualTo(EntryKind.EMPTY);
        assertThat(tce.kind(2, 0)).isEqualTo(EntryKind.LEAF);
        assertThat(tce.attributes(0)).isEqualTo(PageTableFormat.NO_ATTRIBUTES);
        // One level has all entries of the window side by side: 2^18 of 8 bytes.
        assertThat(tce.topLg2(0)).isEqualTo(21);
        // Two levels of 2^14 entries each.
        PageTableFormat two = TceFormat.window(12, 40, 2);
        assertThat(two.tableLg2()).isEqualTo(17);
        assertThat(two.tableEntry(0x4000_0000L, 1)).isEqualTo(0x4000_0003L);
        assertThat(two.kind(0x4000_0003L, 1)).isEqualTo(EntryKind.TABLE);
        // As many levels as are needed, however many were asked for.
        assertThat(TceFormat.window(12, 24, 5).lastTop()).isEqualTo(1);
        assertThat(TceFormat.window(34, 63, 2).output(0x7_ffff_f003L, 0)).isEqualTo(0x4_0000_0000L);
    }

    @Test
    void windowsThatNoTableHasAreNone() {
        assertThat(TceFormat.admits(11, 30, 1)).isFalse();
        assertThat(TceFormat.admits(35, 63, 2)).isFalse();
        assertThat(TceFormat.admits(12, 12, 1)).isFalse();
        assertThat(TceFormat.admits(12, 64, 5)).isFalse();
        assertThat(TceFormat.admits(12, 40, 0)).isFalse();
        assertThat(TceFormat.admits(12, 40, 6)).isFalse();
        assertThat(TceFormat.admits(12, 30, 1)).isTrue();
        assertThat(TceFormat.admits(12, 31, 1)).isFalse();
        assertThat(TceFormat.admits(12, 63, 3)).isTrue();
    }
}
