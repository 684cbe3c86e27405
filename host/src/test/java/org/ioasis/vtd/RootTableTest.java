// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.host.TableImage;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.junit.jupiter.api.Test;

/** Root, context and PASID tables, bit by bit (host-side facts 6.4 and 7). */
class RootTableTest {
    private static final long ROOT = 0x10_0000;
    private static final long CONTEXTS = 0x11_0000;
    private static final long DIRECTORY = 0x12_0000;
    private static final long PASIDS = 0x13_0000;
    private static final int RID = 0x0298; // bus 2, device 19
    private static final int READ_WRITE = Rights.READ | Rights.WRITE;

    private final TableImage image = new TableImage();
    private final TwoStageWalk walk = new TwoStageWalk();

    private RootTable legacy() {
        return RootTable.of(image, ROOT, 46);
    }

    private RootTable scalable() {
        return RootTable.of(image, ROOT | 1 << 10, 46);
    }

    private void legacyContext(long low, long high) {
        image.write(ROOT + 2 * 16, CONTEXTS | 1, 0);
        image.write(CONTEXTS + 0x98 * 16, low, high);
    }

    private VtdRefusal legacyRefusal() {
        return requireNonNull(legacy().find(RID, RootTable.NO_PASID, false).refusal());
    }

    /** Present, of eight times 2^7 directory entries or fewer, with RID_PASID 5. */
    private void scalableContext(long flags) {
        image.write(ROOT + 2 * 16 + 8, CONTEXTS | 1);
        image.write(CONTEXTS + 0x18 * 32, DIRECTORY | 1 | flags, 5);
    }

    private void pasid(int pasid, long... words) {
        image.write(DIRECTORY + (pasid >>> 6) * 8L, PASIDS | 1);
        image.write(PASIDS + (pasid & 63) * 64L, words);
    }

    private VtdRefusal refusal(int pasid) {
        return requireNonNull(scalable().find(RID, pasid, false).refusal());
    }

    private void leadsTo(AddressSpace space, long iova, long output) {
        assertThat(space.translate(image, iova, Rights.READ, false, walk))
                .as("%s", walk.failed().fault())
                .isTrue();
        assertThat(walk.output()).isEqualTo(output);
    }

    @Test
    void aLegacyContextWalksItsSecondStageOfEachWidth() {
        int[] bits = {39, 48, 57};
        for (int width = 1; width <= 3; width++) {
            VtdSecondStageFormat format = new VtdSecondStageFormat(bits[width - 1], 46, false);
            long table = image.tableOf(format, 0x1234_5000L, 0x7_7000L);
            legacyContext(table | 1, 0x4321L << 8 | width);
            AddressSpace space = legacy().find(RID, RootTable.NO_PASID, false).space();
            assertThat(space.domain()).isEqualTo(0x4321);
            assertThat(space.first()).isNull();
            leadsTo(space, 0x1234_5678L, 0x7_7678L);
            assertThat(space.translate(image, 1L << bits[width - 1], 0, false, walk)).isFalse();
            assertThat(walk.fault()).isEqualTo(TwoStageFault.SECOND_FOR_INPUT);
            assertThat(walk.failed().fault()).isEqualTo(WalkFault.RANGE);
        }
    }

    @Test
    void aLegacyContextThatPassesThroughTranslatesNothing() {
        legacyContext(1 | 2 << 2, 9L << 8 | 2);
        assertThat(legacy().find(RID, RootTable.NO_PASID, false).space())
                .isEqualTo(new AddressSpace(null, null, 9, 0, Rights.ALL));
        assertThat(legacy().find(RID, 1, false).refusal())
                .isEqualTo(VtdRefusal.UNSUPPORTED_REQUEST);
    }

