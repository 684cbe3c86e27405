// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_RING_PACKED;
import static org.ioasis.spec.Virtio.F_RING_RESET;
import static org.ioasis.spec.Virtio.F_VERSION_1;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SplitRing;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Rings that are looked at, with a device that takes every chain and gives it back at once. The
 * driver is one that kicks only when it is asked to.
 */
class RingWatchTest implements Interrupts {
    private static final long BASE = 0x10000;
    private static final long DATA = 0x100_0000;
    private static final int SIZE = 16;

    private static final class Item extends Job<Item> {
        Item() {
            super(SIZE);
        }

        @Override
        protected void begin() {}
    }

    private final class Work extends DeviceWork<Item> {
        private final Item item = new Item();

        Work() {
            super(2, loop::add);
        }

        @Override
        protected void kicked(int queue) {
            kicks++;
        }

        @Override
        protected Item room(int queue) {
            return item;
        }

        @Override
        protected void release(Item job) {}

        @Override
        protected Step advance(Item job) {
            done++;
            spend(cost);
            return job.finish(0);
        }

        @Override
        protected void outside() {}
    }

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final Deque<Runnable> loop = new ArrayDeque<>();
    private final Work work = new Work();
    private final MockDriver[] drivers = new MockDriver[2];
    private @Nullable VirtioDevice made;
    private int kicks;
    private int done;
    private long cost;
    private int interrupts;

    @Override
    public void queue(int queue) {
        interrupts++;
    }

    @Override
    public void config() {}

    private VirtioDevice device() {
        return requireNonNull(made);
    }

    private void bringUp(boolean eventIdx) {
        bringUp(RingFormat.SPLIT, eventIdx);
    }

    private void bringUp(RingFormat format, boolean eventIdx) {
        dma.addRegion(DATA, 0x10000);
        made =
                new VirtioDevice(
                        new PlainType(work, 2, SIZE),
                        dma,
                        F_VERSION_1
                                | F_RING_RESET
                                | (eventIdx ? F_EVENT_IDX : 0)
                                | (format == RingFormat.PACKED ? F_RING_PACKED : 0),
                        this);
        device().writeStatus(3);
        device().writeDriverFeatures(device().deviceFeatures());
        device().writeStatus(11);
        enable(0, format, eventIdx);
        enable(1, format, eventIdx);
        device().writeStatus(15);
        assertThat(device().isRunning()).isTrue();
        kicks = 0;
    }

    private void enable(int q, RingFormat format, boolean eventIdx) {
        long base = BASE + q * 0x8000L;
        MockDriver driver =
                new MockDriver(
                        format, dma.memory(base, MockDriver.footprint(SIZE)), base, SIZE, eventIdx);
        device().writeQueueDesc(q, driver.descAddress());
        device().writeQueueDriver(q, driver.driverAddress());
        device().writeQueueDevice(q, driver.deviceAddress());
        device().enableQueue(q);
        drivers[q] = driver;
    }

    /** The driver makes a chain available. True if it was asked to kick for it. */
    private boolean offer(int q) {
        int _ = drivers[q].add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
        return drivers[q].expose();
    }

    /** As the transport does with a kick, while the loop looks. */
    private void kickedWhileLooking(int q) {
        device().watch().begin(q);
        device().kick(q);
    }

    private int used(int q) {
        int count = 0;
        while (drivers[q].poll() != null) {
            count++;
        }
        return count;
    }

    private long availIdx(int q) {
        return drivers[q].driverAddress() + SplitRing.AVAIL_IDX;
    }

    @ParameterizedTest
    @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
    void driverIsNotAskedToKickWhileItsRingIsLookedAt(RingFormat format, boolean eventIdx) {
        bringUp(format, eventIdx);
        assertThat(offer(0)).as("before").isTrue();
        kickedWhileLooking(0);
        assertThat(done).isEqualTo(1);
        // With EVENT_IDX this driver still sees what was asked for when the device was started.
        boolean _ = offer(0);
        assertThat(device().watch().look()).isTrue();

        for (int i = 0; i < 3 * SIZE; i++) {
            used(0);
            assertThat(offer(0)).as("chain " + i).isFalse();
            assertThat(device().watch().look()).isTrue();
            assertThat(device().watch().look()).as("nothing new").isFalse();
        }
        assertThat(done).isEqualTo(2 + 3 * SIZE);
        assertThat(kicks).as("one for each look that found something").isEqualTo(2 + 3 * SIZE);
        assertThat(offer(1)).as("the other queue is not looked at").isTrue();
        assertThat(device().watch().look()).isFalse();
    }

    @ParameterizedTest
    @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
    void driverIsAskedAgainAtTheEndAndWhatCameBeforeIsDone(RingFormat format, boolean eventIdx) {
        bringUp(format, eventIdx);
        assertThat(offer(0)).isTrue();
        kickedWhileLooking(0);
        boolean _ = offer(0);
        assertThat(device().watch().look()).isTrue();
        assertThat(offer(0)).as("after the last look").isFalse();

        assertThat(device().watch().rest()).isTrue();
        assertThat(done).isEqualTo(3);
        assertThat(offer(0)).as("asked again").isTrue();
        assertThat(device().watch().look()).as("looked at no more").isFalse();
        device().kick(0);
        assertThat(used(0)).isEqualTo(4);
        assertThat(interrupts).isPositive();
    }

