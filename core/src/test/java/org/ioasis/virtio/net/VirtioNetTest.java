// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The network device: virtio 1.4, 5.1. */
class VirtioNetTest implements Interrupts {
    private static final long BASE = 0x10000;
    private static final long RING = 0x90000;
    private static final long DATA = 0x100_0000;
    private static final int RX = 0;
    private static final int TX = 1;
    private static final int HEADER = 12;
    private static final int LONGEST = 1514;
    private static final int SIZE = 256;

    private final FlatDma dma = new FlatDma(BASE, 2 * RING);
    private final Deque<Runnable> loop = new ArrayDeque<>();
    private final List<byte[]> wire = new ArrayList<>();
    private final MockDriver[] drivers = new MockDriver[2];
    private Link.Sent answer = Link.Sent.TAKEN;
    private final VirtioNet net =
            new VirtioNet(new NetSettings(0x52_54_00_12_34_56L, 1500), this::send, loop::add);
    private final VirtioDevice device =
            new VirtioDevice(
                    net,
                    dma,
                    Virtio.F_VERSION_1
                            | Virtio.F_INDIRECT_DESC
                            | Virtio.F_EVENT_IDX
                            | Virtio.F_RING_RESET,
                    this);
    private int configInterrupts;

    private Link.Sent send(MemorySegment frame, int length) {
        assertThat(dma.isInSection()).as("a link may be a system call").isFalse();
        if (answer == Link.Sent.TAKEN) {
            wire.add(frame.asSlice(0, length).toArray(JAVA_BYTE));
        }
        return answer;
    }

    @Override
    public void queue(int queue) {
        assertThat(dma.isInSection()).isFalse();
    }

    @Override
    public void config() {
        configInterrupts++;
    }

    @BeforeEach
    void bringUp() {
        dma.addRegion(DATA, 0x200000);
        start();
    }

    private void start() {
        device.writeStatus(0);
        device.writeStatus(3);
        device.writeDriverFeatures(device.deviceFeatures());
        device.writeStatus(11);
        for (int q = 0; q < 2; q++) {
            enable(q);
        }
        device.writeStatus(15);
    }

    private void enable(int q) {
        long base = BASE + q * RING;
        drivers[q] = new MockDriver(dma.memory(base, MockDriver.footprint(SIZE)), base, SIZE, true);
        device.writeQueueDesc(q, drivers[q].descAddress());
        device.writeQueueDriver(q, drivers[q].driverAddress());
        device.writeQueueDevice(q, drivers[q].deviceAddress());
        device.enableQueue(q);
    }

    private static byte[] frame(int seed, int length) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static long at(int i) {
        return DATA + i * 0x1000L;
    }

    /** The driver sends a frame behind a header of zeroes. */
    private int transmit(Layout layout, int i, byte[] frame) {
        MemorySegment memory = dma.memory(at(i), HEADER + frame.length);
        memory.fill((byte) 0);
        MemorySegment.copy(frame, 0, memory, JAVA_BYTE, HEADER, frame.length);
        return drivers[TX].add(
                layout,
                List.of(
                        new Buffer(at(i), HEADER, false),
                        new Buffer(at(i) + HEADER, frame.length, false)));
    }

    private int offerBuffer(int i, int length) {
        return drivers[RX].add(Layout.DIRECT, List.of(new Buffer(at(i), length, true)));
    }

    private boolean arrive(byte[] frame) {
        MemorySegment from = MemorySegment.ofArray(frame);
        return net.receive(from, 0, frame.length);
    }

    private void kick(int q) {
        if (drivers[q].expose()) {
            device.kick(q);
        }
    }

    private void turns() {
        for (Runnable r = loop.poll(); r != null; r = loop.poll()) {
            r.run();
        }
    }

    private byte[] bytes(long address, int length) {
        return dma.memory(address, length).toArray(JAVA_BYTE);
    }

    // --- configuration (5.1.4)

    @Test
    void configurationHoldsAddressLinkAndMtu() {
        assertThat(device.id()).isEqualTo(1);
        assertThat(net.features()).isEqualTo(1L << 3 | 1L << 5 | 1L << 16);
        assertThat(device.readConfig(0, 4)).isEqualTo(0x1200_5452L);
        assertThat(device.readConfig(4, 2)).isEqualTo(0x5634L);
        assertThat(device.readConfig(6, 2)).isEqualTo(1);
        assertThat(device.readConfig(10, 2)).isEqualTo(1500);
        device.writeConfig(0, 1, 0);
        assertThat(device.readConfig(0, 1)).isEqualTo(0x52);
    }