    @Test
    void eachWayALegacyLookCanEndHasItsReason() {
        assertThat(legacyRefusal()).isEqualTo(VtdRefusal.ROOT_UNREADABLE);
        image.write(ROOT + 2 * 16, CONTEXTS, 0);
        assertThat(legacyRefusal()).isEqualTo(VtdRefusal.ROOT_ABSENT);
        assertThat(legacyRefusal().reason()).isEqualTo(1);
        image.write(ROOT + 2 * 16, CONTEXTS | 3, 0);
        assertThat(legacyRefusal()).isEqualTo(VtdRefusal.ROOT_RESERVED);
        image.write(ROOT + 2 * 16, CONTEXTS | 1, 1);
        assertThat(legacyRefusal().reason()).isEqualTo(0xa);
        image.write(ROOT + 2 * 16, CONTEXTS | 1, 0);
        assertThat(legacyRefusal()).isEqualTo(VtdRefusal.CONTEXT_UNREADABLE);
        legacyContext(TableImage.TABLES, 2);
        assertThat(legacyRefusal().reason()).isEqualTo(2);
        legacyContext(TableImage.TABLES | 1 | 3 << 2, 2);
        assertThat(legacyRefusal().reason()).isEqualTo(3);
        legacyContext(TableImage.TABLES | 1, 0);
        assertThat(legacyRefusal()).as("AW").isEqualTo(VtdRefusal.CONTEXT_INVALID);
        legacyContext(TableImage.TABLES | 1, 4);
        assertThat(legacyRefusal()).as("AW").isEqualTo(VtdRefusal.CONTEXT_INVALID);
        legacyContext(1L << 46 | 1, 2);
        assertThat(legacyRefusal()).as("beyond").isEqualTo(VtdRefusal.CONTEXT_INVALID);
        legacyContext(TableImage.TABLES | 1 | 0x10, 2);
        assertThat(legacyRefusal().reason()).isEqualTo(0xb);
    }

    @Test
    void aPasidEntryWalksItsFirstStageForUsers() {
        for (int levels = 0; levels <= 1; levels++) {
            X86Format format = new X86Format(levels == 0 ? 48 : 57, true, 46);
            long table = image.tableOf(format, 0x1234_5000L, 0x7_7000L);
            scalableContext(0);
            pasid(5, 1 | 1 << 6, 0x77, table | levels << 2);
            AddressSpace space = scalable().find(RID, RootTable.NO_PASID, false).space();
            assertThat(space.domain()).isEqualTo(0x77);
            assertThat(space.space()).as("RID_PASID").isEqualTo(5);
            leadsTo(space, 0x1234_5678L, 0x7_7678L);
            // A hole between the halves: not canonical.
            long hole = levels == 0 ? 1L << 47 : 1L << 56;
            assertThat(space.translate(image, hole, 0, false, walk)).isFalse();
            assertThat(walk.failed().fault()).isEqualTo(WalkFault.RANGE);
        }
    }

    @Test
    void aPageThatIsNotTheUsersIsForPrivilegedRequestsAndTheyNeedSre() {
        scalableContext(0);
        // One page of 1 GiB, read only, not of the user, in a table of the user's.
        image.write(0x20_0000, 0x20_1007);
        image.write(0x20_1000, 0x4000_0081L);
        pasid(5, 1 | 1 << 6, 0, 0x20_0000);
        AddressSpace user = scalable().find(RID, RootTable.NO_PASID, false).space();
        assertThat(user.translate(image, 0x123, Rights.READ, false, walk)).isFalse();
        assertThat(walk.failed().fault()).isEqualTo(WalkFault.PERMISSION);
        ContextAnswer<VtdRefusal> refused = scalable().find(RID, RootTable.NO_PASID, true);
        assertThat(refused.refusal()).isEqualTo(VtdRefusal.SUPERVISOR);
        assertThat(VtdRefusal.SUPERVISOR.reason()).isEqualTo(0x5d);
        // SRE, and without WPE a privileged write goes everywhere.
        pasid(5, 1 | 1 << 6, 0, 0x20_0001);
        AddressSpace privileged = scalable().find(RID, RootTable.NO_PASID, true).space();
        leadsTo(privileged, 0x123, 0x4000_0123L);
        assertThat(privileged.translate(image, 0x123, Rights.WRITE, false, walk)).isTrue();
        pasid(5, 1 | 1 << 6, 0, 0x20_0011);
        AddressSpace isProtected = scalable().find(RID, RootTable.NO_PASID, true).space();
        assertThat(isProtected.translate(image, 0x123, Rights.WRITE, false, walk)).isFalse();
        assertThat(isProtected.translate(image, 0x123, Rights.READ, false, walk)).isTrue();
    }

    @Test
    void theFirstStageKeepsAccessedAndDirtyBitsAndTheSecondBySlade() {
        scalableContext(0);
        image.write(0x20_0000, 0x20_1007);
        image.write(0x20_1000, 0x4000_0087L);
        pasid(5, 1 | 1 << 6, 0, 0x20_0000 | 1 << 7); // EAFE
        AddressSpace first = scalable().find(RID, RootTable.NO_PASID, false).space();
        assertThat(first.translate(image, 0, Rights.WRITE, true, walk)).isTrue();
        assertThat(walk.first().entry()).isEqualTo(0x4000_04e7L);
        image.write(0x20_2000, 0x20_3003);
        image.write(0x20_3000, 0x4000_0083L);
        pasid(5, 0x20_2000 | 1 | 1 << 2 | 2 << 6 | 1 << 9, 0, 0);
        AddressSpace second = scalable().find(RID, RootTable.NO_PASID, false).space();
        assertThat(second.translate(image, 0, Rights.WRITE, true, walk)).isTrue();
        assertThat(walk.failed().entry()).isEqualTo(0x4000_0383L);
        image.write(0x20_3000, 0x4000_0083L);
        pasid(5, 0x20_2000 | 1 | 1 << 2 | 2 << 6, 0, 0);
        AddressSpace unmarked = scalable().find(RID, RootTable.NO_PASID, false).space();
        assertThat(unmarked.translate(image, 0, Rights.WRITE, true, walk)).isTrue();
        assertThat(walk.failed().entry()).isEqualTo(0x4000_0083L);
    }

