// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.nesting.Recorder.WORD;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.Smmuv3Command.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.nesting.Recorder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What each command of a guest takes away, and which ones a guest may not have. */
class Smmuv3CommandsTest {
    private static final int VMID = 0x77;
    private static final Set<Integer> GUEST =
            Set.of(
                    CFGI_CD,
                    CFGI_CD_ALL,
                    TLBI_NH_ALL,
                    TLBI_NH_ASID,
                    TLBI_NH_VA,
                    TLBI_NH_VAA,
                    TLBI_NSNH_ALL,
                    ATC_INV);

    private final Recorder caches = new Recorder();

    /** The guest's stream 0xfffffff0 is the host's 5; it has no other. */
    private final Smmuv3Commands commands =
            new Smmuv3Commands(
                    caches,
                    caches,
                    virtual -> virtual == 0xffff_fff0L ? 5 : Smmuv3Commands.Streams.NONE,
                    VMID);

    private List<String> of(long word0, long word1) {
        caches.said.clear();
        assertThat(commands.command(word0, word1)).isNull();
        return caches.said;
    }

    private static long asid(long asid) {
        return asid << ASID_SHIFT | 0x1234L << 32;
    }

    @Test
    @Tag("S29")
    void translationsGoByTheScopeOfTheCommandAndTheVmidIsTheHosts() {
        assertThat(of(TLBI_NH_ALL | 0x1234L << 32, 0)).containsExactly("firstStage 77");
        assertThat(of(TLBI_NSNH_ALL, -1)).containsExactly("firstStage 77");
        assertThat(of(TLBI_NH_ASID | asid(0xffff), 0)).containsExactly("space 77 ffff");
        assertThat(of(TLBI_NH_VA | asid(9), 0x7fff_f000L | LEAF))
                .containsExactly("range 77 9 7ffff000 7ffff000 0");
        assertThat(of(TLBI_NH_VAA | asid(9), 0xffff_ffff_ffff_f000L))
                .containsExactly("everySpace 77 fffffffffffff000 fffffffffffff000 0");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, 1, 0x10000, 0x10fff",
        "31, 0, 1, 0x10000, 0x2ffff",
        "1, 3, 1, 0x10000, 0x1ffff",
        "0, 0, 2, 0x10000, 0x13fff",
        "3, 1, 3, 0x10000, 0x8ffff",
        "31, 31, 1, 0x10000, 0x100000000ffff",
        "31, 31, 3, 0x10000, 0x1000000000ffff",
    })
    void aRangeIsAsManyPagesOfItsGranuleAsItSays(
            long num, long scale, long granule, String first, String last) {
        long word0 = TLBI_NH_VA | asid(1) | num << NUM_SHIFT | scale << SCALE_SHIFT;
        assertThat(of(word0, Long.decode(first) | granule << TG_SHIFT))
                .containsExactly(
                        "range 77 1 %x %x 0".formatted(Long.decode(first), Long.decode(last)));
    }

    @Test
    void aRangeEndsWithTheAddressSpace() {
        long word0 = TLBI_NH_VAA | 31L << NUM_SHIFT | 31L << SCALE_SHIFT;
        assertThat(of(word0, 0xffff_ffff_ffff_f000L | 1L << TG_SHIFT))
                .containsExactly("everySpace 77 fffffffffffff000 ffffffffffffffff 0");
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 30", "1, 2, 21", "1, 3, 12", "2, 2, 25", "2, 3, 14", "3, 2, 29", "3, 3, 16"})
    void theLevelOfTheLeafIsASizeOfPages(long granule, long level, int leafLg2) {
        assertThat(of(TLBI_NH_VA, granule << TG_SHIFT | level << 8).getFirst())
                .endsWith(" " + Integer.toHexString(leafLg2));
    }

    @Test
    void streamsAreTheHostsAndContextsGoByThem() {
        long sid = 0xffff_fff0L << SID_SHIFT;
        assertThat(of(CFGI_CD | sid | 0xf_ffffL << SSID_SHIFT, LEAF))
                .containsExactly("context 5 fffff");
        assertThat(of(CFGI_CD_ALL | sid, 0)).containsExactly("contexts 5");
        assertThat(of(ATC_INV | sid | SSV | 3L << SSID_SHIFT, 0x5000L | 1))
                .containsExactly("forget 5 3 4000 5fff");
        assertThat(of(ATC_INV | sid, 0x5000))
                .containsExactly("forget 5 ffffffffffffffff 5000 5fff");
        assertThat(of(ATC_INV | sid | ATC_GLOBAL, 0x5000L | ATC_SIZE_ALL))
                .containsExactly("forgetAll 5 0 ffffffffffffffff");
        assertThat(of(ATC_INV | sid | ATC_GLOBAL, 0x5000L | 63))
                .as("reserved sizes take all")
                .containsExactly("forgetAll 5 0 ffffffffffffffff");
    }

    @ParameterizedTest
    @ValueSource(ints = {CFGI_CD, CFGI_CD_ALL, ATC_INV})
    void aStreamThatTheGuestDoesNotHaveIsRefused(int opcode) {
        assertThat(commands.command(opcode | 1L << SID_SHIFT, 0))
                .isEqualTo(InvalidationRefusal.DEVICE);
        assertThat(caches.said).isEmpty();
    }

    @Test
    @Tag("S29")
    void everyOtherCommandIsTheVmmsAndRefused() {
        int refused = 0;
        for (int opcode = 0; opcode < 256; opcode++) {
            if (!GUEST.contains(opcode)) {
                assertThat(commands.command(opcode | 0xffff_fff0L << SID_SHIFT, 0))
                        .as("0x%x", opcode)
                        .isEqualTo(InvalidationRefusal.COMMAND);
                refused++;
            }
        }
        assertThat(refused).isEqualTo(248);
        assertThat(caches.said).isEmpty();
    }

    @Test
    @Tag("S29")
    void theCountIsTheIndexOfTheOneThatWasRefusedAndNothingBehindItIsDone() {
        MemorySegment queue =
                words(
                        TLBI_NH_ASID | asid(1),
                        0,
                        TLBI_NH_ASID | asid(2),
                        0,
                        SYNC,
                        0,
                        TLBI_NH_ASID | asid(3),
                        0);
        for (int first = 0; first < 3; first++) {
            caches.said.clear();
            long handled = commands.run(queue, (long) first * SIZE, SIZE, 4 - first);
            assertThat(Handled.done(handled)).isEqualTo(2 - first);
            assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.COMMAND);
            assertThat(caches.said).hasSize(2 - first);
        }
    }

    @Test
    @Tag("S33")
    void aQueueIsConsumedWhereItIsByTwoCallsAroundItsEnd() {
        MemorySegment queue = Arena.ofAuto().allocate(8L * SIZE, 4096);
        for (int i = 0; i < 8; i++) {
            queue.set(WORD, (long) i * SIZE, TLBI_NH_ASID | asid(i));
        }
        MemorySegment guest = queue.asReadOnly();
        assertThat(commands.run(guest, 6L * SIZE, SIZE, 2)).isEqualTo(Handled.all(2));
        assertThat(commands.run(guest, 0, SIZE, 3)).isEqualTo(Handled.all(3));
        assertThat(caches.said)
                .containsExactly(
                        "space 77 6", "space 77 7", "space 77 0", "space 77 1", "space 77 2");
    }

    @Test
    void longerEntriesEndWithZerosAndShorterOnesAreNone() {
        MemorySegment entries = words(TLBI_NH_ALL, 0, 0, TLBI_NH_ALL, 0, 1L << 63);
        long handled = commands.run(entries, 0, 24, 2);
        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.TAIL);
        assertThat(Handled.refusal(commands.run(entries, 0, SIZE - 1, 1)))
                .isEqualTo(InvalidationRefusal.SHORT);
        assertThat(commands.run(entries, 0, 0, 0)).isEqualTo(Handled.all(0));
    }

    @Test
    @Tag("S33")
    void aBatchAllocatesNothing() {
        MemorySegment queue = Arena.ofAuto().allocate(64L * SIZE, 8);
        for (int i = 0; i < 64; i++) {
            queue.set(WORD, (long) i * SIZE, (i % 2 == 0 ? TLBI_NH_VA : TLBI_NH_ASID) | asid(i));
        }
        caches.isQuiet = true;
        assertThat(Allocation.ofCompiled(() -> commands.run(queue, 0, SIZE, 64))).isZero();
        assertThat(caches.count).isPositive();
    }

    /** The same command by numbers without an end: the least and the most address of its scope. */
    private static String plain(long word0, long word1) {
        BigInteger end = BigInteger.ONE.shiftLeft(64);
        BigInteger first = new BigInteger(Long.toUnsignedString(word1 & ~0xfffL));
        BigInteger last = first;
        int granule = (int) (word1 >>> 10) & 3;
        if (granule != 0) {
            int bits = new int[] {0, 12, 14, 16}[granule];
            first = first.shiftRight(bits).shiftLeft(bits);
            BigInteger pages = BigInteger.valueOf(((word0 >>> 12) & 31) + 1);
            last =
                    first.add(pages.shiftLeft(bits + ((int) (word0 >>> 20) & 31)))
                            .subtract(BigInteger.ONE);
        }
        last = last.min(end.subtract(BigInteger.ONE));
        return " " + first.toString(16) + " " + last.toString(16) + " ";
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverStandsInAQueueItIsDoneOrRefusedAsAPlainReadingSays(long seed) {
        Random random = new Random(seed);
        int[] opcodes = GUEST.stream().mapToInt(Integer::intValue).sorted().toArray();
        int ranges = 0;
        for (int i = 0; i < 200_000; i++) {
            long word0 = random.nextLong();
            long word1 = random.nextLong();
            if (random.nextInt(4) != 0) {
                word0 = (word0 & ~0xffL) | opcodes[random.nextInt(opcodes.length)];
            }
            if (random.nextBoolean()) {
                word0 = (word0 & 0xffff_ffffL) | 0xffff_fff0L << 32;
            }
            caches.said.clear();
            InvalidationRefusal refusal = commands.command(word0, word1);
            int opcode = (int) word0 & 0xff;
            if (!GUEST.contains(opcode)) {
                assertThat(refusal).isEqualTo(InvalidationRefusal.COMMAND);
            }
            assertThat(caches.said).hasSize(refusal == null ? 1 : 0);
            if (opcode == TLBI_NH_VA || opcode == TLBI_NH_VAA) {
                assertThat(caches.said.getFirst()).contains(plain(word0, word1));
                ranges++;
            }
        }
        assertThat(ranges).isGreaterThan(10_000);
    }
}
