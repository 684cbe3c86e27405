// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.InflightLog;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.MockDriver.Used;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A queue whose process ends, and the one that goes on with its rings and its log. */
final class ChainLogTest {
    private static final long BASE = 0x10000;
    private static final int SIZE = 8;
    private static final long DATA = BASE + 0x8000;

    /** Where the process ends. */
    private static final class Killed extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private FlatDma dma = new FlatDma(BASE, 0x10000);

    @SuppressWarnings("NullAway.Init") // begin
    private MockDriver driver;

    @SuppressWarnings("NullAway.Init") // begin
    private DeviceQueue queue;

    @SuppressWarnings("NullAway.Init") // begin
    private MemorySegment region;

    private final List<Chain> out = new ArrayList<>();

    private void begin(RingFormat format) {
        driver =
                new MockDriver(
                        format, dma.memory(BASE, MockDriver.footprint(SIZE)), BASE, SIZE, false);
        region = Arena.ofAuto().allocate(format.logBytes(SIZE), InflightLog.ALIGN);
        goOn(format);
    }

    /** Another process takes over what memory says, and nothing else. */
    private void goOn(RingFormat format) {
        out.clear();
        queue = format.newQueue(dma, SIZE);
        queue.start(
                SIZE,
                driver.descAddress(),
                driver.driverAddress(),
                driver.deviceAddress(),
                true,
                false);
        queue.log(format.newLog(region, SIZE));
    }

    private int add(int descriptors) {
        List<Buffer> buffers = new ArrayList<>();
        for (int i = 0; i < descriptors; i++) {
            buffers.add(new Buffer(DATA + 64L * i, 8, true));
        }
        int head = driver.add(Layout.DIRECT, buffers);
        boolean _ = driver.expose();
        return head;
    }

    private int addTable() {
        int head =
                driver.add(
                        Layout.INDIRECT,
                        List.of(new Buffer(DATA, 4, false), new Buffer(DATA + 64, 8, true)));
        boolean _ = driver.expose();
        return head;
    }

    private Pop pop() {
        Chain chain = new Chain(SIZE);
        dma.enter();
        try {
            Pop pop = queue.pop(chain);
            if (pop == Pop.GOT) {
                out.add(chain);
            }
            return pop;
        } finally {
            dma.leave();
        }
    }

    private int popHead() {
        assertThat(pop()).as("%s", queue.brokenReason()).isEqualTo(Pop.GOT);
        return out.getLast().head();
    }

    private void push(int index) {
        queue.push(out.remove(index), 8);
    }

