// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.ioasis.host.TableImage;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.smmuv3.StreamRefusal;
import org.ioasis.iommu.pagetable.smmuv3.StreamTable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Stream table, entries and context descriptors, bit by bit (host-side facts 6.1 and 7). */
class StreamTableTest {
    private static final long TABLE = 0x10_0000;
    private static final long SECOND_LEVEL = 0x20_0000;
    private static final long CONTEXTS = 0x30_0000;
    private static final long CONTEXTS_BELOW = 0x40_0000;

    // Config 5 (stage 1), 6 (stage 2), 7 (both), with V.
    private static final long STAGE1 = 0xb;
    private static final long STAGE2 = 0xd;
    private static final long BOTH = 0xf;

    /** AA64, IPS 48 bits, V, T0SZ 16: 48 bits of 4 KiB. */
    private static final long CD = 1L << 41 | 5L << 32 | 1L << 31 | 16;

    private final TableImage image = new TableImage();
    private final TwoStageWalk walk = new TwoStageWalk();

    private StreamTable linear() {
        return StreamTable.of(image, TABLE, 8, 48);
    }

    private static long ste(int sid) {
        return TABLE + sid * 64L;
    }

    private @Nullable StreamRefusal refusal(int sid, int ssid) {
        return linear().find(sid, ssid).refusal();
    }

    private void leadsTo(AddressSpace space, long iova, long output) {
        assertThat(space.translate(image, iova, Rights.READ, false, walk))
                .as("%s", walk.failed().fault())
                .isTrue();
        assertThat(walk.output()).isEqualTo(output);
    }

