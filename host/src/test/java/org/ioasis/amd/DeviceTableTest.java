// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.host.TableImage;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Device table entries and guest CR3 tables, bit by bit (host-side facts 6.5 and 7). */
class DeviceTableTest {
    private static final long TABLE = 0x10_0000;
    private static final long GCR3 = 0x20_0000;
    private static final int RID = 0x10;

    /** V, TV, IR and IW. */
    private static final long BOTH_WAYS = 3L << 61;

    private static final long VALID = BOTH_WAYS | 3;
    private static final long GUEST = 1L << 55;
    private static final long WITHOUT_PASID = 1L << 54;
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;

    private final TableImage image = new TableImage();
    private final TwoStageWalk walk = new TwoStageWalk();

    private DeviceTable table() {
        // Size 1: two pages, 256 entries.
        return DeviceTable.of(image, TABLE | 1, 52);
    }

    private void entry(long word0, long word1, long word2) {
        image.write(TABLE + RID * 32, word0, word1, word2, 0);
    }

    private @Nullable DeviceRefusal refusal(int pasid) {
        return table().find(RID, pasid).refusal();
    }

    private void leadsTo(AddressSpace space, long iova, long output) {
        assertThat(space.translate(image, iova, Rights.READ, false, walk))
                .as("%s", walk.failed().fault())
                .isTrue();
        assertThat(walk.output()).isEqualTo(output);
    }

    @Test
    void anEntryWalksTheHostsTableFromItsModeOn() {
        for (int mode = 1; mode <= 6; mode++) {
            Amdv1Format format = Amdv1Format.ofMode(mode, false);
            long root = image.tableOf(format, 0x1_5000L, 0x7_7000L);
            entry(VALID | (long) mode << 9 | root, 0x1234, 0);
            AddressSpace space = table().find(RID, DeviceTable.NO_PASID).space();
            assertThat(space.domain()).isEqualTo(0x1234);
            leadsTo(space, 0x1_5678L, 0x7_7678L);
            if (mode < 6) {
                long beyond = 1L << (12 + 9 * mode);
                assertThat(space.translate(image, beyond, 0, false, walk)).isFalse();
                assertThat(walk.failed().fault()).isEqualTo(WalkFault.RANGE);
            }
        }
    }

    @Test
    void whatIrAndIwDoNotLetThroughIsTheContextsFault() {
        long root = image.tableOf(Amdv1Format.ofMode(3, false), 0x5000, 0x9000);
        entry((VALID & ~(1L << 62)) | 3 << 9 | root, 0, 0);
        AddressSpace space = table().find(RID, DeviceTable.NO_PASID).space();
        leadsTo(space, 0x5000, 0x9000);
        assertThat(walk.rights() & Rights.WRITE).isZero();
        assertThat(space.translate(image, 0x5000, Rights.WRITE, false, walk)).isFalse();
        assertThat(walk.fault()).isEqualTo(TwoStageFault.CONTEXT);
        // Mode 0: addresses are what they are, and the two bits count all the same.
        entry(VALID & ~(1L << 61), 0, 0);
        AddressSpace plain = table().find(RID, DeviceTable.NO_PASID).space();
        assertThat(plain.translate(image, 0x5000, Rights.WRITE, false, walk)).isTrue();
        assertThat(walk.output()).isEqualTo(0x5000);
        assertThat(plain.translate(image, 0x5000, Rights.READ, false, walk)).isFalse();
    }

    @Test
    void anEntryThatIsNotValidLetsMemoryThroughAndOneWithoutTranslationNothing() {
        entry(0, 0, 0);
        assertThat(table().find(RID, DeviceTable.NO_PASID).space())
                .isEqualTo(new AddressSpace(null, null, 0, 0, Rights.ALL));
        assertThat(refusal(1)).isEqualTo(DeviceRefusal.NO_GUEST);
        entry(BOTH_WAYS | 1, 0, 0);
        assertThat(refusal(DeviceTable.NO_PASID)).isEqualTo(DeviceRefusal.NO_TRANSLATION);
        image.remove(TABLE + RID * 32);
        assertThat(refusal(DeviceTable.NO_PASID)).isEqualTo(DeviceRefusal.UNREADABLE);
        assertThat(table().find(255, DeviceTable.NO_PASID).refusal())
                .isEqualTo(DeviceRefusal.UNREADABLE);
        assertThat(table().find(256, DeviceTable.NO_PASID).refusal())
                .isEqualTo(DeviceRefusal.BEYOND_TABLE);
    }

    @Test
    void reservedValuesAreIllegal() {
        entry(VALID | 7 << 9, 0, 0);
        assertThat(refusal(DeviceTable.NO_PASID)).isEqualTo(DeviceRefusal.ILLEGAL);
        entry(VALID | GUEST | 3L << 56, 0, 0);
        assertThat(refusal(DeviceTable.NO_PASID)).isEqualTo(DeviceRefusal.ILLEGAL);
        for (long levels = 2; levels <= 3; levels++) {
            entry(VALID | GUEST, 0, levels << 54);
            assertThat(refusal(DeviceTable.NO_PASID)).isEqualTo(DeviceRefusal.ILLEGAL);
        }
        // Without GV nobody looks.
        entry(VALID | 3L << 56, 0, 3L << 54);
        assertThat(refusal(DeviceTable.NO_PASID)).isNull();
    }