    private Outcome publish() {
        dma.enter();
        try {
            return queue.publish();
        } finally {
            dma.leave();
        }
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void whatWasOutIsTakenAgainInItsOrderAndGivenBackOnce(RingFormat format) {
        begin(format);
        int[] heads = {add(1), add(2), addTable(), add(1)};
        for (int head : heads) {
            assertThat(popHead()).isEqualTo(head);
        }
        push(1);
        assertThat(publish()).isEqualTo(Outcome.OK);
        assertThat(driver.poll()).isEqualTo(new Used(heads[1], 8));
        int later = add(1);

        goOn(format);
        assertThat(popHead()).isEqualTo(heads[0]);
        assertThat(popHead()).isEqualTo(heads[2]);
        assertThat(out.getLast().readableLength()).isEqualTo(4);
        assertThat(out.getLast().writableLength()).isEqualTo(8);
        assertThat(popHead()).isEqualTo(heads[3]);
        assertThat(popHead()).isEqualTo(later);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        assertThat(queue.inFlight()).isEqualTo(4);
        while (!out.isEmpty()) {
            push(out.size() - 1);
        }
        assertThat(publish()).isEqualTo(Outcome.OK);
        assertThat(driver.poll()).isEqualTo(new Used(later, 8));
        assertThat(driver.poll()).isEqualTo(new Used(heads[3], 8));
        assertThat(driver.poll()).isEqualTo(new Used(heads[2], 8));
        assertThat(driver.poll()).isEqualTo(new Used(heads[0], 8));
        assertThat(driver.poll()).isNull();

        goOn(format);
        assertThat(pop()).as("nothing is out any more").isEqualTo(Pop.EMPTY);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void whatIsPutBackIsTakenAgainBeforeAnythingElse(RingFormat format) {
        begin(format);
        int first = add(2);
        int second = add(1);
        assertThat(popHead()).isEqualTo(first);
        queue.unpop(out.removeLast());
        assertThat(popHead()).isEqualTo(first);
        assertThat(popHead()).isEqualTo(second);
        queue.unpop(out.removeLast());

        goOn(format);
        assertThat(popHead()).isEqualTo(first);
        queue.unpop(out.removeLast());
        assertThat(popHead()).isEqualTo(first);
        assertThat(popHead()).isEqualTo(second);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void asManyAsTheRingHasCanBeOut(RingFormat format) {
        begin(format);
        Set<Integer> heads = new HashSet<>();
        for (int i = 0; i < SIZE; i++) {
            heads.add(add(1));
        }
        for (int i = 0; i < SIZE; i++) {
            assertThat(heads).contains(popHead());
        }
        goOn(format);
        for (int i = 0; i < SIZE; i++) {
            assertThat(heads.remove(popHead())).isTrue();
        }
        assertThat(heads).isEmpty();
        assertThat(pop()).isEqualTo(Pop.EMPTY);
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void ringThatIsAbsentIsShownLaterAndWrittenDownOnce(RingFormat format) {
        begin(format);
        int[] heads = {add(1), add(1)};
        popHead();
        popHead();
        push(0);
        // The driver's own places are read, and nothing is written.
        dma.trap(BASE, BASE + 0x7fff, Access.WRITE, Outcome.ABSENT);
        assertThat(publish()).isEqualTo(Outcome.ABSENT);
        push(0);
        assertThat(publish()).isEqualTo(Outcome.ABSENT);
        dma.clearTraps();
        int third = add(1);
        assertThat(popHead()).isEqualTo(third);
        assertThat(publish()).isEqualTo(Outcome.OK);
        goOn(format);
        assertThat(popHead()).isEqualTo(third);
        assertThat(pop()).isEqualTo(Pop.EMPTY);
        push(0);
        assertThat(publish()).isEqualTo(Outcome.OK);
        assertThat(driver.poll()).isEqualTo(new Used(heads[0], 8));
        assertThat(driver.poll()).isEqualTo(new Used(heads[1], 8));
        assertThat(driver.poll()).isEqualTo(new Used(third, 8));
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void logOfAnotherQueueIsRefused(RingFormat format) {
        begin(format);
        RingFormat other = format == RingFormat.SPLIT ? RingFormat.PACKED : RingFormat.SPLIT;
        MemorySegment elsewhere = Arena.ofAuto().allocate(other.logBytes(SIZE), 64);
        assertThatThrownBy(() -> queue.log(other.newLog(elsewhere, SIZE)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> queue.log(format.newLog(region, SIZE - 1)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /**
     * Ends at any access to memory, or between the ring and the log: each chain comes back once.
     */
    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void endsAnywhereAndEachChainComesBackOnce(RingFormat format) {
        int kills = 0;
        int back = 0;
        for (long seed = 1; seed <= 300; seed++) {
            Random random = new Random(seed);
            dma = new FlatDma(BASE, 0x10000, 16);
            begin(format);
            MemorySegment seen = Arena.ofAuto().allocate(region.byteSize(), InflightLog.ALIGN);
            int[] untilEnd = {random.nextInt(60)};
            dma.watch(_ -> {
                // What the log says when the ring is touched; it may go no further.
                MemorySegment.copy(region, 0, seen, 0, region.byteSize());
                if (--untilEnd[0] < 0) {
                    throw new Killed();
                }
            });
            Set<Integer> offered = new HashSet<>();
            for (int step = 0; step < 120; step++) {
                try {
                    turn(random, offered);
                    if (random.nextInt(12) == 0 && publish() == Outcome.OK) {
                        // Shown in the ring, and the process ends before its log says so.
                        MemorySegment.copy(seen, 0, region, 0, region.byteSize());
                        throw new Killed();
                    }
                } catch (Killed e) {
                    kills++;
                    untilEnd[0] = random.nextInt(60);
                    goOn(format);
                }
                back += takeBack(offered, seed);
            }
            untilEnd[0] = Integer.MAX_VALUE;
            goOn(format);
            while (pop() == Pop.GOT) {
                assertThat(out).hasSizeLessThanOrEqualTo(SIZE);
            }
            assertThat(queue.brokenReason()).as("seed %d", seed).isNull();
            while (!out.isEmpty()) {
                push(0);
            }
            assertThat(publish()).isEqualTo(Outcome.OK);
            back += takeBack(offered, seed);
            assertThat(offered).as("seed %d: chains that never came back", seed).isEmpty();
        }
        assertThat(kills).isGreaterThan(1000);
        assertThat(back).isGreaterThan(2000);
    }

    private void turn(Random random, Set<Integer> offered) {
        switch (random.nextInt(4)) {
            case 0, 1 -> {
                int descriptors = 1 + random.nextInt(3);
                if (driver.hasRoom(descriptors)) {
                    boolean isTable = random.nextInt(3) == 0;
                    assertThat(offered.add(isTable ? addTable() : add(descriptors))).isTrue();
                }
            }
            case 2 -> {
                if (pop() == Pop.GOT && random.nextInt(6) == 0) {
                    queue.unpop(out.removeLast());
                }
            }
            default -> {
                for (int i = random.nextInt(3); i >= 0 && !out.isEmpty(); i--) {
                    push(random.nextInt(out.size()));
                }
                assertThat(publish()).isEqualTo(Outcome.OK);
            }
        }
        assertThat(queue.brokenReason()).isNull();
    }

    private int takeBack(Set<Integer> offered, long seed) {
        int back = 0;
        for (Used used = driver.poll(); used != null; used = driver.poll()) {
            assertThat(offered.remove(used.head())).as("seed %d: %s", seed, used).isTrue();
            back++;
        }
        return back;
    }

    /** A table has one descriptor in the ring, and so has its chain one entry in the log. */
    @Test
    void tableWithSeveralEntriesInTheLogIsNoLog() {
        begin(RingFormat.PACKED);
        addTable();
        popHead();
        long entry = InflightLog.PACKED_ENTRIES;
        region.set(ValueLayout.JAVA_SHORT, entry + InflightLog.PACKED_NUM, (short) 3);
        region.set(ValueLayout.JAVA_SHORT, InflightLog.FREE_HEAD, (short) 3);
        region.set(ValueLayout.JAVA_SHORT, InflightLog.OLD_FREE_HEAD, (short) 3);
        goOn(RingFormat.PACKED);
        // As many as the ring has room for beside a table: more than the log has entries for.
        add(SIZE - 1);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
        assertThat(queue.brokenReason()).isEqualTo(BrokenReason.LOG_UNFIT);
        assertThat(pop()).isEqualTo(Pop.BROKEN);
    }

    /** Whoever has the memory writes there what it likes. */
    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void whatIsNoLogBreaksTheQueueOrIsChainsOfItsRing(RingFormat format) {
        int broken = 0;
        int taken = 0;
        for (long seed = 1; seed <= 3000; seed++) {
            Random random = new Random(seed);
            dma = new FlatDma(BASE, 0x10000);
            begin(format);
            for (int i = 0; i < SIZE / 2; i++) {
                add(1);
            }
            while (pop() == Pop.GOT) {
                taken++;
            }
            for (int change = 1 + random.nextInt(3); change > 0; change--) {
                int at = InflightLog.DESC_NUM + random.nextInt((int) region.byteSize() - 10);
                byte value = (byte) (random.nextBoolean() ? random.nextInt(10) : random.nextInt());
                region.set(ValueLayout.JAVA_BYTE, at, value);
            }
            goOn(format);
            int again = 0;
            while (pop() == Pop.GOT) {
                again++;
                assertThat(again).as("seed %d", seed).isLessThanOrEqualTo(SIZE);
            }
            if (queue.brokenReason() != null) {
                broken++;
                continue;
            }
            while (!out.isEmpty()) {
                push(0);
            }
            assertThat(publish()).isEqualTo(Outcome.OK);
        }
        assertThat(broken).isGreaterThan(100);
        assertThat(taken).isEqualTo(3000 * SIZE / 2);
    }
}
