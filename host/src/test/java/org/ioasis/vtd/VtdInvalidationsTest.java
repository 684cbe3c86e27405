// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.nesting.Recorder.WORD;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.IommufdNesting.VTD_INVALIDATE_SIZE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.host.Allocation;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What each entry takes away of a first stage, and which are none. */
class VtdInvalidationsTest {
    private static final int SIZE = VTD_INVALIDATE_SIZE;

    private final List<String> said = new ArrayList<>();
    private final VtdInvalidations entries =
            new VtdInvalidations(
                    new VtdInvalidations.Table() {
                        @Override
                        public void invalidateAll() {
                            said.add("all");
                        }

                        @Override
                        public void invalidate(long first, long last) {
                            said.add("%x %x".formatted(first, last));
                        }
                    });

    @Test
    @Tag("S29")
    void pagesAreARangeAndAllOnesAreAll() {
        MemorySegment array =
                words(0x1000, 1, 0, 0x2000, 16, 1, 0, -1, 0, 0x5000, 0, 0, -0x1000, 1, 1);
        assertThat(entries.run(array, 0, SIZE, 5)).isEqualTo(Handled.all(5));
        assertThat(said)
                .containsExactly(
                        "1000 1fff", "2000 11fff", "all", "fffffffffffff000 ffffffffffffffff");
    }

    @Test
    @Tag("S29")
    void theCountIsTheIndexOfTheEntryThatIsRefused() {
        MemorySegment array = words(0, 1, 0, 0x1000, 1, 2, 0, 1, 0);
        long handled = entries.run(array, 0, SIZE, 3);
        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.FLAG);
        assertThat(said).containsExactly("0 fff");
        assertThat(Handled.refusal(entries.run(words(0, 1, 1L << 32), 0, SIZE, 1)))
                .isEqualTo(InvalidationRefusal.FLAG);
        assertThat(Handled.refusal(entries.run(words(0x1001, 1, 0), 0, SIZE, 1)))
                .isEqualTo(InvalidationRefusal.ALIGNMENT);
        assertThat(Handled.refusal(entries.run(words(0x1000, -1, 0), 0, SIZE, 1)))
                .isEqualTo(InvalidationRefusal.ALIGNMENT);
        assertThat(Handled.refusal(entries.run(words(0, 1, 0), 0, SIZE - 1, 1)))
                .isEqualTo(InvalidationRefusal.SHORT);
        assertThat(said).hasSize(1);
    }

    @Test
    void aBatchAllocatesNothing() {
        VtdInvalidations quiet =
                new VtdInvalidations(
                        new VtdInvalidations.Table() {
                            @Override
                            public void invalidateAll() {}

                            @Override
                            public void invalidate(long first, long last) {}
                        });
        MemorySegment array = Arena.ofAuto().allocate(64L * SIZE, 8);
        for (int i = 0; i < 64; i++) {
            array.set(WORD, (long) i * SIZE + 8, i);
        }
        assertThat(Allocation.ofCompiled(() -> quiet.run(array, 0, SIZE, 64))).isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whateverAnEntryIsItsRangeIsThatOfAPlainReading(long seed) {
        Random random = new Random(seed);
        BigInteger most = BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE);
        int ranges = 0;
        for (int i = 0; i < 200_000; i++) {
            long address = random.nextLong() & (random.nextInt(8) == 0 ? -1 : ~0xfffL);
            long pages = random.nextLong() >>> random.nextInt(64);
            long flags = random.nextInt(4) == 0 ? random.nextLong() : random.nextInt(2);
            said.clear();
            long handled = entries.run(words(address, pages, flags), 0, SIZE, 1);
            boolean isRefused =
                    (flags & ~1L) != 0 || (address & 0xfff) != 0 || (pages == -1 && address != 0);
            assertThat(Handled.done(handled)).isEqualTo(isRefused ? 0 : 1);
            if (!isRefused && pages != 0 && pages != -1) {
                BigInteger first = new BigInteger(Long.toUnsignedString(address));
                BigInteger last =
                        new BigInteger(Long.toUnsignedString(pages))
                                .shiftLeft(12)
                                .add(first)
                                .subtract(BigInteger.ONE)
                                .min(most);
                assertThat(said).containsExactly(first.toString(16) + " " + last.toString(16));
                ranges++;
            }
        }
        assertThat(ranges).isGreaterThan(10_000);
    }
}
