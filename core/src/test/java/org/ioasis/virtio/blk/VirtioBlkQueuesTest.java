// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioBlk.F_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.F_MQ;
import static org.ioasis.spec.VirtioBlk.F_SIZE_MAX;
import static org.ioasis.spec.VirtioBlk.F_TOPOLOGY;
import static org.ioasis.spec.VirtioBlk.S_IOERR;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.util.Arrays;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SplitRing;
import org.ioasis.virtio.DeviceState;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Used;
import org.ioasis.virtqueue.SplitState;
import org.junit.jupiter.api.Test;

/** Several queues (virtio 1.4, 5.2.2), and what a disk says of its blocks and segments (5.2.4). */
class VirtioBlkQueuesTest {
    private static final BlkSettings FOUR = BlkRig.settings().serial("disk").queueCount(4).build();

    private static BlkRig rig(BlkSettings settings, int capacity) {
        BlkRig made = new BlkRig(settings, capacity, false);
        made.start();
        return made;
    }

    private static BlkRig four() {
        return rig(FOUR, 64 * 512);
    }

    // --- several queues

    @Test
    void withoutMqNegotiatedOnlyTheFirstQueueIsServed() {
        BlkRig rig = four();
        rig.start(rig.device.deviceFeatures() & ~F_MQ);
        rig.add(1, 1, T_IN, 0, 512);
        rig.add(0, 0, T_IN, 0, 512);
        rig.expose();
        rig.device.kick(1);
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
        assertThat(rig.status(1)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.driver(1).poll()).isNull();
    }

    @Test
    void faultOnTheRingOfOneQueueNeedsAResetOfAll() {
        BlkRig rig = four();
        long avail = rig.driver(2).driverAddress();
        rig.dma.trap(avail, avail + SplitRing.availBytes(64) - 1, Outcome.FAULT);
        rig.device.kick(0);
        assertThat(rig.device.brokenReason()).isEqualTo(BrokenReason.RING_FAULTED);
        assertThat(rig.configInterrupts).isEqualTo(1);
        assertThat(rig.dma.faults()).isEqualTo(1);
        assertThat(rig.blk.counters().work().ringFaults()).isEqualTo(1);
        rig.dma.clearTraps();
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void absentRingOfOneQueueLeavesTheOthersAloneAndIsTriedAgain() {
        BlkRig rig = four();
        long avail = rig.driver(1).driverAddress();
        rig.dma.trap(avail, avail + 3, Outcome.ABSENT);
        rig.add(1, 1, T_IN, 0, 512);
        rig.add(3, 3, T_IN, 0, 512);
        rig.expose();
        rig.device.kick(1);
        rig.settle();
        assertThat(rig.status(3)).isEqualTo(S_OK);
        assertThat(rig.status(1)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.device.needsTick()).isTrue();
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.status(1)).isEqualTo(S_OK);
        assertThat(rig.device.needsTick()).isFalse();
    }

    @Test
    void brokenRingOfOneQueueNeedsAResetOfAll() {
        BlkRig rig = four();
        rig.driver(3).availIdx(65);
        rig.device.kick(3);
        assertThat(rig.device.brokenReason()).isEqualTo(BrokenReason.AVAIL_TOO_FAR);
        rig.start();
        assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
    }

    @Test
    void eachQueueGetsItsOwnChainsBackAndItsOwnInterrupt() {
        BlkRig rig = four();
        int[] heads = new int[4];
        for (int q = 0; q < 4; q++) {
            rig.add(q, 4 + q, T_IN, 10 + q, 512);
            heads[q] = rig.add(q, q, T_IN, q, 512);
        }
        rig.expose();
        rig.settle();
        for (int q = 0; q < 4; q++) {
            assertThat(rig.driver(q).poll()).isNotNull();
            assertThat(rig.driver(q).poll()).isEqualTo(new Used(heads[q], 513));
            assertThat(rig.driver(q).poll()).isNull();
            assertThat(rig.dataBytes(q, 512))
                    .isEqualTo(Arrays.copyOfRange(rig.store.content, q * 512, q * 512 + 512));
        }
        assertThat(rig.queueInterrupts).isEqualTo(4);
    }

    // --- a device that goes on where somebody has kept that another one was

