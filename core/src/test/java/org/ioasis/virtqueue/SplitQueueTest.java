// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.Test;

/** Queue and driver that keep to the rules: order, batches, notifications, 16-bit wrap. */
class SplitQueueTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 8;
    private static final long DATA = BASE + 0x8000;

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final DeviceQueue queue = RingFormat.SPLIT.newQueue(dma, SIZE);
    private final Chain chain = new Chain(SIZE);

    private MockDriver start(boolean eventIdx) {
        MockDriver driver =
                new MockDriver(dma.memory(BASE, MockDriver.footprint(SIZE)), BASE, SIZE, eventIdx);
        queue.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                eventIdx);
        return driver;
    }

    private Pop pop() {
        dma.enter();
        Pop pop = queue.pop(chain);
        dma.leave();
        return pop;
    }

    private boolean publish() {
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        boolean interrupt = queue.shouldInterrupt();
        dma.leave();
        return interrupt;
    }

    private Pop resumeKicks() {
        dma.enter();
        Pop pop = queue.resumeKicks();
        dma.leave();
        return pop;
    }

    private static List<Buffer> one() {
        return List.of(new Buffer(DATA, 0xffff_ffffL, true));
    }

    /** Sends one chain through, as a driver and device that never look at notifications. */
    private void roundTrips(MockDriver driver, int count) {
        for (int i = 0; i < count; i++) {
            driver.add(Layout.DIRECT, one());
            driver.expose();
            assertThat(pop()).isEqualTo(Pop.GOT);
            queue.push(chain, 0);
            publish();
            assertThat(driver.poll()).isNotNull();
        }
    }

    @Test
    void chainsComeInTheOrderOfTheAvailableRing() {
        MockDriver driver = start(false);
        int a = driver.add(Layout.DIRECT, one());
        int b = driver.add(Layout.INDIRECT, one());
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        driver.expose();
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(a);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(b);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @Test
    void theDriverSeesNothingBeforePublishAndThenAllAtOnce() {
        MockDriver driver = start(false);
        int a = driver.add(Layout.DIRECT, one());
        int b = driver.add(Layout.DIRECT, one());
        driver.expose();
        Chain first = new Chain(SIZE);
        dma.enter();
        assertThat(queue.pop(first)).isEqualTo(Pop.GOT);
        dma.leave();
        assertThat(pop()).isEqualTo(Pop.GOT);
        queue.push(chain, 5);
        queue.push(first, 0xffff_ffffL);
        assertThat(driver.poll()).isNull();
        assertThat(publish()).isTrue();
        assertThat(driver.poll()).isEqualTo(new Used(b, 5));
        assertThat(driver.poll()).isEqualTo(new Used(a, 0xffff_ffffL));
        assertThat(driver.poll()).isNull();
    }

    @Test
    void oneInterruptPerBatchAndNoneWithoutNews() {
        MockDriver driver = start(false);
        driver.add(Layout.DIRECT, one());
        driver.expose();
        pop();
        queue.push(chain, 0);
        assertThat(publish()).isTrue();
        assertThat(publish()).isFalse();
    }

    @Test
    void aDriverThatWantsNoInterruptGetsNone() {
        MockDriver driver = start(false);
        driver.wantInterrupt(false);
        driver.add(Layout.DIRECT, one());
        driver.expose();
        pop();
        queue.push(chain, 0);
        assertThat(publish()).isFalse();
    }

    @Test
    void aChainThatWasPutBackIsPoppedAgain() {
        MockDriver driver = start(false);
        int a = driver.add(Layout.DIRECT, one());
        int b = driver.add(Layout.DIRECT, one());
        driver.expose();
        Chain first = new Chain(SIZE);
        dma.enter();
        assertThat(queue.pop(first)).isEqualTo(Pop.GOT);
        dma.leave();
        pop();
        queue.unpop(chain);
        assertThat(queue.inFlight()).isEqualTo(1);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(b);
        queue.unpop(chain);
        queue.unpop(first);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(a);
    }

    @Test
    void bytesAreOneSequenceWhateverTheDescriptors() {
        MockDriver driver = start(false);
        MemorySegment data = dma.memory(DATA, 64);
        for (int i = 0; i < 64; i++) {
            data.set(ValueLayout.JAVA_BYTE, i, (byte) i);
        }
        for (Layout layout : Layout.values()) {
            driver.add(
                    layout,
                    List.of(
                            new Buffer(DATA + 10, 3, false),
                            new Buffer(DATA, 0, false),
                            new Buffer(DATA + 20, 4, false),
                            new Buffer(DATA + 40, 1, true),
                            new Buffer(DATA + 50, 6, true)));
            driver.expose();
            assertThat(pop()).isEqualTo(Pop.GOT);
            assertThat(chain.readableLength()).isEqualTo(7);
            assertThat(chain.writableLength()).isEqualTo(7);
            MemorySegment copy = MemorySegment.ofArray(new byte[8]);
            dma.enter();
            assertThat(chain.copyIn(2, copy, 1, 4)).isEqualTo(Outcome.OK);
            assertThat(copy.toArray(ValueLayout.JAVA_BYTE))
                    .containsExactly(0, 12, 20, 21, 22, 0, 0, 0);
            assertThat(chain.copyOut(0, copy, 1, 3)).isEqualTo(Outcome.OK);
            dma.leave();
            assertThat(data.get(ValueLayout.JAVA_BYTE, 40)).isEqualTo((byte) 12);
            assertThat(data.get(ValueLayout.JAVA_BYTE, 50)).isEqualTo((byte) 20);
            assertThat(data.get(ValueLayout.JAVA_BYTE, 51)).isEqualTo((byte) 21);
            assertThat(data.get(ValueLayout.JAVA_BYTE, 52)).isEqualTo((byte) 52);
            queue.push(chain, 3);
            publish();
            assertThat(driver.poll()).isNotNull();
        }
    }

    @Test
    void withoutEventIdxKicksAreSuppressedByFlag() {
        MockDriver driver = start(false);
        dma.enter();
        queue.suppressKicks();
        dma.leave();
        assertThat(driver.usedFlags()).isEqualTo(1);
        driver.add(Layout.DIRECT, one());
        assertThat(driver.expose()).isFalse();
        assertThat(resumeKicks()).isEqualTo(Pop.GOT);
        assertThat(driver.usedFlags()).isZero();
        pop();
        assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
        driver.add(Layout.DIRECT, one());
        assertThat(driver.expose()).isTrue();
    }

    @Test
    void withEventIdxTheFlagsStayZeroAndKicksComeByIndex() {
        MockDriver driver = start(true);
        dma.enter();
        queue.suppressKicks();
        dma.leave();
        assertThat(driver.usedFlags()).isZero();
        driver.add(Layout.DIRECT, one());
        assertThat(driver.expose()).isTrue();
        driver.add(Layout.DIRECT, one());
        assertThat(driver.expose()).as("avail_event was not moved on").isFalse();
        assertThat(resumeKicks()).isEqualTo(Pop.GOT);
        pop();
        pop();
        assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
        assertThat(driver.availEvent()).isEqualTo(2);
        driver.add(Layout.DIRECT, one());
        assertThat(driver.expose()).isTrue();
    }

    @Test
    void withEventIdxAnInterruptComesExactlyWhenTheIndexIsPassed() {
        MockDriver driver = start(true);
        driver.usedEvent(2);
        boolean[] interrupts = new boolean[5];
        for (int i = 0; i < 5; i++) {
            driver.add(Layout.DIRECT, one());
            driver.expose();
            pop();
            queue.push(chain, 0);
            interrupts[i] = publish();
        }
        assertThat(interrupts).containsExactly(false, false, true, false, false);
    }

    @Test
    void withEventIdxABatchThatPassesTheIndexInterruptsOnce() {
        MockDriver driver = start(true);
        driver.usedEvent(2);
        for (int i = 0; i < 5; i++) {
            driver.add(Layout.DIRECT, one());
        }
        driver.expose();
        for (int i = 0; i < 5; i++) {
            pop();
            queue.push(chain, 0);
        }
        assertThat(publish()).isTrue();
    }

    @Test
    void crossingIsRightAroundTheWrapOfSixteenBits() {
        // Entry written at the event index itself.
        assertThat(RingIndex.crosses(0xffff, 0xffff, 0)).isTrue();
        assertThat(RingIndex.crosses(0, 0xffff, 0)).isFalse();
        assertThat(RingIndex.crosses(0, 0xffff, 1)).isTrue();
        assertThat(RingIndex.crosses(0xfffe, 0xffff, 1)).isFalse();
        assertThat(RingIndex.crosses(1, 0xfffe, 1)).isFalse();
        assertThat(RingIndex.crosses(0xfffe, 0xfffe, 1)).isTrue();
        assertThat(RingIndex.crosses(5, 5, 5)).isFalse();
        assertThat(RingIndex.crosses(0, 0, 0x8000)).isTrue();
        assertThat(RingIndex.crosses(0x7fff, 0, 0x8000)).isTrue();
        assertThat(RingIndex.crosses(0x8000, 0, 0x8000)).isFalse();
    }

    @Test
    void indicesWrapAtSixteenBits() {
        MockDriver driver = start(true);
        roundTrips(driver, 65534);
        driver.usedEvent(0xffff);
        assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
        assertThat(driver.availEvent()).isEqualTo(65534);
        boolean[] interrupts = new boolean[4];
        boolean[] kicks = new boolean[4];
        for (int i = 0; i < 4; i++) {
            driver.add(Layout.DIRECT, one());
            kicks[i] = driver.expose();
            assertThat(pop()).isEqualTo(Pop.GOT);
            queue.push(chain, i);
            interrupts[i] = publish();
            assertThat(driver.poll()).isEqualTo(new Used(chain.head(), i));
            if (i == 1) {
                assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
                assertThat(driver.availEvent()).isZero();
            }
        }
        assertThat(interrupts).containsExactly(false, true, false, false);
        assertThat(kicks).containsExactly(true, false, true, false);
        assertThat(driver.usedIdx()).isEqualTo(2);
    }

    @Test
    void aFullRingWrapsAtSixteenBitsToo() {
        MockDriver driver = start(false);
        roundTrips(driver, 65536 - SIZE / 2);
        for (int i = 0; i < SIZE; i++) {
            driver.add(Layout.INDIRECT, one());
        }
        driver.expose();
        for (int i = 0; i < SIZE; i++) {
            assertThat(pop()).isEqualTo(Pop.GOT);
            queue.push(chain, i);
        }
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        publish();
        for (int i = 0; i < SIZE; i++) {
            assertThat(requireNonNull(driver.poll()).written()).isEqualTo(i);
        }
    }

    @Test
    void aRestartedQueueBeginsAtIndexZero() {
        MockDriver driver = start(true);
        roundTrips(driver, 3);
        driver.add(Layout.DIRECT, one());
        driver.expose();
        pop();
        queue.stop();
        queue.push(chain, 1);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(driver.usedIdx()).isEqualTo(3);
        MockDriver second = start(true);
        roundTrips(second, 3);
        assertThat(queue.inFlight()).isZero();
    }

    @Test
    void aQueueThatStartsAtASavedIndexGoesOnAcrossTheWrap() {
        for (boolean eventIdx : new boolean[] {false, true}) {
            MockDriver driver = start(eventIdx);
            roundTrips(driver, 65530);
            RingState saved = queue.save();
            assertThat(saved).isEqualTo(SplitState.at(65530));
            queue.stop();

            DeviceQueue next = RingFormat.SPLIT.newQueue(dma, SIZE);
            next.start(
                    SIZE,
                    driver.descAddress(),
                    driver.driverAddress(),
                    driver.deviceAddress(),
                    true,
                    eventIdx);
            next.restore(saved);

            assertThat(next.isRunning()).isTrue();
            assertThat(next.inFlight()).isZero();
            int[] heads = new int[SIZE];
            for (int i = 0; i < SIZE; i++) {
                heads[i] = driver.add(Layout.INDIRECT, one());
            }
            driver.wantInterrupt(true);
            driver.expose();
            dma.enter();
            for (int i = 0; i < SIZE; i++) {
                assertThat(next.pop(chain)).isEqualTo(Pop.GOT);
                assertThat(chain.head()).isEqualTo(heads[i]);
                next.push(chain, i);
            }
            assertThat(next.pop(chain)).isEqualTo(Pop.EMPTY);
            assertThat(next.publish()).isEqualTo(Outcome.OK);
            assertThat(next.shouldInterrupt()).isTrue();
            assertThat(next.resumeKicks()).isEqualTo(Pop.EMPTY);
            dma.leave();
            for (int i = 0; i < SIZE; i++) {
                assertThat(driver.poll()).isEqualTo(new Used(heads[i], i));
            }
            assertThat(driver.usedIdx()).isEqualTo(2);
            driver.add(Layout.DIRECT, one());
            assertThat(driver.expose()).as("a kick is wanted for the next one").isTrue();
        }
    }

    @Test
    void aQueueOfOneEntryWorks() {
        MockDriver driver = new MockDriver(dma.memory(BASE, 0x1000), BASE, 1, false);
        queue.start(
                1,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                false);
        roundTrips(driver, 5);
        assertThat(driver.usedIdx()).isEqualTo(5);
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        MockDriver driver = start(true);
        driver.add(Layout.INDIRECT, one());
        driver.expose();
        long allocated = new Allocation().leastOf(20, () -> cycle(20_000, driver));
        // The measurement itself allocates a little, once; a byte per chain would be 20,000.
        assertThat(allocated).isLessThan(20_000);
    }

    private void cycle(int count, MockDriver driver) {
        for (int i = 0; i < count; i++) {
            dma.enter();
            queue.pop(chain);
            queue.unpop(chain);
            queue.resumeKicks();
            queue.pop(chain);
            queue.push(chain, 0);
            queue.publish();
            queue.shouldInterrupt();
            dma.leave();
            // The same chain again: descriptor 0 stays as it is.
            driver.availEntry(driver.usedIdx() & (SIZE - 1), 0);
            driver.availIdx(driver.usedIdx() + 1);
        }
    }

    @Test
    void ringsAreLookedUpOnceInASectionAndAnewInTheNext() {
        MockDriver driver = start(false);
        for (int i = 0; i < 3; i++) {
            driver.add(Layout.DIRECT, one());
        }
        driver.expose();
        int[] looks = {0};
        dma.watch(_ -> looks[0]++);
        dma.enter();
        assertThat(queue.pop(chain)).isEqualTo(Pop.GOT);
        assertThat(queue.pop(chain)).isEqualTo(Pop.GOT);
        dma.leave();
        assertThat(looks[0]).as("two parts, each seen and then accessed").isEqualTo(4);

        dma.trap(BASE, BASE + 0x7fff, Outcome.ABSENT);
        assertThat(pop()).isEqualTo(Pop.ABSENT);
        dma.clearTraps();
        assertThat(pop()).isEqualTo(Pop.GOT);
    }
}
