// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Allocation;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The entropy device: virtio 1.4, 5.4. */
class VirtioRngTest implements Interrupts {
    private static final long BASE = 0x10000;
    private static final long DATA = 0x100_0000;
    private static final long SEED = 7;

    private final FlatDma dma = new FlatDma(BASE, 0x20000);
    private final Deque<Runnable> loop = new ArrayDeque<>();
    private final Random seeded = new Random(SEED);
    private final VirtioRng rng = new VirtioRng(this::fill, loop::add);
    private final VirtioDevice device =
            new VirtioDevice(
                    rng,
                    dma,
                    Virtio.F_VERSION_1
                            | Virtio.F_INDIRECT_DESC
                            | Virtio.F_EVENT_IDX
                            | Virtio.F_RING_RESET,
                    this);
    private MockDriver driver;
    private int queueInterrupts;
    private int fills;

    private void fill(byte[] bytes) {
        assertThat(dma.isInSection()).as("a source may be a system call").isFalse();
        seeded.nextBytes(bytes);
        fills++;
    }

    @Override
    public void queue(int queue) {
        assertThat(dma.isInSection()).isFalse();
        queueInterrupts++;
    }

    @Override
    public void config() {}

    @BeforeEach
    void bringUp() {
        dma.addRegion(DATA, 0x100000);
        start();
    }

    private void start() {
        device.writeStatus(0);
        device.writeStatus(3);
        device.writeDriverFeatures(device.deviceFeatures());
        device.writeStatus(11);
        driver = enable();
        device.writeStatus(15);
    }

    private MockDriver enable() {
        MockDriver enabled =
                new MockDriver(dma.memory(BASE, MockDriver.footprint(64)), BASE, 64, true);
        device.writeQueueDesc(0, enabled.descAddress());
        device.writeQueueDriver(0, enabled.driverAddress());
        device.writeQueueDevice(0, enabled.deviceAddress());
        device.enableQueue(0);
        return enabled;
    }

    /** What a source with this seed gives, pool by pool. */
    private static byte[] stream(int length) {
        Random random = new Random(SEED);
        byte[] all = new byte[length + VirtioRng.REQUEST_BYTES];
        for (int at = 0; at < length; at += VirtioRng.REQUEST_BYTES) {
            byte[] pool = new byte[VirtioRng.REQUEST_BYTES];
            random.nextBytes(pool);
            System.arraycopy(pool, 0, all, at, pool.length);
        }
        return Arrays.copyOf(all, length);
    }

    private byte[] bytes(long address, int length) {
        return dma.memory(address, length).toArray(JAVA_BYTE);
    }

    private void expose() {
        if (driver.expose()) {
            device.kick(0);
        }
    }

    private void turns() {
        for (Runnable r = loop.poll(); r != null; r = loop.poll()) {
            r.run();
        }
    }

    // --- a queue that is reset alone (2.6.1)

    @Test
    void queueThatIsResetForgetsTheBufferThatItWaitedForAndBeginsAnew() {
        dma.trap(DATA, DATA, Outcome.ABSENT);
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        expose();
        assertThat(device.needsTick()).isTrue();

        device.resetQueue(0);

        assertThat(device.queueEnabled(0)).isFalse();
        assertThat(device.needsTick()).isFalse();
        dma.clearTraps();
        device.memoryChanged();
        device.kick(0);
        assertThat(driver.poll()).isNull();
        assertThat(bytes(DATA, 64)).containsOnly(0);
        driver = enable();
        int head = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        expose();
        assertThat(driver.poll()).isEqualTo(new Used(head, 64));
        assertThat(driver.usedIdx()).isEqualTo(1);
    }

    // --- what a driver must not do

