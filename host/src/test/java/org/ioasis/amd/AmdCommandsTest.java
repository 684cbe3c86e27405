// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.AmdCommand.*;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
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
class AmdCommandsTest {
    private static final long ALL = 0x7fff_ffff_ffff_f000L;

    private final Recorder caches = new Recorder();
    private final List<String> tables = new ArrayList<>();

    /** The guest's domain 2 is the host's 0x22, its device 3 the host's 0x33; it has no other. */
    private final AmdCommands commands =
            new AmdCommands(
                    caches,
                    caches,
                    new AmdCommands.Names() {
                        @Override
                        public int domain(int ofGuest) {
                            return ofGuest == 2 ? 0x22 : NONE;
                        }

                        @Override
                        public int device(int ofGuest) {
                            return ofGuest == 3 ? 0x33 : NONE;
                        }

                        @Override
                        public void forgetDomains() {
                            caches.domain(0x22);
                        }

                        @Override
                        public void table(int ofGuest, int space) {
                            if (!caches.isQuiet) {
                                tables.add("%x %x".formatted(ofGuest, space));
                            }
                        }
                    });

    private long run(long... words) {
        caches.said.clear();
        return commands.run(words(words), 0, SIZE, words.length / 2);
    }

    private static long pages(long domain, long pasid) {
        return (long) INV_PAGES << OPCODE_SHIFT | domain << PAGES_DOMAIN_SHIFT | pasid;
    }

    @Test
    @Tag("S29")
    void pagesGoByDomainAndPasidAndTheWholeOfAPasidIsItsTableToo() {
        assertThat(run(pages(2, 0xf_ffff), 0x5000 | GUEST)).isEqualTo(Handled.all(1));
        assertThat(caches.said).containsExactly("range 22 fffff 5000 5fff 0");
        assertThat(tables).isEmpty();
        run(pages(2, 7), ALL | SIZE_BIT | GUEST);
        assertThat(caches.said).containsExactly("range 22 7 0 ffffffffffffffff 0");
        assertThat(tables).containsExactly("2 7");
        run(pages(2, 7), 0x5000 | PDE);
        assertThat(caches.said).containsExactly("everySpace 22 5000 5fff 0");
        assertThat(run(pages(4, 7), 0x5000 | PDE)).isEqualTo(Handled.all(1));
        assertThat(caches.said).as("a domain that nothing is attached to").isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "0x0, 0x0, 0x1fff",
        "0x4000, 0x4000, 0x5fff",
        "0x5000, 0x4000, 0x7fff",
        "0x1ff000, 0x0, 0x3fffff",
        "0xfffff000, 0x0, 0x1ffffffff",
    })
    void theSizeIsARunOfOnes(String address, String first, String last) {
        run(pages(2, 0), Long.decode(address) | SIZE_BIT);
        assertThat(caches.said)
                .containsExactly(
                        "everySpace 22 %x %x 0".formatted(Long.decode(first), Long.decode(last)));
    }

    @Test
    void whatADeviceKeepsGoesByItsNameAndPasid() {
        long iotlb = (long) INV_IOTLB << OPCODE_SHIFT | 3;
        run(
                iotlb | 0xabL << IOTLB_PASID_LOW_SHIFT | 0x123L << IOTLB_PASID_HIGH_SHIFT,
                0x1000 | GUEST);
        assertThat(caches.said).containsExactly("forget 33 123ab 1000 1fff");
        run(iotlb, ALL | SIZE_BIT);
        assertThat(caches.said).containsExactly("forgetAll 33 0 ffffffffffffffff");
        assertThat(Handled.refusal(run(iotlb + 1, 0))).isEqualTo(InvalidationRefusal.DEVICE);
    }

    @Test
    @Tag("S29")
    void everyOtherCommandIsTheVmmsAndRefusedByItsIndex() {
        int refused = 0;
        for (long opcode = 0; opcode < 16; opcode++) {
            if (opcode != INV_PAGES && opcode != INV_IOTLB && opcode != INV_ALL) {
                long handled = run(pages(2, 0), 0, opcode << OPCODE_SHIFT, 0, pages(2, 1), 0);
                assertThat(Handled.done(handled)).isEqualTo(1);
                assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.COMMAND);
                assertThat(caches.said).hasSize(1);
                refused++;
            }
        }
        assertThat(refused).isEqualTo(13);
        run((long) INV_ALL << OPCODE_SHIFT, 0);
        assertThat(caches.said).containsExactly("domain 22");
    }

    @Test
    void aBatchAllocatesNothing() {
        MemorySegment array =
                words(pages(2, 1), 0x1000 | GUEST, pages(2, 1), ALL | SIZE_BIT | GUEST);
        caches.isQuiet = true;
        assertThat(Allocation.ofCompiled(() -> commands.run(array, 0, SIZE, 2))).isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverACommandIsItsRangeHasItsAddressAndIsAPowerOfTwo(long seed) {
        Random random = new Random(seed);
        int ranges = 0;
        for (int i = 0; i < 200_000; i++) {
            long word0 = random.nextLong();
            long word1 =
                    random.nextLong() | (random.nextInt(3) == 0 ? -1L >>> random.nextInt(64) : 0);
            if (random.nextBoolean()) {
                word0 = pages(2, random.nextInt(1 << 20));
            }
            long handled = run(word0, word1);
            assertThat(Handled.done(handled) == 1).isEqualTo(Handled.refusal(handled) == null);
            for (String line : caches.said) {
                if (line.startsWith("range") || line.startsWith("every")) {
                    String[] parts = line.split(" ", -1);
                    long first = Long.parseUnsignedLong(parts[parts.length - 3], 16);
                    long last = Long.parseUnsignedLong(parts[parts.length - 2], 16);
                    long address = word1 & ~0xfffL;
                    assertThat(Long.compareUnsigned(first, address)).isNotPositive();
                    assertThat(Long.compareUnsigned(last, address)).isNotNegative();
                    assertThat(last - first & (last - first + 1)).isZero();
                    assertThat(first & (last - first)).isZero();
                    ranges++;
                }
            }
        }
        assertThat(ranges).isGreaterThan(10_000);
    }
}