    @Test
    void diskWhoseRingStartsAtASavedIndexGoesOnAcrossTheWrap() {
        BlkRig rig = rig(BlkRig.settings().build(), 64 * 512);
        for (int i = 0; i < 65530; i++) {
            assertThat(rig.request(T_IN, 0, 512)).isEqualTo(S_OK);
        }
        DeviceState was = rig.device.save();
        DeviceState.Queue queue = was.queues().getFirst();
        assertThat(queue.ring()).isEqualTo(SplitState.at(65530));
        VirtioBlk disk = new VirtioBlk(rig.store, rig.settings, rig.io::add, rig.loop::add);
        VirtioDevice next = new VirtioDevice(disk, rig.dma, BlkRig.FEATURES, rig);
        assertThat(next.refuseRestore(was)).isNull();

        next.restore(was);

        for (int i = 0; i < 12; i++) {
            int head = rig.add(i, T_IN, i, 512);
            if (rig.driver().expose()) {
                next.kick(0);
            }
            rig.settle();
            assertThat(rig.driver().poll()).isEqualTo(new Used(head, 513));
            assertThat(rig.status(i)).isEqualTo(S_OK);
            assertThat(rig.dataBytes(i, 512))
                    .isEqualTo(Arrays.copyOfRange(rig.store.content, i * 512, i * 512 + 512));
        }
        assertThat(rig.driver().usedIdx()).isEqualTo(6);
        assertThat(disk.counters().reads().ok()).isEqualTo(12);
    }

    // --- a queue that is reset alone (2.6.1)

    @Test
    void queueThatIsResetAnswersNothingOfBeforeAndTheOthersGoOn() {
        BlkRig rig = four();
        for (int i = 0; i < 3; i++) {
            rig.add(1, i, i == 0 ? T_OUT : T_IN, i, 512);
            rig.add(2, 8 + i, T_IN, i, 512);
        }
        rig.data(0, 512).fill((byte) 0x55);
        rig.expose();
        byte[] memory = rig.dma.memory(BlkRig.slot(0), 3L * BlkRig.SLOT).toArray(JAVA_BYTE);
        byte[] ring = ring(rig, 1);

        rig.device.resetQueue(1);

        assertThat(rig.device.queueEnabled(1)).isFalse();
        assertThat(rig.device.queueDesc(1)).isZero();
        assertThat(rig.device.queueSize(1)).isEqualTo(64);
        rig.device.kick(1);
        rig.settle();
        assertThat(rig.dma.memory(BlkRig.slot(0), 3L * BlkRig.SLOT).toArray(JAVA_BYTE))
                .isEqualTo(memory);
        assertThat(ring(rig, 1)).isEqualTo(ring);
        assertThat(rig.store.writes).as("a write that had not begun").isZero();
        assertThat(rig.blk.counters().work().dropped()).isEqualTo(3);
        assertThat(rig.queueInterrupts).isEqualTo(1);
        for (int i = 0; i < 3; i++) {
            assertThat(rig.status(8 + i)).isEqualTo(S_OK);
            assertThat(rig.driver(2).poll()).isNotNull();
        }
    }

    private static byte[] ring(BlkRig rig, int queue) {
        return rig.dma
                .memory(rig.driver(queue).descAddress(), MockDriver.footprint(64))
                .toArray(JAVA_BYTE);
    }

    @Test
    void queueThatIsResetCanBeEnabledAgainElsewhereAndBeginsAtIndex0() {
        BlkRig rig = four();
        for (int i = 0; i < 5; i++) {
            rig.add(1, i, T_IN, i, 512);
        }
        rig.expose();
        rig.device.resetQueue(1);
        rig.settle();

        rig.enableAgain(1);

        int head = rig.add(1, 9, T_IN, 9, 512);
        rig.expose();
        rig.settle();
        assertThat(rig.driver(1).poll()).isEqualTo(new Used(head, 513));
        assertThat(rig.driver(1).usedIdx()).isEqualTo(1);
        assertThat(rig.dataBytes(9, 512))
                .isEqualTo(Arrays.copyOfRange(rig.store.content, 9 * 512, 10 * 512));
    }

    @Test
    void writeOfAQueueThatWasResetDoesNotOvertakeALaterOneOfAnyQueue() {
        BlkRig rig = four();
        rig.data(0, 512).fill((byte) 1);
        rig.add(1, 0, T_OUT, 0, 512);
        rig.expose();
        Runnable old = rig.io.remove();
        rig.device.resetQueue(1);
        rig.data(1, 512).fill((byte) 2);
        rig.add(2, 1, T_OUT, 0, 512);
        rig.expose();
        assertThat(rig.io).isEmpty();

        old.run();
        rig.settle();

        assertThat(rig.status(1)).isEqualTo(S_OK);
        assertThat(rig.store.content[0]).isEqualTo((byte) 2);
        assertThat(rig.status(0)).isEqualTo(BlkRig.NO_STATUS);
    }

