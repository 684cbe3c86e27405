// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.ioasis.spec.SplitRing.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The driver's side of a ring, as a device sees it in memory (virtio 1.4, 2.7). */
class SplitDriverTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 8;

    private final MemorySegment ram = Arena.ofAuto().allocate(0x20000, 4096);
    private DriverQueue driver = start(false);

    @BeforeEach
    void startAnew() {
        driver = start(false);
    }

    /** In memory that somebody has used before. */
    private DriverQueue start(boolean eventIdx) {
        ram.fill((byte) 0xff);
        MemorySegment rings = ram.asSlice(BASE, RingFormat.SPLIT.driverBytes(SIZE));
        return RingFormat.SPLIT.newDriver(rings, BASE, SIZE, eventIdx);
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

    private int u16(long at) {
        return Short.toUnsignedInt(ram.get(JAVA_SHORT, at));
    }

    private void u16(long at, int value) {
        ram.set(JAVA_SHORT, at, (short) value);
    }

    private int availIdx() {
        return u16(driver.driverAddress() + AVAIL_IDX);
    }

    /** What the device does when it gives back a chain as its {@code i}-th. */
    private void use(int i, int head, int length) {
        long element = driver.deviceAddress() + USED_RING + (long) USED_ELEM_SIZE * (i % SIZE);
        ram.set(JAVA_INT_UNALIGNED, element + USED_ELEM_ID, head);
        ram.set(JAVA_INT_UNALIGNED, element + USED_ELEM_LEN, length);
        u16(driver.deviceAddress() + USED_IDX, i + 1);
    }

    /** Offers a chain of so many buffers. */
    private int offer(int buffers) {
        int head = driver.begin();
        for (int i = 0; i < buffers; i++) {
            driver.writable(0x1000L * i, 1);
        }
        driver.offer();
        return head;
    }

    @Test
    void theThreePartsAreAlignedAndInTheirMemory() {
        assertThat(
                        RingFormat.SPLIT.isLayout(
                                SIZE,
                                driver.descAddress(),
                                driver.driverAddress(),
                                driver.deviceAddress()))
                .isTrue();
        assertThat(driver.deviceAddress() + usedBytes(SIZE))
                .isEqualTo(BASE + RingFormat.SPLIT.driverBytes(SIZE));
        assertThat(ram.get(JAVA_SHORT, BASE + RingFormat.SPLIT.driverBytes(SIZE)))
                .as("what lies behind")
                .isEqualTo((short) -1);
        assertThat(availIdx()).as("2.7.13: the memory is zeroed").isZero();
        assertThat(driver.usedCount()).isZero();
        assertThat(driver.take()).isEqualTo(DriverQueue.NONE);
    }

    @Test
    void chainIsLinkedAndHiddenUntilItIsExposed() {
        int head = driver.begin();
        driver.readable(0x1234, 20);
        driver.writable(0x5678, 0xffff_ffffL);
        driver.writable(0x9abc, 4);
        driver.offer();

        assertThat(head).isZero();
        assertThat(descriptor(BASE, 0)).isEqualTo("0x1234+20 flags 1 next 1");
        assertThat(descriptor(BASE, 1)).isEqualTo("0x5678+-1 flags 3 next 2");
        assertThat(descriptor(BASE, 2)).isEqualTo("0x9abc+4 flags 2 next 0");
        assertThat(u16(driver.driverAddress() + AVAIL_RING)).isEqualTo(head);
        assertThat(availIdx()).as("before it is exposed").isZero();
        driver.expose();
        assertThat(availIdx()).isOne();
    }

    @Test
    void chainInATableTakesOneDescriptor() {
        int head = driver.begin();
        driver.intoTable(ram.asSlice(0x1000, 32), 0x1000);
        driver.readable(0x1234, 20);
        driver.writable(0x5678, 4);
        driver.offer();

        assertThat(descriptor(BASE, head)).isEqualTo("0x1000+32 flags 4 next 0");
        assertThat(descriptor(0x1000, 0)).isEqualTo("0x1234+20 flags 1 next 1");
        assertThat(descriptor(0x1000, 1)).isEqualTo("0x5678+4 flags 2 next 0");
        assertThat(driver.hasRoom(SIZE - 1)).isTrue();
        assertThat(driver.hasRoom(SIZE)).isFalse();
    }

    @Test
    void chainMayGoOnInATable() {
        int head = driver.begin();
        driver.readable(0x1234, 20);
        driver.intoTable(ram.asSlice(0x1000, 16), 0x1000);
        driver.writable(0x5678, 4);
        driver.offer();

        assertThat(descriptor(BASE, head)).isEqualTo("0x1234+20 flags 1 next 1");
        assertThat(descriptor(BASE, 1)).isEqualTo("0x1000+16 flags 4 next 0");
        assertThat(descriptor(0x1000, 0)).isEqualTo("0x5678+4 flags 2 next 0");
    }

    @Test
    void descriptorsAreFreeAgainWhenTheirChainIsTaken() {
        int first = offer(3);
        int second = offer(4);
        int third = offer(1);
        driver.expose();
        assertThat(driver.hasRoom(1)).isFalse();
        assertThatIllegalStateException().isThrownBy(driver::begin);

        use(0, second, 4);

        assertThat(driver.usedCount()).isOne();
        assertThat(driver.take()).isEqualTo(second);
        assertThat(driver.written()).isEqualTo(4);
        assertThat(driver.hasRoom(4)).isTrue();
        assertThat(driver.hasRoom(5)).isFalse();
        use(1, first, 0);
        use(2, third, 1);
        assertThat(driver.usedCount()).isEqualTo(2);
        assertThat(driver.take()).isEqualTo(first);
        assertThat(driver.take()).isEqualTo(third);
        assertThat(driver.written()).isOne();
        assertThat(driver.hasRoom(SIZE)).isTrue();
        boolean[] seen = new boolean[SIZE];
        for (int i = 0; i < SIZE; i++) {
            seen[offer(1)] = true;
        }
        assertThat(seen).as("each descriptor once").doesNotContain(false);
    }

    @Test
    void chainThatIsNotOutCannotComeBack() {
        for (int wrong : new int[] {1, SIZE, -1}) {
            driver = start(false);
            int head = offer(2);
            driver.expose();
            use(0, wrong, 0);
            assertThat(driver.take()).isEqualTo(DriverQueue.BROKEN);
            assertThat(driver.brokenReason()).isEqualTo(BrokenReason.NOT_OUT);
            use(0, head, 0);
            assertThat(driver.take()).as("for good").isEqualTo(DriverQueue.BROKEN);
        }
        driver = start(false);
        int head = offer(2);
        driver.expose();
        use(0, head, 0);
        assertThat(driver.take()).isEqualTo(head);
        use(1, head, 0);
        assertThat(driver.take()).as("twice").isEqualTo(DriverQueue.BROKEN);
    }

    @Test
    void deviceCannotHaveWrittenMoreThanTheChainHasRoomFor() {
        int head = driver.begin();
        driver.readable(0x1000, 100);
        driver.writable(0x2000, 3);
        driver.writable(0x3000, 4);
        driver.offer();
        driver.expose();
        use(0, head, 7);
        assertThat(driver.take()).isEqualTo(head);
        assertThat(driver.written()).isEqualTo(7);

        head = offer(1);
        driver.expose();
        use(1, head, 2);
        assertThat(driver.take()).isEqualTo(DriverQueue.BROKEN);
        assertThat(driver.brokenReason()).isEqualTo(BrokenReason.WRITTEN_TOO_MUCH);
    }

    @Test
    void chainHasABuffer() {
        int _ = driver.begin();
        assertThatIllegalStateException().isThrownBy(driver::offer);
    }

    @Test
    void indicesGoOnBehindTheEndOfTheRingAndOf16Bits() {
        for (int i = 0; i < 70_000; i++) {
            int head = offer(1 + i % 3);
            driver.expose();
            assertThat(driver.usedCount()).isZero();
            use(i, head, i % 2);
            assertThat(driver.take()).isEqualTo(head);
            assertThat(driver.written()).isEqualTo(i % 2);
        }
        assertThat(availIdx()).isEqualTo(70_000 % 65_536);
    }

    @Test
    void flagsSayWhetherToKickAndToInterrupt() {
        assertThat(driver.shouldKick()).as("nothing new").isFalse();
        offer(1);
        driver.expose();
        assertThat(driver.shouldKick()).isTrue();
        assertThat(driver.shouldKick()).as("again").isFalse();
        u16(driver.deviceAddress() + USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY);
        offer(1);
        driver.expose();
        assertThat(driver.shouldKick()).isFalse();

        driver.suppressInterrupts();
        assertThat(u16(driver.driverAddress() + AVAIL_FLAGS)).isEqualTo(VIRTQ_AVAIL_F_NO_INTERRUPT);
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(u16(driver.driverAddress() + AVAIL_FLAGS)).isZero();
        use(0, 0, 0);
        assertThat(driver.resumeInterrupts()).as("one is back already").isTrue();
    }

    @Test
    void withEventIdxTheIndexSaysWhetherToKickAndToInterrupt() {
        driver = start(true);
        long availEvent = driver.deviceAddress() + availEvent(SIZE);
        long usedEvent = driver.driverAddress() + usedEvent(SIZE);
        u16(availEvent, 2);
        boolean[] kicks = new boolean[3];
        for (int i = 0; i < 3; i++) {
            offer(1);
            driver.expose();
            kicks[i] = driver.shouldKick();
        }
        assertThat(kicks).containsExactly(false, false, true);
        u16(availEvent, 4);
        offer(1);
        offer(1);
        offer(1);
        driver.expose();
        assertThat(driver.shouldKick()).as("one of a batch").isTrue();

        driver.suppressInterrupts();
        assertThat(u16(usedEvent)).isEqualTo(0xffff);
        use(0, 0, 0);
        assertThat(driver.take()).isZero();
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(u16(usedEvent)).isOne();
        assertThat(u16(driver.driverAddress() + AVAIL_FLAGS)).isZero();
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        long allocated = new Allocation().leastOf(20, () -> cycle(20_000));
        // The measurement itself allocates a little, once; a byte per chain would be 20,000.
        assertThat(allocated).isLessThan(20_000);
    }

    private void cycle(int count) {
        for (int i = 0; i < count; i++) {
            int head = offer(2);
            driver.expose();
            boolean _ = driver.shouldKick();
            use((availIdx() - 1) & 0xffff, head, 0);
            boolean _ = driver.resumeInterrupts();
            driver.suppressInterrupts();
            int _ = driver.take();
        }
    }
}
