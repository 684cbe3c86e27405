// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.SplitRing.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The driver's side of a ring, as a device would see it in memory. */
class RingTest {
    private static final long BASE = 0x10000;
    private static final Ring.Buffer IN = new Ring.Buffer(0x1234, 20, false);
    private static final Ring.Buffer OUT = new Ring.Buffer(0x5678, 4, true);

    private final MemorySegment ram = Arena.ofAuto().allocate(0x20000, 4096);
    private final Ring ring = new Ring(ram, BASE);

    @BeforeEach
    void clear() {
        ram.fill((byte) 0xff);
        ring.clear();
    }

    private String descriptor(long table, int index) {
        long at = table + descBytes(index);
        return "0x%x+%d flags %d next %d"
                .formatted(
                        ram.get(JAVA_LONG_UNALIGNED, at + DESC_ADDR),
                        ram.get(JAVA_INT_UNALIGNED, at + DESC_LEN),
                        ram.get(JAVA_SHORT, at + DESC_FLAGS),
                        ram.get(JAVA_SHORT, at + DESC_NEXT));
    }

    private int available() {
        return Short.toUnsignedInt(ram.get(JAVA_SHORT, ring.availAddress() + AVAIL_IDX));
    }

    private void use(int at, int head, int length) {
        long element = ring.usedAddress() + USED_RING + (long) USED_ELEM_SIZE * (at % Ring.SIZE);
        ram.set(JAVA_INT_UNALIGNED, element + USED_ELEM_ID, head);
        ram.set(JAVA_INT_UNALIGNED, element + USED_ELEM_LEN, length);
        ram.set(JAVA_SHORT, ring.usedAddress() + USED_IDX, (short) (at + 1));
    }

    @Test
    void chainLiesInFollowingDescriptors() {
        ring.add(8, List.of(IN, OUT));

        assertThat(descriptor(BASE, 8)).isEqualTo("0x1234+20 flags 1 next 9");
        assertThat(descriptor(BASE, 9)).startsWith("0x5678+4 flags 2 ");
        assertThat(ram.get(JAVA_SHORT, ring.availAddress() + AVAIL_RING)).isEqualTo((short) 8);
        assertThat(available()).as("before it is shown").isZero();
        ring.expose();
        assertThat(available()).isEqualTo(1);
    }

    @Test
    void chainInATableTakesOneDescriptor() {
        ring.addIndirect(4, 0x1000, List.of(IN, OUT));

        assertThat(descriptor(BASE, 4)).startsWith("0x1000+32 flags 4 ");
        assertThat(descriptor(0x1000, 0)).isEqualTo("0x1234+20 flags 1 next 1");
        assertThat(descriptor(0x1000, 1)).startsWith("0x5678+4 flags 2 ");
    }

    @Test
    void indexesGoOnBehindTheEndOfTheRingAndOf16Bits() {
        for (int i = 0; i < 70_000; i++) {
            int head = i % 64 * 4;
            ring.add(head, List.of(OUT));
            ring.expose();
            assertThat(ring.usedCount()).isZero();
            use(i, head, i % 5);
            assertThat(ring.usedCount()).isEqualTo(1);
            assertThat(ring.take()).isEqualTo(((long) head << 32) | (i % 5));
        }
        assertThat(available()).isEqualTo(70_000 % 65_536);
    }

    @Test
    void nothingIsLeftForTheNextDriver() {
        ring.add(0, List.of(IN));
        ring.expose();
        use(0, 0, 0);

        ring.clear();

        assertThat(available()).isZero();
        assertThat(ring.usedCount()).isZero();
        assertThat(ram.get(JAVA_SHORT, ring.availAddress() + AVAIL_FLAGS))
                .as("no interrupt is asked for")
                .isEqualTo((short) VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
}