    @Test
    void theAddressOfTheGuestTableIsInThreePieces() {
        DeviceEntry one = new DeviceEntry(7L << 58, 0xffffL << 16 | 0x1f_ffffL << 43, 0);
        assertThat(one.gcr3()).isEqualTo(0xf_ffff_ffff_f000L);
        assertThat(new DeviceEntry(5L << 58, 0, 0).gcr3()).isEqualTo(0x5000);
        assertThat(new DeviceEntry(0, 1L << 16, 0).gcr3()).isEqualTo(0x8000);
        assertThat(new DeviceEntry(0, 1L << 43, 0).gcr3()).isEqualTo(0x8000_0000L);
    }

    /** The pieces of {@link #GCR3}: bit 21 is in word 1. */
    private static final long GCR3_IN_WORD1 = GCR3 >>> 15 << 16;

    @Test
    void aPasidIsLookedUpInAsManyLevelsAsGlxSays() {
        int pasid = 0x4_3210 & 0x7_ffff;
        long pages = image.tableOf(new X86Format(48, true, 52), 0x5000, 0x9000);
        for (int glx = 0; glx <= 2; glx++) {
            int asked = pasid & ((1 << Math.min(20, 9 * (glx + 1))) - 1);
            long table = GCR3;
            for (int level = glx; level >= 0; level--) {
                long next = level == 0 ? pages : table + 0x1000;
                image.write(table + (asked >>> (9 * level) & 511) * 8L, next | 1);
                table = next;
            }
            entry(VALID | GUEST | (long) glx << 56, GCR3_IN_WORD1 | 3, 0);
            AddressSpace space = table().find(RID, asked).space();
            assertThat(space.space()).isEqualTo(asked);
            leadsTo(space, 0x5123, 0x9123);
            assertThat(refusal(DeviceTable.NO_PASID)).as("GIOV").isNull();
            assertThat(table().find(RID, DeviceTable.NO_PASID).space().first()).isNull();
            if (glx < 2) {
                assertThat(refusal(1 << (9 * (glx + 1)))).isEqualTo(DeviceRefusal.PASID_TOO_LARGE);
            }
        }
        entry(VALID | GUEST, GCR3_IN_WORD1, 0);
        assertThat(refusal(2)).isEqualTo(DeviceRefusal.GCR3_UNREADABLE);
        image.write(GCR3 + 2 * 8, pages);
        assertThat(refusal(2)).isEqualTo(DeviceRefusal.GCR3_ABSENT);
    }

    @Test
    void requestsWithoutAPasidHaveTheTableOfPasidZeroByGiovAndItsAddressesCountFromZero() {
        for (long levels = 0; levels <= 1; levels++) {
            int bits = levels == 0 ? 48 : 57;
            long high = 3L << (bits - 2);
            long pages = image.tableOf(new X86Format(bits, false, 52), high, 0x9000);
            image.write(GCR3, pages | 1);
            entry(VALID | GUEST | WITHOUT_PASID, GCR3_IN_WORD1, levels << 54);
            AddressSpace space = table().find(RID, DeviceTable.NO_PASID).space();
            leadsTo(space, high | 0x123, 0x9123);
            // With a PASID an address is canonical or none.
            AddressSpace zero = table().find(RID, 0).space();
            assertThat(zero.translate(image, high, 0, false, walk)).isFalse();
            assertThat(walk.failed().fault()).isEqualTo(WalkFault.RANGE);
            leadsTo(zero, high | -1L << bits, 0x9000);
        }
    }

    @Test
    void guestTablesLieBehindTheHostsTable() {
        long pages = image.tableOf(new X86Format(48, true, 52), 0x5000, 0x9000);
        image.write(0x7_0000 + 8, pages | 1);
        PageTable host = image.table(Amdv1Format.ofMode(4, false));
        Gather gather = new Gather();
        long tables = TableImage.TABLES;
        assertThat(host.map(tables, tables + 0xf_ffff, tables, READ_WRITE, gather))
                .isEqualTo(PageTableStatus.OK);
        assertThat(host.map(0x9000, 0x9fff, 0xab_c000, READ_WRITE, gather))
                .isEqualTo(PageTableStatus.OK);
        entry(VALID | GUEST | 4 << 9 | (host.root() & ~7L), GCR3_IN_WORD1, 0);
        assertThat(refusal(1)).isEqualTo(DeviceRefusal.GCR3_UNREADABLE);
        assertThat(host.map(GCR3, GCR3 + 0xfff, 0x7_0000, READ_WRITE, gather))
                .isEqualTo(PageTableStatus.OK);
        leadsTo(table().find(RID, 1).space(), 0x5123, 0xab_c123);
    }
}
