// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.DeviceQueue.State;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.junit.jupiter.api.Test;

/** Each way in which a driver can break the ring, one by one: virtio 1.4, 2.7. */
class SplitQueueHostileTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 8;
    private static final long DATA = BASE + 0x8000;

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final MockDriver driver =
            new MockDriver(dma.memory(BASE, MockDriver.footprint(SIZE)), BASE, SIZE, false);
    private final DeviceQueue queue = RingFormat.SPLIT.newQueue(dma, SIZE);
    private final Chain chain = new Chain(SIZE);

    SplitQueueHostileTest() {
        start(true);
    }

    private void start(boolean indirect) {
        queue.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                indirect,
                false);
    }

    private Pop pop() {
        dma.enter();
        Pop pop = queue.pop(chain);
        dma.leave();
        return pop;
    }

    /** Makes descriptor 0 available and expects this answer for it, now and ever after. */
    private void expectBroken(String reason) {
        driver.availEntry(0, 0);
        driver.availIdx(1);
        expectBrokenRing(reason);
    }

    private void expectBrokenRing(String reason) {
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(reason);
        assertThat(queue.isRunning()).isFalse();
        assertThat(queue.inFlight()).isZero();
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        queue.stop();
        assertThat(queue.brokenReason()).isNull();
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void availIndexFurtherAheadThanTheQueueIsLongIsBroken() {
        driver.availIdx(SIZE + 1);
        expectBrokenRing(BrokenReason.AVAIL_TOO_FAR);
    }

    @Test
    void aFullRingIsNotTooFar() {
        driver.desc(0, DATA, 1, 0, 0);
        driver.availIdx(SIZE);
        for (int i = 0; i < SIZE; i++) {
            assertThat(pop()).isEqualTo(Pop.GOT);
        }
        assertThat(queue.inFlight()).isEqualTo(SIZE);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void chainsBeyondTheQueueSizeAreNotTakenEvenOneByOne() {
        driver.desc(0, DATA, 1, 0, 0);
        for (int i = 1; i <= SIZE; i++) {
            driver.availIdx(i);
            assertThat(pop()).isEqualTo(Pop.GOT);
        }
        driver.availIdx(SIZE + 1);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.AVAIL_TOO_FAR);
    }

    @Test
    void availIndexThatGoesBackIsBroken() {
        driver.desc(0, DATA, 1, 0, 0);
        driver.availIdx(2);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(pop()).isEqualTo(Pop.GOT);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.AVAIL_BACKWARDS);
    }

    @Test
    void availIndexThatGoesBackTakesNoChainAwayThatWasSeen() {
        driver.desc(0, DATA, 1, 0, 0);
        driver.availIdx(2);
        assertThat(pop()).isEqualTo(Pop.GOT);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.AVAIL_BACKWARDS);
    }

    @Test
    void availIndexFurtherFromASavedIndexThanTheQueueIsLongIsBroken() {
        driver.desc(0, DATA, 1, 0, 0);
        for (int wrong : new int[] {65530 + SIZE + 1 - 65536, 65529, 0x7ffa}) {
            start(true);
            queue.restore(SplitState.at(65530));
            driver.availIdx(wrong);
            expectBrokenRing(BrokenReason.AVAIL_TOO_FAR);
        }
        start(true);
        queue.restore(SplitState.at(65530));
        driver.availIdx(65530 + SIZE - 65536);
        for (int i = 0; i < SIZE; i++) {
            assertThat(pop()).isEqualTo(Pop.GOT);
        }
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void aSavedIndexFurtherAheadThanTheQueueIsLongIsRefusedAndChangesNothing() {
        driver.desc(0, DATA, 1, 0, 0);
        driver.availIdx(1);
        // Taken so many more chains than given back.
        for (int ahead : new int[] {SIZE + 1, 0x8000, 0xffff}) {
            int popped = (65530 + ahead) & 0xffff;
            SplitState hostile =
                    new SplitState(State.RUNNING, "", popped, 65530, 65530, false, List.of());
            assertThatThrownBy(() -> queue.restore(hostile))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        assertThat(queue.inFlight()).isZero();
        assertThat(pop()).as("from index 0, where it was").isEqualTo(Pop.GOT);
        int full = 65530 + SIZE - 65536;
        queue.restore(new SplitState(State.RUNNING, "", full, 65530, 65530, false, List.of()));
        assertThat(queue.inFlight()).as("as many as there are entries").isEqualTo(SIZE);
    }

    @Test
    void headOutOfRangeIsBroken() {
        driver.availEntry(0, SIZE);
        driver.availIdx(1);
        expectBrokenRing(BrokenReason.INDEX_OUT_OF_RANGE);
    }

    @Test
    void nextOutOfRangeIsBroken() {
        driver.desc(0, DATA, 1, VIRTQ_DESC_F_NEXT, SIZE);
        expectBroken(BrokenReason.INDEX_OUT_OF_RANGE);
    }

    @Test
    void aDescriptorThatIsItsOwnNextIsBroken() {
        driver.desc(0, DATA, 1, VIRTQ_DESC_F_NEXT, 0);
        expectBroken(BrokenReason.CHAIN_TOO_LONG);
    }

    @Test
    void aLoopOfEmptyDescriptorsIsBroken() {
        driver.desc(0, DATA, 0, VIRTQ_DESC_F_NEXT, 1);
        driver.desc(1, DATA, 0, VIRTQ_DESC_F_NEXT, 0);
        expectBroken(BrokenReason.CHAIN_TOO_LONG);
    }

    @Test
    void aChainAsLongAsTheQueueIsLegal() {
        for (int i = 0; i < SIZE; i++) {
            driver.desc(i, DATA, 1, i + 1 < SIZE ? VIRTQ_DESC_F_NEXT : 0, i + 1);
        }
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.descriptorCount()).isEqualTo(SIZE);
    }

    @Test
    void readableAfterWritableIsBroken() {
        driver.desc(0, DATA, 1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
        driver.desc(1, DATA, 1, 0, 0);
        expectBroken(BrokenReason.READABLE_AFTER_WRITABLE);
    }

    @Test
    void readableAfterAnEmptyWritableIsBrokenToo() {
        driver.desc(0, DATA, 0, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
        driver.desc(1, DATA, 1, 0, 0);
        expectBroken(BrokenReason.READABLE_AFTER_WRITABLE);
    }

    @Test
    void indirectThatWasNotNegotiatedIsBroken() {
        start(false);
        driver.descAt(driver.tableAddress(0), DATA, 1, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
    }

    @Test
    void indirectWithNextIsBroken() {
        driver.descAt(driver.tableAddress(0), DATA, 1, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1);
        expectBroken(BrokenReason.INDIRECT_WITH_NEXT);
    }

    @Test
    void indirectInAnIndirectTableIsBroken() {
        driver.descAt(driver.tableAddress(0), driver.tableAddress(1), 16, VIRTQ_DESC_F_INDIRECT, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_IN_INDIRECT);
    }

    @Test
    void anEmptyIndirectTableIsBroken() {
        driver.desc(0, driver.tableAddress(0), 0, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_LENGTH);
    }

    @Test
    void anIndirectTableWithHalfADescriptorIsBroken() {
        driver.desc(0, driver.tableAddress(0), 24, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_LENGTH);
    }

    @Test
    void anIndirectTableLongerThanTheQueueIsBroken() {
        driver.desc(0, driver.tableAddress(0), 16L * (SIZE + 1), VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_LENGTH);
    }

    @Test
    void anIndirectTableOfFourGibibytesIsBroken() {
        driver.desc(0, driver.tableAddress(0), 0xffff_fff0L, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDIRECT_LENGTH);
    }

    @Test
    void anIndirectTableThatWrapsIsBroken() {
        driver.desc(0, -16L, 32, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.BUFFER_WRAPS);
    }

    @Test
    void nextOutsideItsIndirectTableIsBroken() {
        driver.descAt(driver.tableAddress(0), DATA, 1, VIRTQ_DESC_F_NEXT, 1);
        driver.descAt(driver.tableAddress(0) + 16, DATA, 1, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.INDEX_OUT_OF_RANGE);
    }

    @Test
    void aLoopInAnIndirectTableIsBroken() {
        driver.descAt(driver.tableAddress(0), DATA, 1, VIRTQ_DESC_F_NEXT, 1);
        driver.descAt(driver.tableAddress(0) + 16, DATA, 1, VIRTQ_DESC_F_NEXT, 0);
        driver.desc(0, driver.tableAddress(0), 32, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.CHAIN_TOO_LONG);
    }

    @Test
    void ringAndTableTogetherLongerThanTheQueueIsBroken() {
        driver.desc(0, DATA, 1, VIRTQ_DESC_F_NEXT, 1);
        for (int i = 0; i < SIZE; i++) {
            driver.descAt(
                    driver.tableAddress(0) + 16L * i,
                    DATA,
                    1,
                    i + 1 < SIZE ? VIRTQ_DESC_F_NEXT : 0,
                    i + 1);
        }
        driver.desc(1, driver.tableAddress(0), 16L * SIZE, VIRTQ_DESC_F_INDIRECT, 0);
        expectBroken(BrokenReason.CHAIN_TOO_LONG);
    }

    @Test
    void moreThanFourGibibytesInTotalIsBroken() {
        driver.desc(0, 0, 0x8000_0000L, VIRTQ_DESC_F_NEXT, 1);
        driver.desc(1, 0, 0x8000_0000L, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
        driver.desc(2, 0, 1, VIRTQ_DESC_F_WRITE, 0);
        expectBroken(BrokenReason.TOTAL_TOO_LONG);
    }

    @Test
    void fourGibibytesInTotalIsLegal() {
        driver.desc(0, 0, 0x8000_0000L, VIRTQ_DESC_F_NEXT, 1);
        driver.desc(1, 0, 0x8000_0000L, VIRTQ_DESC_F_WRITE, 0);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.readableLength() + chain.writableLength()).isEqualTo(1L << 32);
    }

    @Test
    void aBufferThatWrapsIsBroken() {
        driver.desc(0, -1L, 2, 0, 0);
        expectBroken(BrokenReason.BUFFER_WRAPS);
    }

    @Test
    void aBufferThatEndsWithTheAddressSpaceIsLegal() {
        driver.desc(0, -2L, 2, 0, 0);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
    }

    @Test
    void writeOnADescriptorThatRefersToATableIsIgnored() {
        driver.descAt(driver.tableAddress(0), DATA, 5, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE, 0);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.readableLength()).isEqualTo(5);
        assertThat(chain.writableLength()).isZero();
    }

    @Test
    void aFaultOnAnyRingStopsTheQueueUntilReset() {
        long[] rings = {driver.driverAddress(), driver.descAddress(), driver.tableAddress(0)};
        driver.descAt(driver.tableAddress(0), DATA, 5, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT, 0);
        driver.availIdx(1);
        for (long ring : rings) {
            start(true);
            dma.trap(ring, ring + 15, Outcome.FAULT);
            assertThat(pop()).isEqualTo(Pop.BROKEN);
            dma.clearTraps();
            int faults = dma.faults();
            assertThat(queue.brokenReason()).isEqualTo(BrokenReason.RING_FAULTED);
            assertThat(pop()).isEqualTo(Pop.BROKEN);
            dma.enter();
            assertThat(queue.resumeKicks()).isEqualTo(Pop.BROKEN);
            assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
            dma.leave();
            assertThat(dma.faults()).isEqualTo(faults);
            queue.stop();
            assertThat(queue.brokenReason()).isNull();
        }
    }

    @Test
    void anAbsentRingOrTableLeavesTheChainUnpopped() {
        long[] rings = {
            driver.driverAddress(),
            driver.driverAddress() + 4,
            driver.descAddress(),
            driver.tableAddress(0)
        };
        driver.descAt(driver.tableAddress(0), DATA, 5, 0, 0);
        driver.desc(0, driver.tableAddress(0), 16, VIRTQ_DESC_F_INDIRECT, 0);
        driver.availIdx(1);
        for (long ring : rings) {
            dma.trap(ring, ring + 3, Outcome.ABSENT);
            assertThat(pop()).isEqualTo(Pop.ABSENT);
            assertThat(pop()).isEqualTo(Pop.ABSENT);
            assertThat(queue.isRunning()).isTrue();
            assertThat(queue.inFlight()).isZero();
            dma.clearTraps();
        }
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.readableLength()).isEqualTo(5);
        assertThat(dma.faults()).isZero();
    }

    @Test
    void anAbsentUsedRingKeepsWhatWasPushed() {
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 77, true)));
        driver.expose();
        assertThat(pop()).isEqualTo(Pop.GOT);
        queue.push(chain, 77);
        dma.trap(driver.deviceAddress(), driver.deviceAddress() + 3, Outcome.ABSENT);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.ABSENT);
        assertThat(queue.shouldInterrupt()).isFalse();
        dma.leave();
        assertThat(queue.unpublished()).isEqualTo(1);
        assertThat(driver.usedIdx()).isZero();
        dma.clearTraps();
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        assertThat(queue.shouldInterrupt()).isTrue();
        dma.leave();
        assertThat(driver.poll()).isEqualTo(new MockDriver.Used(0, 77));
    }

    @Test
    void aUsedRingInReadOnlyMemoryIsBroken() {
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 1, false)));
        driver.expose();
        assertThat(pop()).isEqualTo(Pop.GOT);
        queue.push(chain, 0);
        dma.trap(driver.deviceAddress(), DATA, Access.WRITE, Outcome.REFUSED);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
        assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
        dma.leave();
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.RING_REFUSED);
    }

    @Test
    void aRingIndexTornByTheGranuleIsBroken() {
        FlatDma bytewise = new FlatDma(BASE, 0x10000, 1);
        DeviceQueue q = RingFormat.SPLIT.newQueue(bytewise, SIZE);
        q.start(SIZE, BASE, BASE + 0x100, BASE + 0x200, false, false);
        bytewise.enter();
        assertThat(q.pop(chain)).isEqualTo(Pop.BROKEN);
        bytewise.leave();
        assertThat(q.brokenReason()).isEqualTo(BrokenReason.RING_MISALIGNED);
    }

    @Test
    void aRingIndexInMisalignedMemoryIsBroken() {
        FlatDma odd = new FlatDma(BASE - 1, 0x10000);
        DeviceQueue q = RingFormat.SPLIT.newQueue(odd, SIZE);
        q.start(SIZE, BASE, BASE + 0x100, BASE + 0x200, false, false);
        odd.enter();
        assertThat(q.pop(chain)).isEqualTo(Pop.BROKEN);
        odd.leave();
        assertThat(q.brokenReason()).isEqualTo(BrokenReason.RING_MISALIGNED);
    }

    @Test
    void layoutsThatAreMisalignedOrWrapAreRefused() {
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, 0x2000, 0x3000)).isTrue();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1008, 0x2000, 0x3000)).isFalse();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, 0x2001, 0x3000)).isFalse();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, 0x2000, 0x3002)).isFalse();
        assertThat(RingFormat.SPLIT.isLayout(8, -128L, 0x2000, 0x3000)).isTrue();
        assertThat(RingFormat.SPLIT.isLayout(8, -112L, 0x2000, 0x3000)).isFalse();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, -20L, 0x3000)).isFalse();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, -22L, 0x3000)).isTrue();
        assertThat(RingFormat.SPLIT.isLayout(8, 0x1000, 0x2000, -68L)).isFalse();
    }

    @Test
    void sizesThatAreNoPowerOfTwoOrTooLargeAreRefused() {
        assertThat(RingFormat.SPLIT.isSize(0, 8)).isFalse();
        assertThat(RingFormat.SPLIT.isSize(-8, 8)).isFalse();
        assertThat(RingFormat.SPLIT.isSize(6, 8)).isFalse();
        assertThat(RingFormat.SPLIT.isSize(16, 8)).isFalse();
        assertThat(RingFormat.SPLIT.isSize(1, 8)).isTrue();
        assertThat(RingFormat.SPLIT.isSize(8, 8)).isTrue();
        assertThatThrownBy(() -> RingFormat.SPLIT.newQueue(dma, 65536))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> queue.start(16, 0, 0, 0, true, true))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theDescriptorsThatWereCheckedAreTheOnesThatAreUsed() {
        MemorySegment data = dma.memory(DATA, 16);
        data.fill((byte) 'a');
        driver.desc(0, DATA, 8, 0, 0);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        // The driver changes the descriptor after the check.
        driver.desc(0, 0, 0xffff_ffffL, VIRTQ_DESC_F_WRITE, 0);
        MemorySegment copy = MemorySegment.ofArray(new byte[8]);
        dma.enter();
        assertThat(chain.copyIn(0, copy, 0, 8)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(copy.mismatch(data.asSlice(0, 8))).isEqualTo(-1);
    }

    @Test
    void copiesOutsideAPartOfTheChainAreOurOwnMistake() {
        driver.desc(0, DATA, 8, VIRTQ_DESC_F_NEXT, 1);
        driver.desc(1, DATA, 8, VIRTQ_DESC_F_WRITE, 0);
        driver.availIdx(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        MemorySegment buffer = MemorySegment.ofArray(new byte[16]);
        assertThatThrownBy(() -> chain.copyIn(1, buffer, 0, 8))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> chain.copyOut(0, buffer, 0, 9))
                .isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void pushingWhatWasNotPoppedIsOurOwnMistake() {
        assertThatThrownBy(() -> queue.push(chain, 0)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> queue.unpop(chain)).isInstanceOf(IllegalStateException.class);
    }
}
