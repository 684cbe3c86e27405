// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.Test;

/** Packed queue and driver that keep to the rules: order, batches, notifications, the wrap. */
final class PackedQueueTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 7;
    private static final long DATA = BASE + 0x8000;

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final DeviceQueue queue = RingFormat.PACKED.newQueue(dma, SIZE);
    private final Chain chain = new Chain(SIZE);

    private MockDriver start(boolean eventIdx) {
        MockDriver driver =
                new MockDriver(
                        RingFormat.PACKED,
                        dma.memory(BASE, MockDriver.footprint(SIZE)),
                        BASE,
                        SIZE,
                        eventIdx);
        start(queue, driver, eventIdx);
        return driver;
    }

    private static void start(DeviceQueue started, MockDriver driver, boolean eventIdx) {
        started.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                eventIdx);
    }

    private Pop pop(Chain into) {
        dma.enter();
        Pop pop = queue.pop(into);
        dma.leave();
        return pop;
    }

    private Pop pop() {
        return pop(chain);
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

    private int available() {
        dma.enter();
        int found = queue.available();
        dma.leave();
        return found;
    }

    private static List<Buffer> buffers(int count) {
        List<Buffer> buffers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            buffers.add(new Buffer(DATA, 0x1000, true));
        }
        return buffers;
    }

    private static int add(MockDriver driver, int descriptors) {
        return driver.add(Layout.DIRECT, buffers(descriptors));
    }

    /** Sends chains of one, two and three descriptors through, in turn. */
    private void roundTrips(MockDriver driver, int count) {
        for (int i = 0; i < count; i++) {
            int id = add(driver, 1 + i % 3);
            driver.expose();
            assertThat(pop()).isEqualTo(Pop.GOT);
            assertThat(chain.descriptorCount()).isEqualTo(1 + i % 3);
            queue.push(chain, i % 5);
            publish();
            assertThat(driver.poll()).isEqualTo(new Used(id, i % 5));
        }
    }

    @Test
    void chainsComeInTheOrderOfTheRingAndGoBackInAny() {
        MockDriver driver = start(false);
        int a = add(driver, 2);
        int b = driver.add(Layout.INDIRECT, buffers(3));
        int c = add(driver, 1);
        assertThat(pop()).as("not exposed").isEqualTo(Pop.EMPTY);
        driver.expose();
        Chain[] chains = {new Chain(SIZE), new Chain(SIZE), new Chain(SIZE)};
        for (Chain each : chains) {
            assertThat(pop(each)).isEqualTo(Pop.GOT);
        }
        assertThat(List.of(chains[0].head(), chains[1].head(), chains[2].head()))
                .containsExactly(a, b, c);
        assertThat(List.of(chains[0].descriptors(), chains[1].descriptors())).containsExactly(2, 1);
        assertThat(chains[1].descriptorCount()).isEqualTo(3);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        assertThat(queue.inFlight()).isEqualTo(3);

        queue.push(chains[2], 5);
        queue.push(chains[0], 0);
        assertThat(driver.poll()).isNull();
        assertThat(publish()).isTrue();
        assertThat(publish()).as("no news").isFalse();
        assertThat(driver.poll()).isEqualTo(new Used(c, 5));
        assertThat(driver.poll()).isEqualTo(new Used(a, 0));
        assertThat(driver.poll()).isNull();
        queue.push(chains[1], 0x3000);
        publish();
        assertThat(driver.poll()).isEqualTo(new Used(b, 0x3000));
        assertThat(queue.inFlight()).isZero();
    }

    @Test
    void theUsedDescriptorsOfABatchAreThereBeforeTheFlagsOfTheFirst() {
        MockDriver driver = start(false);
        int a = add(driver, 2);
        int b = add(driver, 1);
        driver.expose();
        Chain first = new Chain(SIZE);
        pop(first);
        pop();
        queue.push(first, 0x20);
        queue.push(chain, 0);
        List<String> seen = new ArrayList<>();
        dma.watch(_ -> seen.add(driver.packedText(0) + "; " + driver.packedText(2)));
        publish();
        dma.watch(_ -> {});
        String old = "0x18000+4096 id ";
        // When the first one is looked for, to be written, all the rest is there.
        assertThat(seen)
                .startsWith(
                        old + a + " flags 0x83; " + old + b + " flags 0x82",
                        old + a + " flags 0x83; 0x18000+0 id " + b + " flags 0x8080");
        assertThat(driver.packedText(0)).isEqualTo("0x18000+32 id %d flags 0x8082".formatted(a));
    }

    @Test
    void whatIsLookedUpToBeWrittenIsWhatIsWritten() {
        MockDriver driver = start(false);
        int half = 8; // length, id and flags, which are behind the address
        roundTrips(driver, 3);
        assertThat(dma.longestWrite()).as("one at a time").isEqualTo(half);
        // At the last descriptor of the ring, whose size is 7, and on at its beginning.
        Chain[] chains = {new Chain(SIZE), new Chain(SIZE), new Chain(SIZE)};
        for (Chain each : chains) {
            add(driver, 1);
            driver.expose();
            assertThat(pop(each)).isEqualTo(Pop.GOT);
        }
        for (Chain each : chains) {
            queue.push(each, 1);
        }
        publish();
        assertThat(dma.longestWrite()).isEqualTo(16 + half);
        for (int i = 0; i < chains.length; i++) {
            assertThat(driver.poll()).isNotNull();
        }
    }

    @Test
    void theDescriptorBehindAListKeepsItsFlagsAndIsNotTakenForANewOne() {
        MockDriver driver = start(false);
        roundTrips(driver, 1000);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        assertThat(driver.poll()).isNull();
    }

    @Test
    void aFullRingGoesRoundInOneChainOrInMany() {
        MockDriver driver = start(true);
        int chains = 0;
        for (int round = 0; round < 12; round++) {
            roundTrips(driver, round % 4);
            int each = round % 2 == 0 ? 1 : SIZE;
            while (driver.hasRoom(each)) {
                add(driver, each);
            }
            driver.expose();
            int count = 0;
            while (pop() == Pop.GOT) {
                queue.push(chain, count++);
            }
            assertThat(count).isEqualTo(SIZE / each);
            publish();
            for (int i = 0; i < count; i++) {
                assertThat(requireNonNull(driver.poll()).written()).isEqualTo(i);
            }
            chains += count;
        }
        assertThat(chains).isEqualTo(6 * SIZE + 6);
    }

    @Test
    void theUsedDescriptorsOfABatchArriveHoweverTheRingIsInPieces() {
        MockDriver driver = start(false);
        int arrived = 0;
        for (int bytes = Short.BYTES; bytes <= 64; bytes *= 2) {
            dma.inPieces(bytes);
            for (int round = 0; round < SIZE; round++) {
                while (driver.hasRoom(2)) {
                    add(driver, 2);
                }
                driver.expose();
                int count = 0;
                while (pop() == Pop.GOT) {
                    queue.push(chain, bytes + count++);
                }
                publish();
                for (int i = 0; i < count; i++) {
                    assertThat(requireNonNull(driver.poll()).written()).isEqualTo(bytes + i);
                }
                arrived += count;
            }
        }
        assertThat(arrived).isEqualTo(6 * SIZE * (SIZE / 2));
    }

    @Test
    void aQueueOfOneEntryWorks() {
        MockDriver driver =
                new MockDriver(RingFormat.PACKED, dma.memory(BASE, 0x1000), BASE, 1, true);
        queue.start(
                1,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                true);
        for (int i = 0; i < 9; i++) {
            assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
            assertThat(driver.wantInterrupt(true)).isFalse();
            add(driver, 1);
            assertThat(driver.expose()).isTrue();
            assertThat(pop()).isEqualTo(Pop.GOT);
            assertThat(pop()).isEqualTo(Pop.EMPTY);
            queue.push(chain, i);
            assertThat(publish()).isTrue();
            assertThat(driver.poll()).isEqualTo(new Used(0, i));
        }
    }

    @Test
    void aChainThatWasPutBackIsPoppedAgain() {
        MockDriver driver = start(false);
        roundTrips(driver, 4);
        int a = add(driver, 3);
        int b = add(driver, 2);
        driver.expose();
        Chain first = new Chain(SIZE);
        pop(first);
        pop();
        queue.unpop(chain);
        assertThat(queue.inFlight()).isOne();
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(b);
        queue.unpop(chain);
        queue.unpop(first);
        assertThat(queue.inFlight()).isZero();
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(a);
        assertThatThrownBy(
                        () -> {
                            queue.unpop(chain);
                            queue.unpop(chain);
                        })
                .isInstanceOf(IllegalStateException.class);
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
            assertThat(data.get(ValueLayout.JAVA_BYTE, 51)).isEqualTo((byte) 21);
            assertThat(data.get(ValueLayout.JAVA_BYTE, 52)).isEqualTo((byte) 52);
            queue.push(chain, 3);
            publish();
            assertThat(driver.poll()).isNotNull();
        }
    }

    @Test
    void withoutEventIdxKicksAndInterruptsAreFlags() {
        MockDriver driver = start(false);
        long told = driver.deviceAddress() + EVENT_FLAGS;
        dma.enter();
        queue.suppressKicks();
        dma.leave();
        assertThat(driver.peek(told)).isOne();
        add(driver, 1);
        assertThat(driver.expose()).isFalse();
        assertThat(resumeKicks()).isEqualTo(Pop.GOT);
        assertThat(driver.peek(told)).isZero();
        pop();
        assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
        add(driver, 1);
        assertThat(driver.expose()).isTrue();

        driver.wantInterrupt(false);
        queue.push(chain, 0);
        assertThat(publish()).isFalse();
        pop();
        // A descriptor means nothing without EVENT_IDX, and 3 is reserved.
        for (int flags : new int[] {2, 3}) {
            driver.poke(driver.driverAddress() + EVENT_FLAGS, flags);
            queue.push(chain, 0);
            assertThat(publish()).isTrue();
            add(driver, 1);
            driver.expose();
            pop();
        }
    }

    @Test
    void withEventIdxKicksComeForTheNextDescriptor() {
        MockDriver driver = start(true);
        long told = driver.deviceAddress();
        dma.enter();
        queue.suppressKicks();
        dma.leave();
        assertThat(driver.peek(told + EVENT_FLAGS)).isOne();
        add(driver, 1);
        assertThat(driver.expose()).isFalse();
        assertThat(resumeKicks()).isEqualTo(Pop.GOT);
        assertThat(pop()).isEqualTo(Pop.GOT);
        assertThat(resumeKicks()).isEqualTo(Pop.EMPTY);
        assertThat(driver.peek(told)).isEqualTo(0x8001);
        assertThat(driver.peek(told + EVENT_FLAGS)).isEqualTo(2);
        add(driver, 1);
        assertThat(driver.expose()).isTrue();
        add(driver, 1);
        assertThat(driver.expose()).as("the event was not moved on").isFalse();
    }

    @Test
    void withEventIdxAnInterruptComesExactlyWhenTheDescriptorIsPassed() {
        MockDriver driver = start(true);
        boolean[] interrupts = new boolean[2 * SIZE];
        driver.poke(driver.driverAddress(), 2); // of the second round
        driver.poke(driver.driverAddress() + EVENT_FLAGS, 2);
        for (int i = 0; i < 2 * SIZE; i++) {
            add(driver, 1);
            driver.expose();
            pop();
            queue.push(chain, 0);
            interrupts[i] = publish();
            assertThat(driver.poll()).isNotNull();
        }
        boolean[] wanted = new boolean[2 * SIZE];
        wanted[SIZE + 2] = true;
        assertThat(interrupts).isEqualTo(wanted);
        // As a batch that goes past it.
        for (int i = 0; i < SIZE; i++) {
            add(driver, 1);
        }
        driver.expose();
        for (int i = 0; i < SIZE; i++) {
            pop();
            queue.push(chain, 0);
        }
        assertThat(publish()).as("the first round again").isFalse();
    }

    @Test
    void aLookTellsNewChainsFromThoseThatItHasSeen() {
        MockDriver driver = start(true);
        assertThat(available()).isEqualTo(DeviceQueue.UNCLEAR);
        int before = DeviceQueue.UNCLEAR;
        // More than the positions there are: the number goes on.
        for (int i = 0; i < 5 * SIZE; i++) {
            add(driver, 1);
            driver.expose();
            int now = available();
            assertThat(now).isNotNegative().isNotEqualTo(before);
            assertThat(available()).isEqualTo(now);
            before = now;
            pop();
            assertThat(available()).isEqualTo(DeviceQueue.UNCLEAR);
            queue.unpop(chain);
            assertThat(available()).as("the same as before").isEqualTo(now);
            pop();
            queue.push(chain, 0);
            publish();
            driver.poll();
        }
        queue.stop();
        assertThat(available()).isEqualTo(DeviceQueue.UNCLEAR);
    }

    @Test
    void aRestartedQueueBeginsAtTheBeginning() {
        MockDriver driver = start(true);
        roundTrips(driver, 3);
        add(driver, 1);
        driver.expose();
        pop();
        queue.stop();
        queue.push(chain, 1);
        dma.enter();
        assertThat(queue.publish()).isEqualTo(Outcome.OK);
        dma.leave();
        assertThat(driver.poll()).isNull();
        MockDriver second = start(true);
        roundTrips(second, 3);
        assertThat(queue.inFlight()).isZero();
    }

    @Test
    void aQueueThatStartsAtASavedPositionGoesOnAcrossTheWrap() {
        for (boolean eventIdx : new boolean[] {false, true}) {
            for (int trips = 0; trips < 4 * SIZE; trips++) {
                MockDriver driver = start(eventIdx);
                for (int i = 0; i < trips; i++) {
                    add(driver, 1);
                    driver.expose();
                    pop();
                    queue.push(chain, 0);
                    publish();
                    driver.poll();
                }
                RingState saved = queue.save();
                assertThat(saved).isEqualTo(PackedState.at(trips % SIZE, trips / SIZE % 2 == 0));
                queue.stop();

                DeviceQueue next = RingFormat.PACKED.newQueue(dma, SIZE);
                start(next, driver, eventIdx);
                next.restore(saved);
                int[] ids = new int[SIZE];
                for (int i = 0; i < SIZE; i++) {
                    ids[i] = driver.add(Layout.INDIRECT, buffers(2));
                }
                driver.wantInterrupt(true);
                driver.expose();
                dma.enter();
                for (int i = 0; i < SIZE; i++) {
                    assertThat(next.pop(chain)).isEqualTo(Pop.GOT);
                    assertThat(chain.head()).isEqualTo(ids[i]);
                    next.push(chain, i);
                }
                assertThat(next.pop(chain)).isEqualTo(Pop.EMPTY);
                assertThat(next.publish()).isEqualTo(Outcome.OK);
                assertThat(next.shouldInterrupt()).isTrue();
                assertThat(next.resumeKicks()).isEqualTo(Pop.EMPTY);
                dma.leave();
                for (int i = 0; i < SIZE; i++) {
                    assertThat(driver.poll()).isEqualTo(new Used(ids[i], i));
                }
                add(driver, 1);
                assertThat(driver.expose()).as("a kick is wanted for the next one").isTrue();
            }
        }
    }

    @Test
    void whatIsInFlightAndUnpublishedGoesOnInAnotherQueue() {
        MockDriver driver = start(false);
        roundTrips(driver, 3);
        int a = add(driver, 3);
        int b = add(driver, 2);
        int c = add(driver, 1);
        driver.expose();
        Chain first = new Chain(SIZE);
        pop(first);
        pop();
        queue.push(chain, 9);
        dma.enter();
        queue.suppressKicks();
        dma.leave();
        RingState saved = queue.save();
        assertThat(saved.isPossible(SIZE)).isTrue();
        assertThat(saved.canHold(List.of(first.save()), SIZE)).isTrue();

        DeviceQueue next = RingFormat.PACKED.newQueue(dma, SIZE);
        start(next, driver, false);
        next.restore(saved);
        assertThat(next.save()).isEqualTo(saved);
        assertThat(next.inFlight()).isOne();
        Chain again = new Chain(SIZE);
        again.restore(first.save(), dma);
        dma.enter();
        next.push(again, 4);
        assertThat(next.pop(chain)).isEqualTo(Pop.GOT);
        assertThat(chain.head()).isEqualTo(c);
        assertThat(next.publish()).isEqualTo(Outcome.OK);
        assertThat(next.resumeKicks()).isEqualTo(Pop.EMPTY);
        dma.leave();
        assertThat(driver.peek(driver.deviceAddress() + EVENT_FLAGS)).isZero();
        assertThat(driver.poll()).isEqualTo(new Used(b, 9));
        assertThat(driver.poll()).isEqualTo(new Used(a, 4));
    }

    @Test
    void aStateOfTheOtherFormatIsRefusedAndChangesNothing() {
        MockDriver driver = start(false);
        assertThatThrownBy(() -> queue.restore(SplitState.at(0)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> queue.restore(PackedState.at(SIZE, true)))
                .isInstanceOf(IllegalArgumentException.class);
        roundTrips(driver, 1);
        DeviceQueue split = RingFormat.SPLIT.newQueue(dma, 8);
        split.start(8, BASE, BASE + 0x100, BASE + 0x200, false, false);
        assertThatThrownBy(() -> split.restore(PackedState.at(0, true)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void nothingIsAllocatedInSteadyState() {
        MockDriver driver = start(true);
        DriverQueue plain = RingFormat.PACKED.newDriver(dma.memory(BASE, 0x1000), BASE, SIZE, true);
        start(queue, driver, true);
        long allocated = new Allocation().leastOf(20, () -> cycle(20_000, plain));
        // The measurement itself allocates a little, once; a byte per chain would be 20,000.
        assertThat(allocated).isLessThan(20_000);
    }

    private void cycle(int count, DriverQueue driver) {
        for (int i = 0; i < count; i++) {
            int _ = driver.begin();
            driver.readable(DATA, 8);
            driver.writable(DATA, 8);
            driver.offer();
            driver.expose();
            dma.enter();
            Pop _ = queue.pop(chain);
            queue.unpop(chain);
            Pop _ = queue.resumeKicks();
            if (queue.pop(chain) != Pop.GOT) {
                throw new IllegalStateException("no chain");
            }
            queue.push(chain, 0);
            Outcome _ = queue.publish();
            boolean _ = queue.shouldInterrupt();
            dma.leave();
            if (driver.take() < 0) {
                throw new IllegalStateException("not back");
            }
        }
    }

    @Test
    void ringsAreLookedUpOnceInASectionAndAnewInTheNext() {
        MockDriver driver = start(false);
        for (int i = 0; i < 3; i++) {
            driver.add(Layout.DIRECT, List.of(new Buffer(DATA, 16, true)));
        }
        driver.expose();
        int[] looks = {0};
        dma.watch(_ -> looks[0]++);
        dma.enter();
        assertThat(queue.pop(chain)).isEqualTo(Pop.GOT);
        assertThat(queue.pop(chain)).isEqualTo(Pop.GOT);
        dma.leave();
        assertThat(looks[0]).as("one part, seen and then accessed").isEqualTo(2);

        dma.trap(BASE, BASE + 0x7fff, Outcome.ABSENT);
        assertThat(pop()).isEqualTo(Pop.ABSENT);
        dma.clearTraps();
        assertThat(pop()).isEqualTo(Pop.GOT);
    }
}
