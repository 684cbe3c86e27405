// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_SIZE;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_AVAIL;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_USED;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.junit.jupiter.api.Test;

/** Each way in which a driver can break a packed ring, one by one: virtio 1.4, 2.8. */
final class PackedQueueHostileTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 5;
    private static final long DATA = BASE + 0x8000;

    /** Available in the first round. */
    private static final int A = VIRTQ_DESC_F_AVAIL;

    /** Available in the second round. */
    private static final int B = VIRTQ_DESC_F_USED;

    private static final int NEXT = VIRTQ_DESC_F_NEXT;
    private static final int INDIRECT = VIRTQ_DESC_F_INDIRECT;
    private static final int WRITE = VIRTQ_DESC_F_WRITE;

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final MockDriver driver =
            new MockDriver(
                    RingFormat.PACKED,
                    dma.memory(BASE, MockDriver.footprint(SIZE)),
                    BASE,
                    SIZE,
                    false);
    private final long table = driver.tableAddress(0);
    private final DeviceQueue queue = RingFormat.PACKED.newQueue(dma, SIZE);
    private final Chain chain = new Chain(SIZE);

    PackedQueueHostileTest() {
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

    private void expectBroken(String reason) {
        int inFlight = queue.inFlight();
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(reason);
        assertThat(queue.isRunning()).isFalse();
        assertThat(queue.inFlight()).isEqualTo(inFlight);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        dma.enter();
        assertThat(queue.available()).isEqualTo(DeviceQueue.UNCLEAR);
        assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
        assertThat(queue.shouldInterrupt()).isFalse();
        dma.leave();
        queue.stop();
        assertThat(queue.brokenReason()).isNull();
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void descriptorThatIsAvailableAgainBeforeItWasUsedIsBroken() {
        for (int i = 0; i < SIZE; i++) {
            driver.packed(i, DATA, 1, i, A);
            assertThat(pop()).isEqualTo(Pop.GOT);
        }
        assertThat(queue.inFlight()).isEqualTo(SIZE);
        assertThat(pop()).as("full").isEqualTo(Pop.EMPTY);
        driver.packed(0, DATA, 1, 9, B);
        dma.enter();
        assertThat(queue.available()).as("a look says nothing of it").isNegative();
        dma.leave();
        expectBroken(BrokenReason.NOT_USED_YET);
    }

    @Test
    void pushedChainThatTheDriverHasNotSeenIsNotAvailableAgainEither() {
        for (int i = 0; i < SIZE; i++) {
            driver.packed(i, DATA, 1, i, A);
            assertThat(pop()).isEqualTo(Pop.GOT);
            queue.push(chain, 0);
        }
        driver.packed(0, DATA, 1, 9, B);
        expectBroken(BrokenReason.NOT_USED_YET);
    }

    @Test
    void listThatGoesOnInWhatTheDeviceHasNotUsedIsBroken() {
        driver.packed(0, DATA, 1, 0, A);
        assertThat(pop()).isEqualTo(Pop.GOT);
        for (int i = 1; i < SIZE; i++) {
            driver.packed(i, DATA, 1, i, A | NEXT);
        }
        driver.packed(0, DATA, 1, 0, B);
        expectBroken(BrokenReason.NOT_USED_YET);
    }

    @Test
    void listThatGoesOnInADescriptorThatIsNotAvailableIsBroken() {
        for (int flags : new int[] {0, B, A | B}) {
            start(true);
            driver.packed(0, DATA, 1, 0, A | NEXT);
            driver.packed(1, DATA, 1, 0, flags);
            expectBroken(BrokenReason.LIST_NOT_AVAILABLE);
        }
    }

    @Test
    void listThatGoesRoundTheRingIsBroken() {
        for (int i = 0; i < SIZE; i++) {
            driver.packed(i, DATA, 0, 0, A | NEXT);
        }
        expectBroken(BrokenReason.CHAIN_TOO_LONG);
    }

    @Test
    void aListAsLongAsTheQueueIsLegalAndItsIdIsTheLastOnes() {
        for (int i = 0; i < SIZE; i++) {
            driver.packed(i, DATA, 1, 0x100 + i, A | (i + 1 < SIZE ? NEXT : 0));
        }
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.descriptorCount()).isEqualTo(SIZE);
        assertThat(chain.head()).isEqualTo(0x100 + SIZE - 1);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void anIdIsTheDriversBusinessAndGoesBackAsItCame() {
        driver.packed(0, DATA, 1, 0xffff, A);
        driver.packed(1, DATA, 1, 0xffff, A);
        Chain first = new Chain(SIZE);
        dma.enter();
        assertThat(queue.pop(first)).isEqualTo(Pop.GOT);
        assertThat(queue.pop(chain)).isEqualTo(Pop.GOT);
        queue.push(chain, 0);
        queue.push(first, 0);
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(driver.packedText(0)).isEqualTo("0x18000+0 id 65535 flags 0x8080");
        assertThat(driver.packedText(1)).isEqualTo("0x18000+0 id 65535 flags 0x8080");
    }

    @Test
    void readableAfterWritableIsBroken() {
        driver.packed(0, DATA, 0, 0, A | NEXT | WRITE);
        driver.packed(1, DATA, 1, 0, A);
        expectBroken(BrokenReason.READABLE_AFTER_WRITABLE);
    }

    @Test
    void readableAfterWritableInATableIsBroken() {
        driver.packedAt(table, DATA, 1, 0, WRITE);
        driver.packedAt(table + 16, DATA, 1, 0, 0);
        driver.packed(0, table, 32, 0, A | INDIRECT);
        expectBroken(BrokenReason.READABLE_AFTER_WRITABLE);
    }

    @Test
    void indirectThatWasNotNegotiatedIsBroken() {
        start(false);
        driver.packed(0, table, 16, 0, A | INDIRECT);
        expectBroken(BrokenReason.INDIRECT_NOT_NEGOTIATED);
    }

    @Test
    void indirectWithNextIsBroken() {
        driver.packed(0, table, 16, 0, A | INDIRECT | NEXT);
        driver.packed(1, DATA, 1, 0, A);
        expectBroken(BrokenReason.INDIRECT_WITH_NEXT);
    }

    @Test
    void indirectAtTheEndOfAListIsBroken() {
        driver.packed(0, DATA, 1, 0, A | NEXT);
        driver.packed(1, table, 16, 0, A | INDIRECT);
        expectBroken(BrokenReason.INDIRECT_IN_LIST);
    }

    @Test
    void anIndirectTableOfAWrongLengthIsBroken() {
        for (long length : new long[] {0, 24, 16L * (SIZE + 1), 0xffff_fff0L}) {
            start(true);
            driver.packed(0, table, length, 0, A | INDIRECT);
            expectBroken(BrokenReason.INDIRECT_LENGTH);
        }
    }

    @Test
    void anIndirectTableAsLongAsTheQueueIsLegalAndItsFlagsButWriteAreIgnored() {
        for (int i = 0; i < SIZE; i++) {
            driver.packedAt(table + 16L * i, DATA, 3, 0x7777, i < 2 ? 0xfffd : 0xffff);
        }
        driver.packed(0, table, 16L * SIZE, 8, A | INDIRECT | WRITE);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(8);
        assertThat(chain.readableLength()).isEqualTo(6);
        assertThat(chain.writableLength()).isEqualTo(9);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void anIndirectTableThatWrapsIsBroken() {
        driver.packed(0, -16L, 32, 0, A | INDIRECT);
        expectBroken(BrokenReason.BUFFER_WRAPS);
    }

    @Test
    void aBufferThatWrapsIsBroken() {
        driver.packed(0, -1L, 2, 0, A);
        expectBroken(BrokenReason.BUFFER_WRAPS);
    }

    @Test
    void aBufferThatEndsWithTheAddressSpaceIsLegal() {
        driver.packed(0, -2L, 2, 0, A);
        assertThat(pop()).isEqualTo(Pop.GOT);
    }

    @Test
    void moreThanFourGibibytesInTotalIsBroken() {
        driver.packed(0, 0, 0x8000_0000L, 0, A | NEXT);
        driver.packed(1, 0, 0x8000_0000L, 0, A | NEXT | WRITE);
        driver.packed(2, 0, 1, 0, A | WRITE);
        expectBroken(BrokenReason.TOTAL_TOO_LONG);
    }

    @Test
    void fourGibibytesInTotalIsLegal() {
        driver.packed(0, 0, 0x8000_0000L, 0, A | NEXT);
        driver.packed(1, 0, 0x8000_0000L, 0, A | WRITE);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.readableLength() + chain.writableLength()).isEqualTo(1L << 32);
    }

    @Test
    void flagsThatChangeBetweenTheLookAndTheCopyAreNotBelieved() {
        driver.packed(0, DATA, 1, 0, A);
        // Not in one piece: after the ring as a whole, both have to find the descriptor.
        dma.inPieces(DESC_SIZE);
        int[] accesses = {0};
        dma.watch(_ -> {
            if (++accesses[0] == 3) {
                driver.packed(0, DATA, 1, 0, A | B);
            }
        });
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.LIST_NOT_AVAILABLE);
    }

    @Test
    void aFaultOnAnyRingStopsTheQueueUntilReset() {
        long[] rings = {driver.descAddress() + DESC_FLAGS, driver.descAddress(), table};
        driver.packedAt(table, DATA, 5, 0, 0);
        driver.packed(0, table, 16, 0, A | INDIRECT);
        for (long ring : rings) {
            start(true);
            dma.trap(ring, ring + 1, Outcome.FAULT);
            assertThat(pop()).isEqualTo(Pop.BROKEN);
            dma.clearTraps();
            int faults = dma.faults();
            assertThat(queue.brokenReason()).isEqualTo(BrokenReason.RING_FAULTED);
            dma.enter();
            assertThat(queue.resumeKicks()).isEqualTo(Pop.BROKEN);
            assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
            dma.leave();
            assertThat(dma.faults()).isEqualTo(faults);
            queue.stop();
        }
    }

    @Test
    void aLookReportsNoFaultAndBreaksNothing() {
        dma.trap(driver.descAddress(), driver.descAddress() + 15, Outcome.FAULT);
        dma.enter();
        assertThat(queue.available()).isEqualTo(DeviceQueue.FAULTING);
        dma.leave();
        assertThat(queue.isRunning()).isTrue();
        assertThat(dma.faults()).isZero();
    }

    @Test
    void anAbsentRingOrTableLeavesTheChainUnpopped() {
        long[] rings = {driver.descAddress() + DESC_FLAGS, driver.descAddress(), table};
        driver.packedAt(table, DATA, 5, 0, 0);
        driver.packed(0, table, 16, 0, A | INDIRECT);
        for (long ring : rings) {
            dma.trap(ring, ring + 1, Outcome.ABSENT);
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
    void anAbsentRingKeepsWhatWasPushed() {
        for (long absent : new long[] {8, DESC_FLAGS, 16 + 8}) {
            driver.packed(0, DATA, 77, 1, A | WRITE);
            driver.packed(1, DATA, 77, 2, A | WRITE);
            start(true);
            for (int i = 0; i < 2; i++) {
                assertThat(pop()).isEqualTo(Pop.GOT);
                queue.push(chain, 70 + i);
            }
            long at = driver.descAddress() + absent;
            dma.trap(at, at + 1, Access.WRITE, Outcome.ABSENT);
            dma.enter();
            assertThat(queue.publish()).isEqualTo(Outcome.ABSENT);
            assertThat(queue.shouldInterrupt()).isFalse();
            dma.leave();
            assertThat(queue.unpublished()).isEqualTo(2);
            assertThat(driver.packedText(0)).as("the driver sees nothing").endsWith("flags 0x82");
            dma.clearTraps();
            dma.enter();
            assertThat(queue.publish()).isEqualTo(Outcome.OK);
            assertThat(queue.shouldInterrupt()).isTrue();
            dma.leave();
            assertThat(driver.packedText(0)).isEqualTo("0x18000+70 id 1 flags 0x8082");
            assertThat(driver.packedText(1)).isEqualTo("0x18000+71 id 2 flags 0x8082");
        }
    }

    @Test
    void aRingInReadOnlyMemoryIsBroken() {
        driver.packed(0, DATA, 1, 0, A);
        assertThat(pop()).isEqualTo(Pop.GOT);
        queue.push(chain, 0);
        dma.trap(BASE, DATA, Access.WRITE, Outcome.REFUSED);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
        assertThat(queue.publish()).isEqualTo(Outcome.REFUSED);
        dma.leave();
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.RING_REFUSED);
    }

    @Test
    void anEventStructureThatCannotBeReadMeansAnInterrupt() {
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 1, false)));
        driver.wantInterrupt(false);
        driver.expose();
        assertThat(pop()).isEqualTo(Pop.GOT);
        queue.push(chain, 0);
        dma.trap(driver.driverAddress(), driver.driverAddress() + 3, Outcome.ABSENT);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        assertThat(queue.shouldInterrupt()).isTrue();
        dma.leave();
    }

    @Test
    void aRingTornByTheGranuleOrMisalignedIsBroken() {
        FlatDma bytewise = new FlatDma(BASE, 0x10000, 1);
        FlatDma odd = new FlatDma(BASE - 1, 0x10000);
        for (FlatDma each : List.of(bytewise, odd)) {
            DeviceQueue q = RingFormat.PACKED.newQueue(each, SIZE);
            q.start(SIZE, BASE, BASE + 0x100, BASE + 0x200, false, false);
            each.enter();
            assertThat(q.pop(chain)).isEqualTo(Pop.BROKEN);
            each.leave();
            assertThat(q.brokenReason()).isEqualTo(BrokenReason.RING_MISALIGNED);
        }
    }

    @Test
    void layoutsThatAreMisalignedOrWrapAreRefused() {
        assertThat(RingFormat.PACKED.isLayout(7, 0x1000, 0x2000, 0x3000)).isTrue();
        assertThat(RingFormat.PACKED.isLayout(7, 0x1008, 0x2000, 0x3000)).isFalse();
        assertThat(RingFormat.PACKED.isLayout(7, 0x1000, 0x2002, 0x3000)).isFalse();
        assertThat(RingFormat.PACKED.isLayout(7, 0x1000, 0x2000, 0x3002)).isFalse();
        assertThat(RingFormat.PACKED.isLayout(7, -112L, -4L, -8L)).isTrue();
        assertThat(RingFormat.PACKED.isLayout(7, -96L, 0x2000, 0x3000)).isFalse();
    }

    @Test
    void sizesNeedNotBePowersOfTwo() {
        assertThat(RingFormat.PACKED.isSize(0, 8)).isFalse();
        assertThat(RingFormat.PACKED.isSize(-8, 8)).isFalse();
        assertThat(RingFormat.PACKED.isSize(6, 8)).isTrue();
        assertThat(RingFormat.PACKED.isSize(9, 8)).isFalse();
        assertThat(RingFormat.PACKED.isSize(1, 8)).isTrue();
        assertThatThrownBy(() -> RingFormat.PACKED.newQueue(dma, 32769))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(
                        () -> {
                            MemorySegment memory = MemorySegment.ofArray(new long[4]);
                            DriverQueue _ = RingFormat.PACKED.newDriver(memory, 0, 0, false);
                        })
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> queue.start(SIZE + 1, 0, 0, 0, true, true))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theDescriptorsThatWereCheckedAreTheOnesThatAreUsed() {
        MemorySegment data = dma.memory(DATA, 16);
        data.fill((byte) 'a');
        driver.packed(0, DATA, 8, 3, A);
        assertThat(pop()).isEqualTo(Pop.GOT);
        // The driver changes the descriptor after the check.
        driver.packed(0, 0, 0xffff_ffffL, 4, A | WRITE);
        MemorySegment copy = MemorySegment.ofArray(new byte[8]);
        dma.enter();
        assertThat(chain.copyIn(0, copy, 0, 8)).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(copy.mismatch(data.asSlice(0, 8))).isEqualTo(-1);
        assertThat(chain.head()).isEqualTo(3);
    }

    @Test
    void pushingWhatWasNotPoppedIsOurOwnMistake() {
        assertThatThrownBy(() -> queue.push(chain, 0)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> queue.unpop(chain)).isInstanceOf(IllegalStateException.class);
    }
}
