// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.Formats;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Walks through tables that a guest wrote: it may have written anything, and be writing still. */
class HostileTableTest {
    private static final long TOP = 0x1_0000;
    private static final long TABLE = 0x2_0000;

    private final GuestTables guest = new GuestTables();
    private final Walk walk = new Walk();

    /** A guest's memory, word by word; what was not written is absent. */
    private static final class GuestTables implements TableAccess {
        final Map<Long, Long> words = new HashMap<>();
        Outcome marking = Outcome.OK;
        boolean isRestless;
        int loads;

        void write(long table, long index, long entry) {
            words.put(table + index * Long.BYTES, entry);
        }

        @Override
        public Outcome load(long address, Cell into) {
            loads++;
            Long word = words.get(address);
            if (word == null) {
                return Outcome.ABSENT;
            }
            into.set(word);
            return Outcome.OK;
        }

        @Override
        public Outcome exchange(long address, long expected, long word, Cell witness) {
            if (marking != Outcome.OK) {
                return marking;
            }
            long there = words.getOrDefault(address, 0L) + (isRestless ? 0x1000 : 0);
            witness.set(there);
            words.put(address, there == expected ? word : there);
            return Outcome.OK;
        }
    }

    static List<PageTableFormat> formats() {
        return Formats.ALL;
    }