    @ParameterizedTest
    @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
    void endWithNothingNewAsksForKicksToo(RingFormat format, boolean eventIdx) {
        bringUp(format, eventIdx);
        assertThat(offer(0)).isTrue();
        kickedWhileLooking(0);
        boolean _ = offer(0);
        assertThat(device().watch().look()).isTrue();

        assertThat(device().watch().rest()).isFalse();
        assertThat(offer(0)).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
    void ringThatTheIommuRefusesIsNotTouchedAndNobodyIsTold(RingFormat format, boolean eventIdx) {
        bringUp(format, eventIdx);
        kickedWhileLooking(0);
        dma.trap(BASE, BASE + 0x7fff, Outcome.FAULT);

        assertThat(device().watch().look()).isFalse();
        assertThat(device().watch().rest()).isFalse();
        assertThat(dma.faults()).isZero();
        assertThat(device().brokenReason()).isNull();

        dma.clearTraps();
        boolean _ = offer(0);
        device().kick(0);
        assertThat(done).as("the driver has kicked").isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({"SPLIT, false", "SPLIT, true", "PACKED, false", "PACKED, true"})
    void ringThatIsAbsentIsWaitedForAtTheEndAndDoneWhenItIsBack(
            RingFormat format, boolean eventIdx) {
        bringUp(format, eventIdx);
        kickedWhileLooking(0);
        boolean _ = offer(0);
        dma.trap(BASE, BASE + 0x7fff, Outcome.ABSENT);

        assertThat(device().watch().look()).isFalse();
        assertThat(device().needsTick()).as("a look has no consequence").isFalse();
        assertThat(device().watch().rest()).isFalse();
        assertThat(device().needsTick()).isTrue();

        dma.clearTraps();
        device().memoryChanged();
        assertThat(done).isEqualTo(1);
        used(0);
        assertThat(offer(0)).as("asked to kick again").isTrue();
    }

    @Test
    void indexThatIsWrittenByteByByteIsNotTakenForOneThatGoesBackwards() {
        bringUp(true);
        for (int i = 0; i < 0xff; i++) {
            used(0);
            boolean _ = offer(0);
            device().kick(0);
        }
        kickedWhileLooking(0);
        assertThat(done).isEqualTo(0xff);
        int _ = drivers[0].add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));

        drivers[0].availIdx(0x0000);
        assertThat(device().watch().look()).isFalse();
        assertThat(device().brokenReason()).isNull();
        drivers[0].availIdx(0x0100);
        assertThat(device().watch().look()).isTrue();
        assertThat(done).isEqualTo(0x100);
    }

    @Test
    void indexThatStaysWhereItCannotBeIsFoundOutAtTheEnd() {
        bringUp(true);
        kickedWhileLooking(0);
        drivers[0].availIdx(SIZE + 1);

        assertThat(device().watch().look()).isFalse();
        assertThat(device().brokenReason()).isNull();
        assertThat(device().watch().rest()).isFalse();
        assertThat(device().brokenReason()).isEqualTo(BrokenReason.AVAIL_TOO_FAR);
    }

    @Test
    void indexThatMovesAtEachLookGetsOneKickForEachAndTheOtherQueueItsOwn() {
        bringUp(true);
        kickedWhileLooking(0);
        kickedWhileLooking(1);
        kicks = 0;
        cost = DeviceWork.SECTION_COST / 4;
        for (int i = 0; i < SIZE; i++) {
            drivers[0].availEntry(i, 0);
        }
        drivers[0].desc(0, DATA, 64, 2, 0);
        // Whatever is taken is made available again while it is looked at: in pieces, so that each
        // look has to find the index.
        dma.inPieces(SplitRing.DESC_SIZE);
        dma.watch(address -> {
            if (address == availIdx(0)) {
                drivers[0].availIdx(drivers[0].usedIdx() + SIZE);
            }
        });

        for (int i = 1; i <= 10; i++) {
            boolean _ = offer(1);
            assertThat(device().watch().look()).isTrue();
            assertThat(used(1)).isEqualTo(1);
            assertThat(kicks).isEqualTo(2 * i);
            assertThat(work.counters().putOff()).isEqualTo(2L * i);
        }
        assertThat(loop).as("what is put off waits once").hasSize(1);
        assertThat(device().brokenReason()).isNull();
    }

    @Test
    void suspendedDeviceIsNotLookedAtAndAllIsDoneWhenItGoesOn() {
        bringUp(true);
        kickedWhileLooking(0);
        device().suspend();
        boolean _ = offer(0);
        int sections = dma.sections();

        assertThat(device().watch().look()).isFalse();
        assertThat(device().watch().rest()).isFalse();
        device().watch().begin(0);
        assertThat(dma.sections()).as("no access").isEqualTo(sections);

        device().resume();
        assertThat(done).isEqualTo(1);
        assertThat(offer(0)).isTrue();
    }

    @Test
    void resetsEndTheLooking() {
        bringUp(true);
        kickedWhileLooking(0);
        kickedWhileLooking(1);
        device().resetQueue(0);
        int sections = dma.sections();
        assertThat(device().watch().look()).isFalse();
        assertThat(dma.sections()).as("the other queue alone").isEqualTo(sections + 1);

        device().writeStatus(0);
        assertThat(device().watch().look()).isFalse();
        assertThat(device().watch().rest()).isFalse();
        assertThat(dma.sections()).isEqualTo(sections + 1);
    }
}