    @Test
    void chainWithoutAWritableByteComesBackEmpty() {
        int readable = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, false)));
        int empty = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 0, true)));
        expose();

        assertThat(driver.poll()).isEqualTo(new Used(readable, 0));
        assertThat(driver.poll()).isEqualTo(new Used(empty, 0));
        assertThat(rng.counters().malformed()).isEqualTo(2);
        assertThat(bytes(DATA, 64)).containsOnly(0);
    }

    @Test
    void readableBytesBeforeTheBufferAreLeftAlone() {
        int head =
                driver.add(
                        Layout.DIRECT,
                        List.of(new Buffer(DATA, 16, false), new Buffer(DATA + 16, 16, true)));
        expose();

        assertThat(driver.poll()).isEqualTo(new Used(head, 16));
        assertThat(bytes(DATA, 16)).containsOnly(0);
        assertThat(bytes(DATA + 16, 16)).isEqualTo(stream(16));
    }

    @Test
    void refusedBufferComesBackEmptyAndTheNextOneIsServed() {
        dma.trap(DATA, DATA + 63, Outcome.FAULT);
        dma.trap(DATA + 64, DATA + 127, Outcome.REFUSED);
        int faulting = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        int refusing = driver.add(Layout.DIRECT, List.of(new Buffer(DATA + 64, 64, true)));
        int fine = driver.add(Layout.DIRECT, List.of(new Buffer(DATA + 128, 64, true)));
        expose();

        assertThat(driver.poll()).isEqualTo(new Used(faulting, 0));
        assertThat(driver.poll()).isEqualTo(new Used(refusing, 0));
        assertThat(driver.poll()).isEqualTo(new Used(fine, 64));
        assertThat(rng.counters().requests()).isEqualTo(1);
        assertThat(rng.counters().bytes()).isEqualTo(64);
        assertThat(rng.counters().work().faults()).isEqualTo(1);
        assertThat(rng.counters().work().refusals()).isEqualTo(1);
    }

    @Test
    void bufferThatFaultsHalfwayGetsNothingThatIsGivenAgain() {
        dma.trap(DATA + 32, DATA + 63, Outcome.FAULT);
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        int second = driver.add(Layout.DIRECT, List.of(new Buffer(DATA + 128, 64, true)));
        expose();

        assertThat(driver.poll()).extracting(Used::written).isEqualTo(0L);
        assertThat(driver.poll()).isEqualTo(new Used(second, 64));
        assertThat(bytes(DATA + 128, 64)).isEqualTo(Arrays.copyOfRange(stream(128), 64, 128));
    }

    @Test
    void brokenRingAndFaultingRingNeedAReset() {
        driver.availIdx(65);
        device.kick(0);
        assertThat(device.brokenReason()).isEqualTo(BrokenReason.AVAIL_TOO_FAR);

        start();
        dma.trap(driver.driverAddress(), driver.driverAddress() + 3, Outcome.FAULT);
        for (int i = 0; i < 5; i++) {
            device.kick(0);
        }
        assertThat(dma.faults()).isEqualTo(1);
        assertThat(rng.counters().work().ringFaults()).isEqualTo(1);
        assertThat(device.brokenReason()).isEqualTo(BrokenReason.RING_FAULTED);

        dma.clearTraps();
        start();
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 8, true)));
        expose();
        assertThat(driver.poll()).extracting(Used::written).isEqualTo(8L);
    }

    // --- bounds

    @Test
    void requestGetsNoMoreThanItsLimit() {
        int head = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 0x10000, true)));
        expose();

        assertThat(driver.poll()).isEqualTo(new Used(head, VirtioRng.REQUEST_BYTES));
        assertThat(bytes(DATA, VirtioRng.REQUEST_BYTES)).isEqualTo(stream(VirtioRng.REQUEST_BYTES));
        assertThat(bytes(DATA + VirtioRng.REQUEST_BYTES, 0x1000)).containsOnly(0);
    }

    @Test
    void oneTurnIsBoundedAndTheRestComesInTheNext() {
        for (int i = 0; i < 40; i++) {
            driver.add(Layout.DIRECT, List.of(new Buffer(DATA + i * 0x1000L, 0x1000, true)));
        }
        expose();

        // A pool a section, but for the first section, which finds it empty.
        assertThat(rng.counters().requests()).isEqualTo(DeviceWork.SECTION_LIMIT - 1);
        assertThat(dma.longestSection()).isLessThan(2 * VirtioRng.REQUEST_BYTES);
        turns();
        assertThat(rng.counters().requests()).isEqualTo(40);
        assertThat(bytes(DATA, 40 * 0x1000)).isEqualTo(stream(40 * 0x1000));
    }

    @Test
    void kicksWhileWorkIsPutOffPostNoSecondTask() {
        for (int i = 0; i < 40; i++) {
            driver.add(Layout.DIRECT, List.of(new Buffer(DATA + i * 0x1000L, 0x1000, true)));
        }
        assertThat(driver.expose()).isTrue();
        for (int kicks = 0; kicks < 2; kicks++) {
            device.kick(0);
        }
        assertThat(rng.counters().requests()).isLessThan(40);
        assertThat(loop).hasSize(1);
    }

    // --- absent memory and reset

    @Test
    void requestInAbsentMemoryWaitsAndHoldsUpThoseBehindIt() {
        dma.trap(DATA, DATA + 63, Outcome.ABSENT);
        int first = driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        int second = driver.add(Layout.DIRECT, List.of(new Buffer(DATA + 128, 64, true)));
        expose();
        device.memoryChanged();
        assertThat(driver.poll()).isNull();
        assertThat(device.needsTick()).isTrue();
        assertThat(rng.counters().work().keptAbsent()).isEqualTo(2);

        dma.clearTraps();
        device.memoryChanged();

        assertThat(driver.poll()).isEqualTo(new Used(first, 64));
        assertThat(driver.poll()).isEqualTo(new Used(second, 64));
        assertThat(device.needsTick()).isFalse();
    }

    @Test
    void absentRingIsTriedAgain() {
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 8, true)));
        boolean wanted = driver.expose();
        assertThat(wanted).isTrue();
        dma.trap(driver.driverAddress(), driver.driverAddress() + 3, Outcome.ABSENT);
        device.kick(0);
        assertThat(device.needsTick()).isTrue();
        dma.clearTraps();
        device.memoryChanged();
        assertThat(driver.poll()).extracting(Used::written).isEqualTo(8L);
        assertThat(device.needsTick()).isFalse();
    }

    @Test
    void turnOfAnEarlierLifeDoesNothing() {
        for (int i = 0; i < 40; i++) {
            driver.add(Layout.DIRECT, List.of(new Buffer(DATA + i * 0x1000L, 0x1000, true)));
        }
        expose();
        assertThat(loop).hasSize(1);
        device.writeStatus(0);
        byte[] before = bytes(DATA, 40 * 0x1000);
        turns();
        assertThat(bytes(DATA, 40 * 0x1000)).isEqualTo(before);
        assertThat(rng.counters().requests()).isEqualTo(DeviceWork.SECTION_LIMIT - 1);
    }

    // --- what is done

    @Test
    void anyLayoutIsFilledAndNoByteIsGivenTwice() {
        List<Byte> seen = new ArrayList<>();
        Layout[] layouts = Layout.values();
        int total = 0;
        for (int round = 0; round < 200; round++) {
            Layout layout = layouts[round % layouts.length];
            List<Buffer> buffers =
                    List.of(
                            new Buffer(DATA, 1, true),
                            new Buffer(DATA + 1, 0, true),
                            new Buffer(DATA + 1, 30 + round, true));
            driver.add(layout, buffers);
            expose();
            Used used = requireNonNull(driver.poll());
            for (byte b : bytes(DATA, (int) used.written())) {
                seen.add(b);
            }
            total += (int) used.written();
        }
        byte[] all = new byte[seen.size()];
        for (int i = 0; i < all.length; i++) {
            all[i] = seen.get(i);
        }
        assertThat(all).isEqualTo(stream(total));
        assertThat(rng.counters().bytes()).isEqualTo(total);
        assertThat(queueInterrupts).isPositive();
    }

    @Test
    void deviceHasNoConfigurationAndNoFeaturesOfItsOwn() {
        assertThat(device.id()).isEqualTo(4);
        assertThat(device.configSize()).isZero();
        assertThat(rng.features()).isZero();
        assertThat(device.queueCount()).isEqualTo(1);
        assertThat(device.readConfig(0, 4)).isZero();
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 16, true)));
        expose();
        long allocated = new Allocation().leastOf(20, () -> cycle(5_000));
        assertThat(allocated).isLessThan(5_000);
        assertThat(rng.counters().requests()).isEqualTo(100_001);
        assertThat(fills).isGreaterThan(30);
    }

    private void cycle(int count) {
        for (int i = 0; i < count; i++) {
            int idx = driver.usedIdx();
            driver.availEntry(idx & 63, 0);
            driver.availIdx(idx + 1);
            device.kick(0);
        }
    }
}