    private boolean walks(PageTableFormat format, long iova, int access, boolean marks) {
        long root = Root.of(TOP, format.firstTop());
        return Walker.walk(format, guest, root, iova, access, marks, walk);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aTableThatLeadsToItselfEndsAtTheLowestLevel(PageTableFormat format) {
        for (int level = 1; level <= format.firstTop(); level++) {
            guest.words.clear();
            guest.loads = 0;
            guest.write(TOP, 0, format.tableEntry(TOP, level));
            long first = format.half() == Half.UPPER ? ~Bits.mask(format.inputBits()) : 0;
            walks(format, first, Rights.READ, false);
            assertThat(guest.loads).isBetween(1, format.firstTop() + 1);
        }
        assertThat(format.firstTop()).isPositive();
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anEntryThatIsAbsentIsSaidWithItsLevelAndAddress(PageTableFormat format) {
        long first = format.half() == Half.UPPER ? ~Bits.mask(format.inputBits()) : 0;
        assertThat(walks(format, first, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TABLE);
        assertThat(walk.tableOutcome()).isEqualTo(Outcome.ABSENT);
        assertThat(walk.level()).isEqualTo(format.firstTop());
        assertThat(walk.entryAddress()).isEqualTo(TOP);

        guest.write(TOP, 0, format.tableEntry(TABLE, format.firstTop()));
        assertThat(walks(format, first, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TABLE);
        assertThat(walk.level()).isEqualTo(format.firstTop() - 1);
        assertThat(walk.entryAddress()).isEqualTo(TABLE);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void randomEntriesNeverTakeAWalkFartherThanItsLevels(PageTableFormat format) {
        long seed = System.nanoTime();
        System.out.println("random entries " + format + " seed " + seed);
        Random random = new Random(seed);
        TableAccess memory =
                new TableAccess() {
                    @Override
                    public Outcome load(long address, Cell into) {
                        guest.loads++;
                        into.set(random.nextLong() | (random.nextBoolean() ? 3 : 1));
                        return random.nextInt(64) == 0 ? Outcome.FAULT : Outcome.OK;
                    }

                    @Override
                    public Outcome exchange(long at, long expected, long word, Cell witness) {
                        witness.set(random.nextInt(4) == 0 ? word : expected);
                        return Outcome.OK;
                    }
                };
        Map<WalkFault, Integer> seen = new EnumMap<>(WalkFault.class);
        int most = (format.firstTop() + 1) * Walker.MARK_TRIES;
        long reach = Bits.mask(format.reachLg2(format.firstTop()));
        for (int i = 0; i < 20_000; i++) {
            guest.loads = 0;
            long root = Root.of(TOP, format.firstTop());
            boolean isDone =
                    Walker.walk(
                            format,
                            memory,
                            root,
                            format.iova(random.nextLong() & reach),
                            random.nextInt(16),
                            random.nextBoolean(),
                            walk);
            assertThat(guest.loads).as("seed %d", seed).isLessThanOrEqualTo(most);
            assertThat(isDone).isEqualTo(walk.fault() == WalkFault.NONE);
            if (isDone) {
                assertThat(Bits.fits(walk.output(), format.outputBits())).isTrue();
            }
            seen.merge(walk.fault(), 1, Integer::sum);
        }
        assertThat(seen).containsKey(WalkFault.TABLE);
    }

    @Test
    void amdTablesMayLeaveLevelsOutWhoseAddressBitsAreZero() {
        PageTableFormat format = Amdv1Format.growing(4, false);
        // From mode 4 to mode 1: bits 38 to 21 have no table.
        guest.write(TOP, 0, format.tableEntry(TABLE, 1));
        guest.write(TABLE, 3, format.leafEntry(0x5000, 0, 12, format.attributes(Rights.READ), 0));
        assertThat(walks(format, 0x3123, Rights.READ, false)).isTrue();
        assertThat(walk.output()).isEqualTo(0x5123);
        assertThat(walks(format, 0x20_3123, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TRANSLATION);
        assertThat(walks(format, 0x40_0000_3123L, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TRANSLATION);
    }

    @Test
    void rightsAreThoseOfAllLevelsTogether() {
        PageTableFormat format = new X86Format(39, false, 52);
        long user = 0x4;
        guest.write(TOP, 0, TABLE | 1 | user); // neither writable
        guest.write(TABLE, 0, (TABLE + 0x1000) | 3); // nor for the user
        guest.write(TABLE + 0x1000, 0, 0x8000_0000_0000_7007L); // nor executable
        assertThat(walks(format, 0, 0, false)).isTrue();
        assertThat(walk.rights()).isEqualTo(Rights.READ);
        for (int access : new int[] {Rights.WRITE, Rights.EXECUTE, Rights.USER}) {
            assertThat(walks(format, 0, access, true)).isFalse();
            assertThat(walk.fault()).isEqualTo(WalkFault.PERMISSION);
            assertThat(walk.level()).isZero();
        }
        assertThat(guest.words.get(TABLE + 0x1000))
                .as("a refused access marks no page")
                .isEqualTo(0x8000_0000_0000_7007L);
        assertThat(walks(format, 0, Rights.READ, false)).isTrue();
    }

    @Test
    void aPageThatWasNotAccessedIsAFaultOfItsOwnUnlessWhoWalksMarksIt() {
        PageTableFormat format = ArmFormat.stage1(12, 39, 48, Half.LOWER, 0);
        guest.write(TOP, 0, TABLE | 3);
        guest.write(TABLE, 0, 0x20_0041L); // a block, for users, without the access flag
        assertThat(walks(format, 5, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.ACCESS_FLAG);
        assertThat(walk.level()).isEqualTo(1);
        assertThat(walks(format, 5, Rights.READ, true)).isTrue();
        assertThat(guest.words.get(TABLE)).isEqualTo(0x20_0441L);
        assertThat(walks(format, 5, Rights.READ, false)).isTrue();
    }

    @Test
    void theTopByteOfAnAddressIsAnybodysWhereTheTableSaysSo() {
        PageTableFormat plain = ArmFormat.stage1(12, 39, 48, Half.LOWER, 0);
        PageTableFormat tagged =
                ArmFormat.stage1(12, 39, 48, Half.LOWER, ArmFormat.IGNORES_TOP_BYTE);
        PageTableFormat upper =
                ArmFormat.stage1(12, 39, 48, Half.UPPER, ArmFormat.IGNORES_TOP_BYTE);
        guest.write(TOP, 0, TABLE | 3);
        guest.write(TABLE, 0, 0x20_0441L);
        long address = 0xa500_0000_0000_0005L;
        assertThat(walks(plain, address, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.RANGE);
        assertThat(walks(tagged, address, Rights.READ, false)).isTrue();
        assertThat(walk.output()).isEqualTo(0x20_0005L);
        assertThat(walks(tagged, 1L << 55, Rights.READ, false)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.RANGE);
        assertThat(walks(upper, 0xa5ff_ff80_0000_0005L, Rights.READ, false)).isTrue();
        assertThat(walks(upper, address, Rights.READ, false)).isFalse();
    }

    @Test
    void marksAreSetOnTheWayAndOnlyWhatIsMissing() {
        PageTableFormat format = new X86Format(39, false, 52);
        guest.write(TOP, 0, TABLE | 7);
        guest.write(TABLE, 0, 0x20_0087L);
        assertThat(walks(format, 5, Rights.READ, true)).isTrue();
        assertThat(guest.words.get(TOP)).isEqualTo(TABLE | 0x27);
        assertThat(guest.words.get(TABLE)).isEqualTo(0x20_00a7L);
        assertThat(walks(format, 5, Rights.WRITE, true)).isTrue();
        assertThat(guest.words.get(TABLE)).isEqualTo(0x20_00e7L);
        assertThat(walk.entry()).isEqualTo(0x20_00e7L);
        // All there: memory that cannot be marked any more is not asked.
        guest.marking = Outcome.REFUSED;
        assertThat(walks(format, 5, Rights.WRITE, true)).isTrue();
        guest.write(TABLE, 0, 0x20_0087L);
        assertThat(walks(format, 5, Rights.READ, true)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TABLE);
        assertThat(walk.tableOutcome()).isEqualTo(Outcome.REFUSED);
    }

    @Test
    void aGuestThatChangesItsEntryAllTheTimeGetsAFaultAtTheLimitOfTries() {
        PageTableFormat format = new X86Format(39, false, 52);
        guest.write(TOP, 0, TABLE | 0x27);
        guest.write(TABLE, 0, 0x4000_0087L);
        guest.isRestless = true;
        assertThat(walks(format, 0, Rights.WRITE, true)).isFalse();
        // Its entry goes up by a page with each try and soon has reserved bits; one that stays
        // valid
        // is tried so often and no more.
        assertThat(walk.fault()).isEqualTo(WalkFault.FORMAT);
        guest.write(TOP, 0, TABLE | 7);
        guest.loads = 0;
        for (long table = TABLE; table < TABLE + 64 * 0x1000; table += 0x1000) {
            guest.write(table, 0, 0x7027);
        }
        assertThat(walks(format, 0, Rights.READ, true)).isFalse();
        assertThat(walk.fault()).isEqualTo(WalkFault.TABLE);
        assertThat(walk.tableOutcome()).isEqualTo(Outcome.FAULT);
        assertThat(guest.loads).isEqualTo(Walker.MARK_TRIES);
    }

    @Test
    void addressesOfTheHoleBetweenTheHalvesAreRefused() {
        PageTableFormat format = new X86Format(48, true, 52);
        guest.write(TOP, 0, 0);
        guest.write(TOP, 255, 0);
        guest.write(TOP, 256, 0);
        guest.write(TOP, 511, 0);
        for (long iova : new long[] {0, 0x7fff_ffff_ffffL, 0xffff_8000_0000_0000L, -1L}) {
            assertThat(walks(format, iova, 0, false)).isFalse();
            assertThat(walk.fault()).as("%x", iova).isEqualTo(WalkFault.TRANSLATION);
        }
        for (long iova : new long[] {0x8000_0000_0000L, 0xffff_7fff_ffff_ffffL, 1L << 63}) {
            assertThat(walks(format, iova, 0, false)).isFalse();
            assertThat(walk.fault()).as("%x", iova).isEqualTo(WalkFault.RANGE);
        }
    }
}