    @Test
    void whatAQueueWaitedForEndsWithItsReset() {
        BlkRig rig = four();
        rig.dma.trap(BlkRig.slot(1), BlkRig.slot(1), Outcome.ABSENT);
        rig.add(1, 1, T_IN, 0, 512);
        long used = rig.driver(3).deviceAddress();
        rig.dma.trap(used, used + 3, Outcome.ABSENT);
        rig.add(3, 3, T_IN, 0, 512);
        rig.expose();
        rig.settle();
        assertThat(rig.device.needsTick()).isTrue();

        rig.device.resetQueue(1);
        assertThat(rig.device.needsTick()).as("an answer of queue 3 waits").isTrue();
        rig.device.resetQueue(3);

        assertThat(rig.device.needsTick()).isFalse();
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.status(1)).isEqualTo(BlkRig.NO_STATUS);
        for (int i = 0; i < 8; i++) {
            rig.add(0, i, T_IN, i, 512);
        }
        rig.expose();
        assertThat(rig.io).as("all buffers are back").hasSize(8);
        rig.settle();
    }

    @Test
    void whatOtherQueuesWaitForIsStillTakenWhenMemoryIsBack() {
        BlkRig rig = four();
        for (int q = 1; q <= 3; q++) {
            rig.dma.trap(BlkRig.slot(q), BlkRig.slot(q), Outcome.ABSENT);
            rig.add(q, q, T_IN, q, 512);
        }
        rig.expose();

        rig.device.resetQueue(2);

        assertThat(rig.device.needsTick()).isTrue();
        rig.dma.clearTraps();
        rig.device.memoryChanged();
        rig.settle();
        assertThat(rig.status(1)).isEqualTo(S_OK);
        assertThat(rig.status(2)).isEqualTo(BlkRig.NO_STATUS);
        assertThat(rig.status(3)).isEqualTo(S_OK);
    }

    @Test
    void ringThatIsAbsentIsForgottenWithItsQueue() {
        BlkRig rig = four();
        long absent = rig.driver(1).driverAddress();
        rig.dma.trap(absent, absent + 3, Outcome.ABSENT);
        rig.add(1, 1, T_IN, 0, 512);
        rig.device.kick(1);
        assertThat(rig.device.needsTick()).isTrue();

        rig.device.resetQueue(1);

        assertThat(rig.device.needsTick()).isFalse();
    }

    @Test
    void fullQueueDoesNotKeepTheOthersWaiting() {
        BlkRig rig = four();
        for (int i = 0; i < 20; i++) {
            rig.add(0, i, T_IN, i, 512);
        }
        for (int q = 1; q < 4; q++) {
            rig.add(q, 20 + q, T_IN, q, 512);
        }
        // All are seen by one look: 8 requests at a time, and each queue has its turn.
        for (int q = 0; q < 4; q++) {
            boolean _ = rig.driver(q).expose();
        }
        rig.device.kick(0);
        assertThat(rig.io).hasSize(8);
        for (int q = 1; q < 4; q++) {
            assertThat(rig.device.queue(q).inFlight()).isEqualTo(1);
        }
        rig.settle();
        assertThat(rig.blk.counters().reads().ok()).isEqualTo(23);
    }

    @Test
    void queueThatIsNotEnabledIsPassedOver() {
        BlkRig rig = four();
        rig.device.writeStatus(0);
        rig.device.writeStatus(3);
        rig.device.writeDriverFeatures(rig.device.deviceFeatures());
        rig.device.writeStatus(11);
        rig.device.writeQueueDesc(2, rig.driver(2).descAddress());
        rig.device.writeQueueDriver(2, rig.driver(2).driverAddress());
        rig.device.writeQueueDevice(2, rig.driver(2).deviceAddress());
        rig.device.enableQueue(2);
        rig.device.writeStatus(15);
        rig.add(2, 0, T_IN, 0, 512);
        rig.expose();
        rig.settle();
        assertThat(rig.status(0)).isEqualTo(S_OK);
    }

    @Test
    void mqIsOfferedWithItsNumberAndOnlyThen() {
        assertThat(four().device.deviceFeatures() & F_MQ).isNotZero();
        assertThat(four().device.readConfig(34, 2)).isEqualTo(4);
        assertThat(four().device.queueCount()).isEqualTo(4);
        BlkRig one = BlkRig.small();
        assertThat(one.device.deviceFeatures() & F_MQ).isZero();
        assertThat(one.device.readConfig(34, 2)).isZero();
    }

    // --- blocks

    @Test
    void requestsThatAreNotAlignedToTheBlocksAreRefused() {
        BlkRig rig = rig(FOUR.toBuilder().blocks(BlkBlocks.OF_4096).build(), 64 * 4096);
        byte[] before = rig.store.content.clone();
        for (int type : new int[] {T_IN, T_OUT}) {
            assertThat(rig.request(type, 1, 4096)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, 7, 4096)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, 0, 512)).isEqualTo(S_IOERR);
            assertThat(rig.request(type, 8, 4096 + 512)).isEqualTo(S_IOERR);
        }
        for (int type : new int[] {T_DISCARD, T_WRITE_ZEROES}) {
            assertThat(rig.erase(type, 1, 8, 0)).isEqualTo(S_IOERR);
            assertThat(rig.erase(type, 8, 7, 0)).isEqualTo(S_IOERR);
        }
        assertThat(rig.store.content).isEqualTo(before);
        assertThat(rig.store.reads + rig.store.writes).isZero();
        assertThat(rig.request(T_IN, 8, 8192)).isEqualTo(S_OK);
        assertThat(rig.request(T_OUT, 504, 4096)).isEqualTo(S_OK);
        assertThat(rig.erase(T_DISCARD, 8, 8, 0)).isEqualTo(S_OK);
    }

    @Test
    void driverThatHasNotSeenTheBlockSizeGoesBySectors() {
        BlkRig rig = rig(FOUR.toBuilder().blocks(BlkBlocks.OF_4096).build(), 64 * 4096);
        rig.start(rig.device.deviceFeatures() & ~F_BLK_SIZE);
        assertThat(rig.request(T_IN, 3, 512)).isEqualTo(S_OK);
        assertThat(rig.dataBytes(0, 512))
                .isEqualTo(Arrays.copyOfRange(rig.store.content, 3 * 512, 4 * 512));
    }

    @Test
    void capacityIsWholeBlocks() {
        BlkRig rig = rig(FOUR.toBuilder().blocks(BlkBlocks.OF_4096).build(), 3 * 4096 + 3584);
        assertThat(rig.device.readConfig(0, 8)).isEqualTo(24);
        assertThat(rig.request(T_IN, 24, 4096)).isEqualTo(S_IOERR);
        assertThat(rig.request(T_IN, 16, 4096)).isEqualTo(S_OK);
    }

    @Test
    void configurationHasBlocksTopologyAndSegments() {
        BlkRig rig =
                rig(
                        FOUR.toBuilder()
                                .blocks(new BlkBlocks(4096, 3, 16, 256))
                                .segMax(10)
                                .sizeMax(65536)
                                .build(),
                        64 * 4096);
        assertThat(rig.device.deviceFeatures() & F_TOPOLOGY).isNotZero();
        assertThat(rig.device.deviceFeatures() & F_SIZE_MAX).isNotZero();
        assertThat(rig.device.readConfig(8, 4)).isEqualTo(65536);
        assertThat(rig.device.readConfig(12, 4)).isEqualTo(10);
        assertThat(rig.device.readConfig(20, 4)).isEqualTo(4096);
        assertThat(rig.device.readConfig(24, 1)).isEqualTo(3);
        assertThat(rig.device.readConfig(25, 1)).isZero();
        assertThat(rig.device.readConfig(26, 2)).isEqualTo(16);
        assertThat(rig.device.readConfig(28, 4)).isEqualTo(256);
        assertThat(rig.device.readConfig(44, 4)).isEqualTo(8);
        assertThat(BlkRig.small().device.deviceFeatures() & F_SIZE_MAX).isZero();
    }

    @Test
    void configurationCannotBeWritten() {
        BlkRig rig = four();
        for (int at = 0; at < 60; at += 4) {
            long before = rig.device.readConfig(at, 4);
            rig.device.writeConfig(at, 4, 0x5a5a5a5a);
            assertThat(rig.device.readConfig(at, 4)).isEqualTo(before);
        }
    }

    @Test
    void settingsOutOfRangeAreOurOwnMistake() {
        assertThatThrownBy(() -> FOUR.toBuilder().queueCount(0).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> FOUR.toBuilder().queueCount(65).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> FOUR.toBuilder().segMax(0).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> FOUR.toBuilder().segMax(63).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> FOUR.toBuilder().sizeMax(4095).build())
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new BlkBlocks(1024, 0, 1, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new BlkBlocks(512, 9, 1, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new BlkBlocks(512, 0, 0, 0))
                .isInstanceOf(IllegalArgumentException.class);
        BlkSettings small =
                BlkSettings.builder().queueSizeMax(64).requestLimit(8).chunkBytes(512).build();
        assertThatThrownBy(() -> small.toBuilder().blocks(BlkBlocks.OF_4096).build())
                .isInstanceOf(IllegalArgumentException.class);
    }
}