    @Test
    void nestedTablesLieBehindTheSecondStage() {
        long first = image.tableOf(new X86Format(48, true, 46), 0x5000, 0x9000);
        PageTable second = image.table(new VtdSecondStageFormat(48, 46, false));
        Gather gather = new Gather();
        long tables = TableImage.TABLES;
        assertThat(second.map(tables, tables + 0xf_ffff, tables, READ_WRITE, gather))
                .isEqualTo(PageTableStatus.OK);
        assertThat(second.map(0x9000, 0x9fff, 0xab_c000, Rights.READ, gather))
                .isEqualTo(PageTableStatus.OK);
        scalableContext(1 << 3);
        pasid(70, (second.root() & ~7L) | 1 | 2 << 2 | 3 << 6, 0x12, first);
        AddressSpace space = scalable().find(RID, 70, false).space();
        assertThat(space.space()).isEqualTo(70);
        leadsTo(space, 0x5123, 0xab_c123);
        assertThat(space.translate(image, 0x5123, Rights.WRITE, false, walk)).isFalse();
        assertThat(walk.fault()).isEqualTo(TwoStageFault.SECOND_FOR_INPUT);
        assertThat(walk.intermediate()).isEqualTo(0x9123);
    }

    @Test
    void eachWayAScalableLookCanEndHasItsReason() {
        assertThat(refusal(-1)).isEqualTo(VtdRefusal.SCALABLE_ROOT_UNREADABLE);
        image.write(ROOT + 2 * 16 + 8, CONTEXTS);
        assertThat(refusal(-1).reason()).isEqualTo(0x39);
        image.write(ROOT + 2 * 16 + 8, CONTEXTS | 1);
        assertThat(refusal(-1)).isEqualTo(VtdRefusal.SCALABLE_CONTEXT_UNREADABLE);
        image.write(CONTEXTS + 0x18 * 32, DIRECTORY, 5);
        assertThat(refusal(-1).reason()).isEqualTo(0x41);
        scalableContext(0);
        assertThat(refusal(5)).isEqualTo(VtdRefusal.PASID_NOT_ENABLED);
        // PDTS 0: 2^7 directory entries of 64 PASIDs each.
        scalableContext(1 << 3);
        assertThat(refusal(0x2000).reason()).isEqualTo(0x46);
        assertThat(refusal(0x1fff)).isEqualTo(VtdRefusal.DIRECTORY_UNREADABLE);
        scalableContext(1 << 3 | 7 << 9);
        assertThat(refusal(0xf_ffff)).isEqualTo(VtdRefusal.DIRECTORY_UNREADABLE);
        assertThat(refusal(0x10_0000)).isEqualTo(VtdRefusal.PASID_TOO_LARGE);
        image.write(DIRECTORY, PASIDS);
        assertThat(refusal(-1).reason()).isEqualTo(0x51);
        image.write(DIRECTORY, PASIDS | 1);
        assertThat(refusal(-1)).isEqualTo(VtdRefusal.PASID_UNREADABLE);
        pasid(5, 1 << 6, 0, 0x20_0000);
        assertThat(refusal(-1).reason()).isEqualTo(0x59);
        for (long type : new long[] {0, 5, 6, 7}) {
            pasid(5, 1 | type << 6, 0, 0);
            assertThat(refusal(-1).reason()).isEqualTo(0x5b);
        }
        pasid(5, 1 | 1 << 6, 0, 0x20_0000 | 2 << 2);
        assertThat(refusal(-1)).as("six levels").isEqualTo(VtdRefusal.PASID_INVALID);
        pasid(5, 1 | 2 << 6, 0, 0);
        assertThat(refusal(-1)).as("AW 0").isEqualTo(VtdRefusal.PASID_INVALID);
        pasid(5, 1 | 4 << 6, 0x55, 0);
        assertThat(scalable().find(RID, -1, false).space())
                .isEqualTo(new AddressSpace(null, null, 0x55, 5, Rights.ALL));
    }
}
