// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** Access to regions: across their borders, where nothing is, and where nothing may be. */
class DirectDmaTest {
    private final Guards guards = new Guards(new HandClock(), lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 16);
    private final Guard guard = guards.open();
    private final DirectDma dma = new DirectDma(memory, guard);
    private final byte[] bytes = new byte[0x4000];
    private final MemorySegment buffer = MemorySegment.ofArray(bytes);

    private Region add(Region region) {
        assertThat(memory.add(region)).isEqualTo(GuestMemory.Change.DONE);
        return region;
    }

    private static byte at(Region region, long offset) {
        return requireNonNull(region.segment()).get(JAVA_BYTE, offset);
    }

    private Outcome resolve(long address, long length, Access access) {
        dma.enter();
        try {
            return dma.resolve(address, length, access);
        } finally {
            dma.leave();
        }
    }

    private Outcome read(long address, long length) {
        dma.enter();
        try {
            return dma.read(address, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    private Outcome write(long address, long length) {
        dma.enter();
        try {
            return dma.write(address, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    /** Words, halves and bytes of a small copy, and the bulk copy above. */
    @Test
    void copiesOfEveryLengthAtEveryPlaceMoveTheirBytesAndNoOthers() {
        Region region = add(Ram.ram(0x10000, 0x1000));
        MemorySegment there = requireNonNull(region.segment());
        int copies = 0;
        for (int length = 0; length <= 130; length++) {
            for (int place = 0; place <= 8; place++) {
                for (int i = 0; i < 200; i++) {
                    bytes[i] = (byte) (i + 1);
                    there.set(JAVA_BYTE, i, (byte) -i);
                }
                byte[] before = bytes.clone();
                dma.enter();
                assertThat(dma.write(0x10000 + place, buffer, 8 - place, length))
                        .isEqualTo(Outcome.OK);
                assertThat(bytes).as("the source").isEqualTo(before);
                for (int i = 0; i < 200; i++) {
                    boolean isIn = i >= place && i < place + length;
                    assertThat(at(region, i))
                            .as("byte %d of a write of %d to %d", i, length, place)
                            .isEqualTo((byte) (isIn ? 9 - place + (i - place) : -i));
                }
                assertThat(dma.read(0x10000 + place, buffer, 150, length)).isEqualTo(Outcome.OK);
                dma.leave();
                System.arraycopy(before, 8 - place, before, 150, length);
                assertThat(bytes).as("after a read of %d from %d", length, place).isEqualTo(before);
                copies++;
            }
        }
        assertThat(copies).isEqualTo(131 * 9);
    }

    @Test
    void whereNothingIsItIsAbsentAndNotRefused() {
        add(Ram.ram(0x10000, 0x1000));

        assertThat(resolve(0xffff, 1, Access.READ)).isEqualTo(Outcome.ABSENT);
        assertThat(resolve(0x11000, 1, Access.WRITE)).isEqualTo(Outcome.ABSENT);
        assertThat(read(0x10800, 0x1000)).isEqualTo(Outcome.ABSENT);
        assertThat(write(0x10800, 0x1000)).isEqualTo(Outcome.ABSENT);
    }

    @Test
    void aRangeWithoutMemoryRefusesBoth() {
        add(Ram.rom(0xe0000, 0x1000));

        assertThat(read(0xe0000, 4)).isEqualTo(Outcome.REFUSED);
        assertThat(write(0xe0ffc, 4)).isEqualTo(Outcome.REFUSED);
    }

    @Test
    void readOnlyMemoryRefusesWritesAndKeepsItsContent() {
        Region region = add(Ram.readOnly(0xe0000, 0x1000));
        bytes[0] = 7;

        assertThat(write(0xe0000, 4)).isEqualTo(Outcome.REFUSED);
        assertThat(at(region, 0)).isZero();
        assertThat(read(0xe0000, 4)).isEqualTo(Outcome.OK);
        assertThat(bytes[0]).isZero();
    }

    @Test
    void resolveReachesToTheEndOfTheRegionOnly() {
        add(Ram.ram(0x10000, 0x1000));
        add(Ram.ram(0x11000, 0x1000));

        dma.enter();
        assertThat(dma.resolve(0x10ff0, 0x20, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(dma.reach()).isEqualTo(0x10);
        assertThat(dma.offset()).isEqualTo(0xff0);
        assertThat(dma.resolve(0x10ff0, 0x10, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(dma.reach()).isEqualTo(0x10);
        assertThat(dma.resolve(0x10ff0, 1, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(dma.reach()).isEqualTo(1);
        assertThat(dma.resolve(0x10000, Long.MAX_VALUE, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(dma.reach()).isEqualTo(0x1000);
        dma.leave();
    }

    @Test
    void copiesGoOnInTheNextRegion() {
        Region one = add(Ram.ram(0x10000, 0x1000));
        Region two = add(Ram.ram(0x11000, 0x1000));
        Region three = add(Ram.ram(0x12000, 0x1000));
        for (int i = 0; i < 0x1002; i++) {
            bytes[i] = (byte) (i + 1);
        }

        assertThat(write(0x10fff, 0x1002)).isEqualTo(Outcome.OK);

        assertThat(at(one, 0xffe)).isZero();
        assertThat(at(one, 0xfff)).isEqualTo((byte) 1);
        assertThat(at(two, 0)).isEqualTo((byte) 2);
        assertThat(at(three, 0)).isEqualTo((byte) 0x1002);
        assertThat(at(three, 1)).isZero();
        byte[] written = bytes.clone();
        buffer.fill((byte) 0);
        assertThat(read(0x10fff, 0x1002)).isEqualTo(Outcome.OK);
        assertThat(bytes).startsWith(java.util.Arrays.copyOf(written, 0x1002));
    }

    @Test
    void wordsHaveTheBytesOfEveryPlaceAlsoWhereARegionEnds() {
        Region one = add(Ram.ram(0x10000, 0x1000));
        Region two = add(Ram.ram(0x11000, 0x1000));
        for (int i = 0; i < 80; i++) {
            requireNonNull(one.segment()).set(JAVA_BYTE, 0x1000 - 80 + i, (byte) (i + 1));
            requireNonNull(two.segment()).set(JAVA_BYTE, i, (byte) (80 + i + 1));
        }
        int copies = 0;
        for (int length = 1; length <= 72; length++) {
            for (int back = 0; back <= 80; back++) {
                for (int at : new int[] {0, 3, 8}) {
                    long[] words = new long[10];
                    dma.enter();
                    assertThat(dma.readWords(0x11000 - back, words, at, length))
                            .isEqualTo(Outcome.OK);
                    dma.leave();
                    for (int i = 0; i < at + length; i++) {
                        int found = (int) (words[i / 8] >>> (8 * (i % 8))) & 0xff;
                        assertThat(found)
                                .as("byte %d of %d at %d, %d before the end", i, length, at, back)
                                .isEqualTo(i < at ? 0 : 80 - back + i - at + 1);
                    }
                    copies++;
                }
            }
        }
        assertThat(copies).isEqualTo(72 * 81 * 3);
    }

    @Test
    void wordsThatAreNotThereAreAbsentAndNoneLieBehindTheLastAddress() {
        add(Ram.ram(0x10000, 0x1000));
        add(Ram.ram(-0x1000L, 0x1000));
        dma.enter();
        assertThat(dma.readWords(0x10ffe, new long[1], 0, 4)).isEqualTo(Outcome.ABSENT);
        assertThat(dma.readWords(0x9000, new long[1], 0, 4)).isEqualTo(Outcome.ABSENT);
        assertThat(dma.readWords(-2L, new long[1], 0, 4)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.writeWords(0x10ff8, new long[2], 0, 2)).isEqualTo(Outcome.ABSENT);
        assertThat(dma.writeWords(-8L, new long[2], 0, 2)).isEqualTo(Outcome.REFUSED);
        assertThat(dma.writeInt(0x10ffe, 7)).isEqualTo(Outcome.ABSENT);
        assertThat(dma.writeInt(-2L, 7)).isEqualTo(Outcome.REFUSED);
        dma.leave();
    }

    @Test
    void wordsAreWrittenWhereverTheyLie() {
        Region one = add(Ram.ram(0x10000, 0x1000));
        Region two = add(Ram.ram(0x11000, 0x1000));
        long[] words = {-1, 0x0807060504030201L, 0x100f0e0d0c0b0a09L, -1};
        for (int back = 0; back <= 17; back++) {
            requireNonNull(one.segment()).fill((byte) 0);
            requireNonNull(two.segment()).fill((byte) 0);
            dma.enter();
            assertThat(dma.writeWords(0x11000 - back, words, 1, 2)).isEqualTo(Outcome.OK);
            dma.leave();
            for (int i = -18; i < 17; i++) {
                byte found = i < 0 ? at(one, 0x1000 + i) : at(two, i);
                int expected = i >= -back && i < 16 - back ? i + back + 1 : 0;
                assertThat(found)
                        .as("byte %d, from %d before the end of a region", i, back)
                        .isEqualTo((byte) expected);
            }
        }
    }

    @Test
    void fourBytesAreWrittenWhereverTheyLie() {
        Region one = add(Ram.ram(0x10000, 0x1000));
        Region two = add(Ram.ram(0x11000, 0x1000));
        for (int back = 1; back <= 5; back++) {
            requireNonNull(one.segment()).fill((byte) 0);
            requireNonNull(two.segment()).fill((byte) 0);
            dma.enter();
            assertThat(dma.writeInt(0x11000 - back, 0x04030201)).isEqualTo(Outcome.OK);
            dma.leave();
            for (int i = -6; i < 6; i++) {
                byte found = i < 0 ? at(one, 0x1000 + i) : at(two, i);
                int expected = i >= -back && i < 4 - back ? i + back + 1 : 0;
                assertThat(found)
                        .as("byte %d, %d before the end", i, back)
                        .isEqualTo((byte) expected);
            }
        }
    }

    @Test
    void eachSectionHasANumberOfItsOwn() {
        dma.enter();
        long first = dma.section();
        assertThat(dma.section()).isEqualTo(first).isNotZero();
        dma.leave();
        assertThat(dma.section()).as("between two").isNotEqualTo(first);
        dma.enter();
        assertThat(dma.section()).isNotEqualTo(first);
        dma.leave();
    }

    @Test
    void aCopyOfNothingIsFineEverywhere() {
        assertThat(read(0x123456, 0)).isEqualTo(Outcome.OK);
        assertThat(write(-1L, 0)).isEqualTo(Outcome.OK);
    }

    @Test
    void anAccessPastTheLastAddressDoesNotGoOnAtZero() {
        Region low = add(Ram.ram(0, 0x1000));
        add(Ram.ram(-0x1000L, 0x1000));
        bytes[0x1000] = 9;

        assertThat(read(-0x1000L, 0x1000)).isEqualTo(Outcome.OK);
        assertThat(read(-0x1000L, 0x1001)).isEqualTo(Outcome.REFUSED);
        assertThat(write(-0x1000L, 0x1001)).isEqualTo(Outcome.REFUSED);
        assertThat(write(-1L, 2)).isEqualTo(Outcome.REFUSED);
        assertThat(at(low, 0)).isZero();
    }

    @Test
    void nothingIsLeftOfAResolvedAddressAfterTheSection() {
        add(Ram.ram(0x10000, 0x1000));

        dma.enter();
        dma.resolve(0x10000, 4, Access.READ);
        assertThat(dma.segment().byteSize()).isEqualTo(0x1000);
        dma.leave();

        assertThat(dma.segment().byteSize()).isZero();
        assertThat(dma.reach()).isZero();
    }

    @Test
    void sectionsOfOneThreadDoNotNestEvenOverTwoDevices() {
        DirectDma other = new DirectDma(memory, guard);
        dma.enter();

        assertThatThrownBy(other::enter).isInstanceOf(IllegalStateException.class);

        dma.leave();
        other.enter();
        other.leave();
    }

    @Test
    void memoryThatComesBackIsFoundAgain() {
        add(Ram.ram(0x10000, 0x1000));
        memory.remove(0x10000, 0x10fff, () -> {});
        assertThat(read(0x10000, 4)).isEqualTo(Outcome.ABSENT);

        add(Ram.ram(0x10000, 0x1000));

        assertThat(read(0x10000, 4)).isEqualTo(Outcome.OK);
    }
}
