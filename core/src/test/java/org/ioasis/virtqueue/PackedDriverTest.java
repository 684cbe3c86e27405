// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.ioasis.spec.PackedRing.DESC_ADDR;
import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_ID;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS;
import static org.ioasis.spec.PackedRing.descBytes;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** The driver's side of a packed ring, as a device sees it in memory (virtio 1.4, 2.8). */
final class PackedDriverTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 5;

    private final MemorySegment ram = Arena.ofAuto().allocate(0x20000, 4096);
    private DriverQueue driver = start(false);

    /** In memory that somebody has used before. */
    private DriverQueue start(boolean eventIdx) {
        ram.fill((byte) 0xff);
        MemorySegment rings = ram.asSlice(BASE, RingFormat.PACKED.driverBytes(SIZE));
        return RingFormat.PACKED.newDriver(rings, BASE, SIZE, eventIdx);
    }

    private String descriptor(long table, int index) {
        long at = table + descBytes(index);
        return "0x%x+%d id %d flags 0x%x"
                .formatted(
                        ram.get(JAVA_LONG_UNALIGNED, at + DESC_ADDR),
                        ram.get(JAVA_INT_UNALIGNED, at + DESC_LEN),
                        u16(at + DESC_ID),
                        u16(at + DESC_FLAGS));
    }

    private int u16(long at) {
        return Short.toUnsignedInt(ram.get(JAVA_SHORT, at));
    }

    private void u16(long at, int value) {
        ram.set(JAVA_SHORT, at, (short) value);
    }

    /** What a device does when it gives back a chain at a descriptor, in an odd round or not. */
    private void use(int slot, boolean isFirstRound, int id, int length) {
        long at = BASE + descBytes(slot);
        ram.set(JAVA_INT_UNALIGNED, at + DESC_LEN, length);
        u16(at + DESC_ID, id);
        u16(at + DESC_FLAGS, (isFirstRound ? 0x8080 : 0) | (length > 0 ? 2 : 0));
    }

    private int offer(int buffers) {
        int id = driver.begin();
        for (int i = 0; i < buffers; i++) {
            driver.writable(0x1000L * i, 8);
        }
        driver.offer();
        return id;
    }

    @Test
    void theThreePartsAreAlignedAndInTheirMemory() {
        assertThat(
                        RingFormat.PACKED.isLayout(
                                SIZE,
                                driver.descAddress(),
                                driver.driverAddress(),
                                driver.deviceAddress()))
                .isTrue();
        assertThat(driver.deviceAddress() + 4)
                .isEqualTo(BASE + RingFormat.PACKED.driverBytes(SIZE));
        assertThat(u16(BASE + RingFormat.PACKED.driverBytes(SIZE)))
                .as("what lies behind")
                .isEqualTo(0xffff);
        assertThat(driver.usedCount()).isZero();
        assertThat(driver.take()).isEqualTo(DriverQueue.NONE);
    }

    @Test
    void theFirstDescriptorOfABatchBecomesAvailableLast() {
        int first = driver.begin();
        driver.readable(0x1234, 20);
        driver.writable(0x5678, 0xffff_ffffL);
        driver.offer();
        int second = driver.begin();
        driver.readable(0x9abc, 4);
        driver.offer();

        // AVAIL is 0x80 and USED is not, as the driver's counter begins with 1.
        assertThat(descriptor(BASE, 0)).isEqualTo("0x1234+0 id 0 flags 0x0");
        assertThat(descriptor(BASE, 1)).isEqualTo("0x5678+-1 id " + first + " flags 0x82");
        assertThat(descriptor(BASE, 2)).isEqualTo("0x9abc+4 id " + second + " flags 0x80");
        driver.expose();
        assertThat(descriptor(BASE, 0)).isEqualTo("0x1234+20 id " + first + " flags 0x81");
        assertThat(u16(BASE + descBytes(3) + DESC_FLAGS)).isZero();
    }

    @Test
    void theCounterChangesWhenTheLastDescriptorIsMadeAvailable() {
        assertThat(offer(3)).isZero();
        driver.expose();
        use(0, true, 0, 0);
        assertThat(driver.take()).isZero();

        // Descriptors 3 and 4 of the first round and 0 of the second.
        assertThat(offer(3)).isZero();
        driver.expose();
        assertThat(u16(BASE + descBytes(3) + DESC_FLAGS)).isEqualTo(0x83);
        assertThat(u16(BASE + descBytes(4) + DESC_FLAGS)).isEqualTo(0x83);
        assertThat(u16(BASE + DESC_FLAGS)).isEqualTo(0x8002);

        // The device's counter has not changed: it uses descriptor 3.
        assertThat(driver.usedCount()).isZero();
        use(3, true, 0, 8);
        assertThat(driver.usedCount()).isOne();
        assertThat(driver.take()).isZero();
        assertThat(driver.written()).isEqualTo(8);
        // Now it has: what is all zero is used at 1.
        offer(1);
        driver.expose();
        assertThat(u16(BASE + descBytes(1) + DESC_FLAGS)).isEqualTo(0x8002);
        assertThat(driver.take()).isEqualTo(DriverQueue.NONE);
        use(1, false, 0, 0);
        assertThat(driver.take()).isZero();
        assertThat(driver.hasRoom(SIZE)).isTrue();
    }

    @Test
    void chainInATableTakesOneDescriptorAndItsEntriesHaveNoFlagsButWrite() {
        int id = driver.begin();
        driver.intoTable(ram.asSlice(0x1000, 32), 0x1000);
        driver.readable(0x1234, 20);
        driver.writable(0x5678, 4);
        driver.offer();
        driver.expose();

        assertThat(descriptor(BASE, 0)).isEqualTo("0x1000+32 id " + id + " flags 0x84");
        assertThat(descriptor(0x1000, 0)).isEqualTo("0x1234+20 id 0 flags 0x0");
        assertThat(descriptor(0x1000, 1)).isEqualTo("0x5678+4 id 0 flags 0x2");
        assertThat(driver.hasRoom(SIZE - 1)).isTrue();
        assertThat(driver.hasRoom(SIZE)).isFalse();
    }

    @Test
    void aListIsNotHalfInATable() {
        int _ = driver.begin();
        driver.readable(0x1234, 20);
        assertThatIllegalStateException()
                .isThrownBy(() -> driver.intoTable(ram.asSlice(0x1000, 16), 0x1000));
    }

    @Test
    void chainsComeBackInAnyOrderEachAtTheNextDescriptorThatTheDeviceUses() {
        int first = offer(2);
        int second = offer(1);
        int third = offer(2);
        driver.expose();
        assertThat(driver.hasRoom(1)).isFalse();
        assertThatIllegalStateException().isThrownBy(driver::begin);

        use(0, true, third, 3);
        use(2, true, first, 0);
        assertThat(driver.usedCount()).isEqualTo(2);
        assertThat(driver.take()).isEqualTo(third);
        assertThat(driver.written()).isEqualTo(3);
        assertThat(driver.hasRoom(2)).isTrue();
        assertThat(driver.hasRoom(3)).isFalse();
        assertThat(driver.take()).isEqualTo(first);
        assertThat(driver.take()).isEqualTo(DriverQueue.NONE);
        use(4, true, second, 0);
        assertThat(driver.take()).isEqualTo(second);
        assertThat(driver.hasRoom(SIZE)).isTrue();
    }

    @Test
    void lengthWithoutWriteMeansNothing() {
        int id = offer(1);
        driver.expose();
        use(0, true, id, 0);
        ram.set(JAVA_INT_UNALIGNED, BASE + DESC_LEN, 0x7777_7777);
        assertThat(driver.take()).isEqualTo(id);
        assertThat(driver.written()).isZero();
    }

    @Test
    void chainThatIsNotOutCannotComeBack() {
        for (int wrong : new int[] {1, SIZE, 0xffff}) {
            driver = start(false);
            int id = offer(2);
            driver.expose();
            use(0, true, wrong, 0);
            assertThat(driver.usedCount()).isOne();
            assertThat(driver.take()).isEqualTo(DriverQueue.BROKEN);
            assertThat(driver.brokenReason()).isEqualTo(BrokenReason.NOT_OUT);
            use(0, true, id, 0);
            assertThat(driver.take()).as("for good").isEqualTo(DriverQueue.BROKEN);
        }
        driver = start(false);
        int id = offer(1);
        int other = offer(1);
        driver.expose();
        use(0, true, id, 0);
        use(1, true, id, 0);
        assertThat(driver.take()).isEqualTo(id);
        assertThat(driver.take()).as("twice").isEqualTo(DriverQueue.BROKEN);
        assertThat(other).isNotEqualTo(id);
    }

    @Test
    void deviceCannotHaveWrittenMoreThanTheChainHasRoomFor() {
        int id = offer(2);
        driver.expose();
        use(0, true, id, 17);
        assertThat(driver.take()).isEqualTo(DriverQueue.BROKEN);
        assertThat(driver.brokenReason()).isEqualTo(BrokenReason.WRITTEN_TOO_MUCH);
    }

    @Test
    void aRingThatNobodyHasIsNotUsedWhateverTheDeviceWrites() {
        for (int slot = 0; slot < SIZE; slot++) {
            use(slot, true, 0, 0);
        }
        assertThat(driver.usedCount()).isZero();
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(driver.take()).isEqualTo(DriverQueue.NONE);
    }

    @Test
    void flagsSayWhetherToKickAndToInterrupt() {
        long device = driver.deviceAddress() + EVENT_FLAGS;
        long own = driver.driverAddress() + EVENT_FLAGS;
        assertThat(driver.shouldKick()).as("nothing new").isFalse();
        offer(1);
        assertThat(driver.shouldKick()).as("nothing exposed").isFalse();
        driver.expose();
        assertThat(driver.shouldKick()).isTrue();
        assertThat(driver.shouldKick()).as("again").isFalse();
        u16(device, 1);
        offer(1);
        driver.expose();
        assertThat(driver.shouldKick()).isFalse();
        // Without EVENT_IDX a descriptor means nothing, and 3 is reserved.
        for (int flags : new int[] {2, 3}) {
            u16(device, flags);
            offer(1);
            driver.expose();
            assertThat(driver.shouldKick()).isTrue();
        }

        driver.suppressInterrupts();
        assertThat(u16(own)).isOne();
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(u16(own)).isZero();
        use(0, true, 0, 0);
        assertThat(driver.resumeInterrupts()).as("one is back already").isTrue();
    }

    @Test
    void withEventIdxADescriptorSaysWhetherToKickAndToInterrupt() {
        driver = start(true);
        u16(driver.deviceAddress(), 0x8002);
        u16(driver.deviceAddress() + EVENT_FLAGS, 2);
        boolean[] kicks = new boolean[3];
        for (int i = 0; i < 3; i++) {
            offer(1);
            driver.expose();
            kicks[i] = driver.shouldKick();
        }
        assertThat(kicks).containsExactly(false, false, true);

        driver.suppressInterrupts();
        assertThat(u16(driver.driverAddress() + EVENT_FLAGS)).isOne();
        use(0, true, 0, 0);
        assertThat(driver.take()).isZero();
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(u16(driver.driverAddress())).isEqualTo(0x8001);
        assertThat(u16(driver.driverAddress() + EVENT_FLAGS)).isEqualTo(2);
        use(1, true, 1, 0);
        use(2, true, 2, 0);
        assertThat(driver.take()).isOne();
        assertThat(driver.take()).isEqualTo(2);
        // A batch that goes past the end, and past the event at descriptor 0 of the second round.
        u16(driver.deviceAddress(), 0);
        offer(4);
        driver.expose();
        assertThat(driver.shouldKick()).isTrue();
        assertThat(driver.resumeInterrupts()).isFalse();
        assertThat(u16(driver.driverAddress())).isEqualTo(0x8003);
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        long allocated = new Allocation().leastOf(20, () -> cycle(20_000));
        // The measurement itself allocates a little, once; a byte per chain would be 20,000.
        assertThat(allocated).isLessThan(20_000);
    }

    private int slot;
    private boolean isFirstRound = true;

    private void cycle(int count) {
        for (int i = 0; i < count; i++) {
            int id = offer(2);
            driver.expose();
            boolean _ = driver.shouldKick();
            use(slot, isFirstRound, id, 0);
            slot += 2;
            if (slot >= SIZE) {
                slot -= SIZE;
                isFirstRound = !isFirstRound;
            }
            boolean _ = driver.resumeInterrupts();
            driver.suppressInterrupts();
            if (driver.take() != id) {
                throw new IllegalStateException("not back");
            }
        }
    }
}