    @Test
    void linkThatGoesIsToldOnce() {
        net.link(false);
        net.link(false);
        assertThat(device.readConfig(6, 2)).isZero();
        assertThat(configInterrupts).isEqualTo(1);
        net.link(true);
        assertThat(device.readConfig(6, 2)).isEqualTo(1);
        assertThat(configInterrupts).isEqualTo(2);
    }

    @Test
    void addressOfManyStationsAndMtusOutsideOfTheRulesAreRefused() {
        assertThatThrownBy(() -> new NetSettings(0x01_00_5e_00_00_01L, 1500))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new NetSettings(0, 67))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new NetSettings(0, 65_536))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(new NetSettings(0, 65_535).frameBytes()).isEqualTo(65_549);
    }

    // --- frames of the guest's (5.1.6.2)

    @ParameterizedTest
    @EnumSource
    void frameIsSentWithoutItsHeaderWhateverItsLayout(Layout layout) {
        byte[] shortest = frame(1, 14);
        byte[] longest = frame(2, LONGEST);
        int first = transmit(layout, 0, shortest);
        int second = transmit(layout, 1, longest);
        kick(TX);

        assertThat(wire).containsExactly(shortest, longest);
        assertThat(drivers[TX].poll()).isEqualTo(new Used(first, 0));
        assertThat(drivers[TX].poll()).isEqualTo(new Used(second, 0));
        assertThat(net.counters().sent()).isEqualTo(2);
        assertThat(net.counters().sentBytes()).isEqualTo(14 + LONGEST);
    }

    @Test
    void framesOfAnImpossibleLengthAreDroppedAndCounted() {
        transmit(Layout.DIRECT, 0, frame(1, 13));
        drivers[TX].add(Layout.DIRECT, List.of(new Buffer(at(1), 11, false)));
        drivers[TX].add(Layout.DIRECT, List.of(new Buffer(at(2), 64, true)));
        transmit(Layout.DIRECT, 3, frame(2, LONGEST + 1));
        transmit(Layout.DIRECT, 4, frame(3, LONGEST));
        kick(TX);

        assertThat(wire).containsExactly(frame(3, LONGEST));
        assertThat(net.counters().malformed()).isEqualTo(3);
        assertThat(net.counters().sentTooLong()).isEqualTo(1);
        for (int i = 0; i < 5; i++) {
            assertThat(drivers[TX].poll()).extracting(Used::written).isEqualTo(0L);
        }
    }

    @Test
    void fullLinkHoldsFramesInOrderAndTheGuestWhenAllPlacesAreTaken() {
        answer = Link.Sent.FULL;
        int count = VirtioNet.FRAME_LIMIT;
        for (int i = 0; i < count; i++) {
            transmit(Layout.INDIRECT, i, frame(i, 60));
        }
        kick(TX);
        turns();
        assertThat(drivers[TX].poll()).isNull();

        answer = Link.Sent.TAKEN;
        net.writable();
        turns();

        assertThat(wire).hasSize(count);
        for (int i = 0; i < count; i++) {
            assertThat(wire.get(i)).isEqualTo(frame(i, 60));
            assertThat(drivers[TX].poll()).isNotNull();
        }
        assertThat(net.counters().sent()).isEqualTo(count);
    }

    @Test
    void frameThatWaitsForTheLinkIsNotSentAfterAResetAndItsPlaceIsFree() {
        answer = Link.Sent.FULL;
        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            transmit(Layout.INDIRECT, i, frame(i, 60));
        }
        kick(TX);
        turns();
        device.resetQueue(TX);
        enable(TX);
        answer = Link.Sent.TAKEN;
        turns();
        net.writable();
        turns();
        assertThat(wire).isEmpty();

        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            transmit(Layout.INDIRECT, i, frame(-i, 60));
        }
        kick(TX);
        turns();
        assertThat(wire).hasSize(VirtioNet.FRAME_LIMIT);
        assertThat(net.counters().work().dropped()).isEqualTo(VirtioNet.FRAME_LIMIT);
    }

    @Test
    void frameThatTheLinkLosesIsCounted() {
        answer = Link.Sent.LOST;
        int head = transmit(Layout.DIRECT, 0, frame(1, 60));
        kick(TX);
        assertThat(drivers[TX].poll()).isEqualTo(new Used(head, 0));
        assertThat(net.counters().lost()).isEqualTo(1);
        assertThat(net.counters().sent()).isZero();
    }

    @Test
    void refusedFrameIsNotSentAndAbsentOneWaitsBeforeThoseBehindIt() {
        dma.trap(at(0) + HEADER, at(0) + HEADER, Outcome.FAULT);
        dma.trap(at(1) + HEADER, at(1) + HEADER, Outcome.ABSENT);
        for (int i = 0; i < 3; i++) {
            transmit(Layout.DIRECT, i, frame(i, 60));
        }
        kick(TX);
        assertThat(wire).isEmpty();
        assertThat(net.counters().work().faults()).isEqualTo(1);
        assertThat(device.needsTick()).isTrue();

        dma.clearTraps();
        device.memoryChanged();
        assertThat(wire).containsExactly(frame(1, 60), frame(2, 60));
    }

    // --- frames for the guest (5.1.6.4)

    @Test
    void frameFillsTheNextBufferBehindAHeaderOfOneBuffer() {
        int head = offerBuffer(0, HEADER + LONGEST);
        kick(RX);
        assertThat(arrive(frame(5, LONGEST))).isTrue();
        turns();

        assertThat(drivers[RX].poll()).isEqualTo(new Used(head, HEADER + LONGEST));
        assertThat(bytes(at(0), HEADER)).isEqualTo(new byte[] {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0});
        assertThat(bytes(at(0) + HEADER, LONGEST)).isEqualTo(frame(5, LONGEST));
        assertThat(net.counters().received()).isEqualTo(1);
        assertThat(net.counters().receivedBytes()).isEqualTo(LONGEST);
    }

    @Test
    void framesWaitForBuffersUpToTheLimitAndTheRestIsDroppedAndCounted() {
        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            assertThat(arrive(frame(i, 60))).isTrue();
        }
        assertThat(arrive(frame(-1, 60))).isFalse();
        assertThat(net.counters().overrun()).isEqualTo(1);
        turns();

        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            offerBuffer(i, 2048);
        }
        kick(RX);
        turns();

        for (int i = 0; i < VirtioNet.FRAME_LIMIT; i++) {
            assertThat(drivers[RX].poll()).extracting(Used::written).isEqualTo(HEADER + 60L);
            assertThat(bytes(at(i) + HEADER, 60)).isEqualTo(frame(i, 60));
        }
        assertThat(arrive(frame(-1, 60))).isTrue();
    }

    @Test
    void framesOfAnImpossibleLengthNeverReachTheGuest() {
        offerBuffer(0, 0x1000);
        kick(RX);
        assertThat(arrive(frame(1, 13))).isFalse();
        assertThat(arrive(frame(1, LONGEST + 1))).isFalse();
        turns();
        assertThat(drivers[RX].poll()).isNull();
        assertThat(net.counters().receivedTooLong()).isEqualTo(2);
    }

    @Test
    void bufferThatIsTooSmallComesBackEmptyAndCostsOneFrame() {
        int small = offerBuffer(0, HEADER + 59);
        int fits = offerBuffer(1, HEADER + 60);
        kick(RX);
        arrive(frame(1, 60));
        arrive(frame(2, 60));
        turns();
        assertThat(drivers[RX].poll()).isEqualTo(new Used(small, 0));
        assertThat(drivers[RX].poll()).isEqualTo(new Used(fits, HEADER + 60));
        assertThat(bytes(at(0), HEADER + 59)).containsOnly(0);
        assertThat(bytes(at(1) + HEADER, 60)).isEqualTo(frame(2, 60));
        assertThat(net.counters().buffersTooSmall()).isEqualTo(1);
    }

    @Test
    void refusedBufferCostsItsFrameAndAbsentOneKeepsIt() {
        dma.trap(at(0), at(0), Outcome.FAULT);
        dma.trap(at(1), at(1), Outcome.ABSENT);
        int refused = offerBuffer(0, 2048);
        int absent = offerBuffer(1, 2048);
        kick(RX);
        arrive(frame(1, 60));
        arrive(frame(2, 60));
        turns();
        assertThat(drivers[RX].poll()).isEqualTo(new Used(refused, 0));
        assertThat(drivers[RX].poll()).isNull();
        assertThat(net.counters().work().faults()).isEqualTo(1);

        dma.clearTraps();
        device.memoryChanged();
        assertThat(drivers[RX].poll()).isEqualTo(new Used(absent, HEADER + 60));
        assertThat(bytes(at(1) + HEADER, 60)).isEqualTo(frame(2, 60));
    }

    @Test
    void whatCameBeforeAResetIsNotSeenAfterItAndNothingIsKeptForNobody() {
        arrive(frame(1, 60));
        device.writeStatus(0);
        assertThat(arrive(frame(2, 60))).isFalse();
        assertThat(net.counters().overrun()).isEqualTo(1);
        start();
        offerBuffer(0, 2048);
        kick(RX);
        turns();
        assertThat(drivers[RX].poll()).isNull();
        arrive(frame(3, 60));
        turns();
        assertThat(bytes(at(0) + HEADER, 60)).isEqualTo(frame(3, 60));
    }
}