    @Test
    void aLinearTableHasAsManyStreamsAsItsSizeSays() {
        for (int sid = 0; sid < 256; sid++) {
            image.write(ste(sid), 0x9, 0, 0, 0);
        }
        assertThat(linear().find(255, StreamTable.NO_SSID).space())
                .isEqualTo(new AddressSpace(null, null, 0, 0, Rights.ALL));
        assertThat(refusal(256, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STREAM_ID);
        assertThat(refusal(-1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STREAM_ID);
        image.remove(ste(7));
        assertThat(refusal(7, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.STE_FETCH);
    }

    @Test
    void aTableOfTwoLevelsHasWhatTheSpansOfItsFirstSay() {
        // Format 1, split 8, 16 bits of streams.
        StreamTable table = StreamTable.of(image, TABLE, 1 << 16 | 8 << 6 | 16, 48);
        image.write(TABLE, SECOND_LEVEL | 5, 0, SECOND_LEVEL | 9, SECOND_LEVEL | 10);
        for (int i = 0; i < 256; i++) {
            image.write(SECOND_LEVEL + i * 64L, 0x9, 0, 0, 0);
        }
        // Span 5: sixteen entries.
        assertThat(table.find(15, StreamTable.NO_SSID).at()).isEqualTo(SECOND_LEVEL + 15 * 64);
        assertThat(table.find(15, StreamTable.NO_SSID).refusal()).isNull();
        assertThat(table.find(16, StreamTable.NO_SSID).refusal())
                .isEqualTo(StreamRefusal.BAD_STREAM_ID);
        // Span 0: none; 9: all of them; 10: more than the split has.
        assertThat(table.find(0x100, StreamTable.NO_SSID).refusal())
                .isEqualTo(StreamRefusal.BAD_STREAM_ID);
        assertThat(table.find(0x2ff, StreamTable.NO_SSID).refusal()).isNull();
        assertThat(table.find(0x300, StreamTable.NO_SSID).refusal())
                .isEqualTo(StreamRefusal.BAD_STREAM_ID);
        assertThat(table.find(0x400, StreamTable.NO_SSID).refusal())
                .isEqualTo(StreamRefusal.STE_FETCH);
        assertThat(table.find(0x1_0000, StreamTable.NO_SSID).refusal())
                .isEqualTo(StreamRefusal.BAD_STREAM_ID);
    }

    @Test
    void anEntryThatIsNotValidOrReservedIsBadAndAbortIsSilent() {
        image.write(ste(0), 0x8, 0, 0, 0);
        image.write(ste(1), 0x1, 0, 0, 0);
        assertThat(refusal(0, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        assertThat(refusal(1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.ABORT);
        for (long config = 1; config <= 3; config++) {
            image.write(ste(2), 1 | config << 1, 0, 0, 0);
            assertThat(refusal(2, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        }
        // S1Fmt 3 and S1DSS 3 are reserved where there are substreams.
        image.write(ste(3), STAGE1 | CONTEXTS | 3 << 4 | 1L << 59, 2, 0, 0);
        image.write(ste(4), STAGE1 | CONTEXTS | 1L << 59, 3, 0, 0);
        assertThat(refusal(3, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        assertThat(refusal(4, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
    }

    @Test
    void stage1WalksTheTableOfItsDescriptor() {
        ArmFormat format = ArmFormat.stage1(12, 48, 48, Half.LOWER);
        long ttb = image.tableOf(format, 0x1234_5000L, 0x7_7000L);
        image.write(ste(1), STAGE1 | CONTEXTS, 0, 0, 0);
        image.write(CONTEXTS, CD | 0x1234L << 48, ttb);
        AddressSpace space = linear().find(1, StreamTable.NO_SSID).space();
        assertThat(space.space()).isEqualTo(0x1234);
        assertThat(space.second()).isNull();
        leadsTo(space, 0x1234_5678L, 0x7_7678L);
        assertThat(space.translate(image, 1L << 48, Rights.READ, false, walk)).isFalse();
        assertThat(walk.failed().fault()).isEqualTo(WalkFault.RANGE);
        // TBI0: the highest byte is anybody's; what lies between is not.
        image.write(CONTEXTS, CD | 1L << 38, ttb);
        AddressSpace tagged = linear().find(1, StreamTable.NO_SSID).space();
        leadsTo(tagged, 0xab00_0000_1234_5678L, 0x7_7678L);
        assertThat(tagged.translate(image, 0xab01_0000_1234_5678L, 0, false, walk)).isFalse();
    }

    @Test
    void everyGranuleOfADescriptorIsWalked() {
        int[] granules = {12, 16, 14};
        for (int tg = 0; tg < 3; tg++) {
            ArmFormat format = ArmFormat.stage1(granules[tg], 40, 40, Half.LOWER);
            long ttb = image.tableOf(format, 0x12_3450_0000L, 0x77_0000L);
            image.write(ste(1), STAGE1 | CONTEXTS, 0, 0, 0);
            // T0SZ 24, IPS 40 bits.
            image.write(CONTEXTS, 1L << 41 | 2L << 32 | 1L << 31 | tg << 6 | 24, ttb);
            AddressSpace space = linear().find(1, StreamTable.NO_SSID).space();
            leadsTo(space, 0x12_3450_0678L, 0x77_0678L);
            assertThat(walk.pageLg2()).isEqualTo(granules[tg]);
        }
    }

    @Test
    void aDescriptorWithWhatNoneMaySayIsBad() {
        image.write(ste(1), STAGE1 | CONTEXTS, 0, 0, 0);
        long ttb = TableImage.TABLES;
        long[] bad = {
            CD & ~(1L << 31), // V
            CD & ~(1L << 41), // AA64
            CD | 1 << 15, // ENDI
            CD | 3 << 6, // TG0
            (CD & ~0x3f) | 15, // T0SZ below 16
            (CD & ~0x3f) | 40 // and above 39
        };
        for (long word : bad) {
            image.write(CONTEXTS, word, ttb);
            assertThat(refusal(1, StreamTable.NO_SSID))
                    .as("%x", word)
                    .isEqualTo(StreamRefusal.BAD_CD);
        }
        // A table beyond IPS of 32 bits.
        image.write(CONTEXTS, CD & ~(7L << 32), 1L << 32);
        assertThat(refusal(1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_CD);
        image.write(CONTEXTS, CD | 1 << 14, ttb);
        assertThat(refusal(1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.TRANSLATION);
        image.remove(CONTEXTS);
        assertThat(refusal(1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.CD_FETCH);
    }

    @Test
    void substreamsHaveDescriptorsOfTheirOwnInEachOfTheThreeForms() {
        long ttb = TableImage.TABLES;
        int[] leafLg2 = {20, 6, 10};
        for (int form = 0; form < 3; form++) {
            image.write(ste(1), STAGE1 | CONTEXTS | form << 4 | 12L << 59, 2, 0, 0);
            int ssid = 0x7c5;
            long cd = CONTEXTS + ssid * 64L;
            if (form != 0) {
                image.write(CONTEXTS + (ssid >>> leafLg2[form]) * 8L, CONTEXTS_BELOW | 1);
                cd = CONTEXTS_BELOW + (ssid & ((1 << leafLg2[form]) - 1)) * 64L;
            }
            image.write(cd, CD | 9L << 48, ttb);
            ContextAnswer<StreamRefusal> answer = linear().find(1, ssid);
            assertThat(answer.refusal()).as("form %d", form).isNull();
            assertThat(answer.at()).isEqualTo(cd);
            assertThat(answer.space().space()).isEqualTo(9);
            assertThat(refusal(1, 0x1000)).isEqualTo(StreamRefusal.BAD_SUBSTREAM_ID);
            assertThat(refusal(1, 0)).isEqualTo(StreamRefusal.STREAM_DISABLED);
            image.remove(cd);
            assertThat(refusal(1, ssid)).isEqualTo(StreamRefusal.CD_FETCH);
        }
        image.write(CONTEXTS + (0x7c5 >>> 10) * 8L, CONTEXTS_BELOW);
        assertThat(refusal(1, 0x7c5)).isEqualTo(StreamRefusal.BAD_SUBSTREAM_ID);
    }

    @Test
    void requestsWithoutASubstreamGoAsS1dssSays() {
        image.write(CONTEXTS, CD | 3L << 48, TableImage.TABLES);
        image.write(ste(1), STAGE1 | CONTEXTS | 4L << 59, 0, 0, 0);
        assertThat(refusal(1, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.STREAM_DISABLED);
        image.write(ste(1), STAGE1 | CONTEXTS | 4L << 59, 1, 0, 0);
        assertThat(linear().find(1, StreamTable.NO_SSID).space().first()).isNull();
        image.write(ste(1), STAGE1 | CONTEXTS | 4L << 59, 2, 0, 0);
        assertThat(linear().find(1, StreamTable.NO_SSID).space().space()).isEqualTo(3);
        // One descriptor, so no substreams.
        image.write(ste(1), STAGE1 | CONTEXTS, 0, 0, 0);
        assertThat(linear().find(1, StreamTable.NO_SSID).refusal()).isNull();
        assertThat(refusal(1, 0)).isEqualTo(StreamRefusal.BAD_SUBSTREAM_ID);
    }

    /** S2AA64, PS 48 bits, SL0, T0SZ. */
    private static long control(int startLevel, int size) {
        return 1L << 51 | (5L << 16 | (long) startLevel << 6 | size) << 32;
    }

    @Test
    void stage2BeginsWhereSl0SaysAndWithTablesSideBySide() {
        // 40 bits begin at ARM's level 1 with two tables, 39 with one of them, 34 at level 2 with
        // 16.
        int[][] forms = {{1, 24, 2}, {1, 25, 2}, {2, 20, 3}, {0, 30, 1}};
        for (int[] form : forms) {
            ArmFormat format = ArmFormat.stage2(12, 64 - form[1], 48, form[2], 0);
            long table = image.tableOf(format, 0x3_0000_0000L, 0x7_7000L);
            image.write(ste(2), STAGE2, 0, control(form[0], form[1]) | 0x55, table);
            AddressSpace space = linear().find(2, StreamTable.NO_SSID).space();
            assertThat(space.domain()).isEqualTo(0x55);
            leadsTo(space, 0x3_0000_0123L, 0x7_7123L);
            assertThat(refusal(2, 0)).isEqualTo(StreamRefusal.BAD_SUBSTREAM_ID);
        }
        // 35 bits from level 2 on would be 32 tables; 30 bits from level 1 on a part of an entry.
        image.write(ste(2), STAGE2, 0, control(0, 29), TableImage.TABLES);
        assertThat(refusal(2, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        image.write(ste(2), STAGE2, 0, control(1, 34), TableImage.TABLES);
        assertThat(refusal(2, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        // Not 64-bit, or big-endian.
        image.write(ste(2), STAGE2, 0, control(1, 25) & ~(1L << 51), TableImage.TABLES);
        assertThat(refusal(2, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
        image.write(ste(2), STAGE2, 0, control(1, 25) | 1L << 52, TableImage.TABLES);
        assertThat(refusal(2, StreamTable.NO_SSID)).isEqualTo(StreamRefusal.BAD_STE);
    }

    @Test
    void descriptorAndTablesOfStage1LieBehindStage2() {
        ArmFormat first = ArmFormat.stage1(12, 48, 39, Half.LOWER);
        long ttb = image.tableOf(first, 0x5000, 0x9000);
        PageTable second = image.table(ArmFormat.stage2(12, 39, 48));
        Gather gather = new Gather();
        int both = Rights.READ | Rights.WRITE;
        // Tables are where they are; the descriptor and the page lie elsewhere.
        long tables = TableImage.TABLES;
        assertThat(second.map(tables, tables + 0xf_ffff, tables, both, gather))
                .isEqualTo(PageTableStatus.OK);
        assertThat(second.map(0x9000, 0x9fff, 0xab_c000, Rights.READ, gather))
                .isEqualTo(PageTableStatus.OK);
        image.write(ste(3), BOTH | 0x6_0000, 0, control(1, 25) | 7, second.root() & ~7L);
        // HD and HA: what is clean is writable.
        image.write(CONTEXTS, CD | 8L << 48 | 3L << 42, ttb);
        ContextAnswer<StreamRefusal> answer = linear().find(3, StreamTable.NO_SSID);
        assertThat(answer.refusal()).isEqualTo(StreamRefusal.CD_BEHIND_STAGE2);
        assertThat(answer.at()).isEqualTo(0x6_0000);
        assertThat(second.map(0x6_0000, 0x6_0fff, CONTEXTS, both, gather))
                .isEqualTo(PageTableStatus.OK);
        AddressSpace space = linear().find(3, StreamTable.NO_SSID).space();
        assertThat(space.domain()).isEqualTo(7);
        assertThat(space.space()).isEqualTo(8);
        leadsTo(space, 0x5123, 0xab_c123);
        assertThat(space.translate(image, 0x5123, Rights.WRITE, false, walk)).isFalse();
        assertThat(walk.fault()).isEqualTo(TwoStageFault.SECOND_FOR_INPUT);
        assertThat(walk.failed().fault()).isEqualTo(WalkFault.PERMISSION);
    }

    @Test
    void randomStructuresEndAfterFourEntriesWithAnAnswer() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int found = 0;
        int refused = 0;
        for (int i = 0; i < 20_000; i++) {
            TableImage random64 = new TableImage();
            StreamTable table = StreamTable.of(random64, TABLE, random.nextInt(1 << 18), 48);
            long valid = random.nextBoolean() ? random.nextLong() | 1 : STAGE1;
            random64.write(TABLE, valid & ~0xf_ffff_ff00_0000L, random.nextLong());
            random64.write(TABLE + 16, random.nextLong(), random.nextLong());
            long cds = valid & 0xf_ffff_ffff_ffc0L & ~0xf_ffff_ff00_0000L;
            if (cds != TABLE) {
                random64.write(cds, CD ^ 1L << random.nextInt(64), random.nextLong());
            }
            ContextAnswer<StreamRefusal> answer = table.find(0, random.nextInt(3) - 1);
            assertThat(random64.loads()).as("seed %d", seed).isLessThanOrEqualTo(64);
            if (answer.refusal() == null) {
                found++;
            } else {
                refused++;
            }
        }
        assertThat(found).isPositive();
        assertThat(refused).isPositive();
    }
}
