// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.iommu.pagetable.format.Amdv1Format;
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
}
