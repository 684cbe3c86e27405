// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.ioasis.spec.Virtio.F_RING_RESET;
import static org.ioasis.spec.Virtio.F_VERSION_1;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Function;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.InflightLog;
import org.ioasis.spec.SplitRing;
import org.ioasis.virtqueue.FlatDma;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.ioasis.virtqueue.SplitState;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How devices work, with a device that does with a chain what the test says. */
class DeviceWorkTest implements Interrupts {
    private static final long BASE = 0x10000;
    private static final long DATA = 0x100_0000;
    private static final int SIZE = 16;
    private static final int JOBS = 4;

    private static final class Item extends Job<Item> {
        Item() {
            super(SIZE);
        }

        @Override
        protected void begin() {}
    }

    /** Two queues, and {@link #JOBS} jobs for both. */
    private final class Work extends DeviceWork<Item> {
        final ArrayDeque<Item> free = new ArrayDeque<>();
        int jobs = JOBS;

        Work() {
            super(2, DeviceWorkTest.this::post);
            for (int i = 0; i < JOBS; i++) {
                free.add(new Item());
            }
        }

        @Override
        protected @Nullable Item room(int queue) {
            Item job = free.poll();
            jobs -= job == null ? 0 : 1;
            return job;
        }

        @Override
        protected void release(Item job) {
            jobs++;
            free.add(job);
        }

        @Override
        protected Step advance(Item job) {
            assertThat(dma.isInSection()).isTrue();
            advanced.add(job.chain().head());
            return script.apply(job);
        }

        @Override
        protected void outside() {
            assertThat(dma.isInSection()).isFalse();
            for (Item job = takeOutside(); job != null; job = takeOutside()) {
                out.add(job);
                if (comesBackAtOnce) {
                    resume(job);
                }
            }
            afterSection.run();
        }

        void spends(long cost) {
            spend(cost);
        }

        int staleJobs() {
            return stale();
        }
    }

    private final FlatDma dma = new FlatDma(BASE, 0x10000);
    private final Deque<Runnable> loop = new ArrayDeque<>();
    private final List<Integer> advanced = new ArrayList<>();
    private final Deque<Item> out = new ArrayDeque<>();
    private final Work work = new Work();
    private final VirtioDevice device =
            new VirtioDevice(new PlainType(work, 2, SIZE), dma, F_VERSION_1 | F_RING_RESET, this);
    private final MockDriver[] drivers = new MockDriver[2];
    private Function<Item, Step> script = job -> job.finish(0);
    private boolean comesBackAtOnce;
    private Runnable afterSection = () -> {};
    private boolean refusesTasks;
    private int interrupts;

    private void post(Runnable task) {
        if (refusesTasks) {
            throw new RejectedExecutionException("full");
        }
        loop.add(task);
    }

    @Override
    public void queue(int queue) {
        assertThat(dma.isInSection()).isFalse();
        interrupts++;
    }

    @Override
    public void config() {}

    @BeforeEach
    void bringUp() {
        dma.addRegion(DATA, 0x10000);
        start();
    }

    private void start() {
        device.writeStatus(0);
        device.writeStatus(3);
        device.writeDriverFeatures(device.deviceFeatures());
        device.writeStatus(11);
        enable(0);
        enable(1);
        device.writeStatus(15);
        assertThat(device.isRunning()).isTrue();
    }

    private void enable(int q) {
        long base = BASE + q * 0x8000L;
        MockDriver driver =
                new MockDriver(dma.memory(base, MockDriver.footprint(SIZE)), base, SIZE, false);
        device.writeQueueDesc(q, driver.descAddress());
        device.writeQueueDriver(q, driver.driverAddress());
        device.writeQueueDevice(q, driver.deviceAddress());
        device.enableQueue(q);
        drivers[q] = driver;
    }

    private int add(int q) {
        return drivers[q].add(Layout.DIRECT, List.of(new Buffer(DATA, 64, true)));
    }

    private void addAndKick(int q, int count) {
        for (int i = 0; i < count; i++) {
            add(q);
        }
        boolean _ = drivers[q].expose();
        device.kick(q);
    }

    private void runLoop() {
        for (Runnable task = loop.poll(); task != null; task = loop.poll()) {
            task.run();
        }
    }

    private int used(int q) {
        int count = 0;
        while (drivers[q].poll() != null) {
            count++;
        }
        return count;
    }

    // --- a queue that is taken back

    private MemorySegment logOfFourThatAreOut() {
        MemorySegment log =
                Arena.ofAuto().allocate(RingFormat.SPLIT.logBytes(SIZE), InflightLog.ALIGN);
        device.resetQueue(0);
        give(log);
        script = _ -> Step.OUTSIDE;
        addAndKick(0, JOBS);
        assertThat(out).hasSize(JOBS);
        // As if the process had ended: nobody goes on with them.
        device.resetQueue(0);
        while (!out.isEmpty()) {
            work.resume(out.remove());
        }
        runLoop();
        assertThat(work.jobs).isEqualTo(JOBS);
        return log;
    }

    private void give(MemorySegment log) {
        MockDriver driver = drivers[0];
        boolean isGiven =
                device.handover()
                        .give(
                                0,
                                SIZE,
                                driver.descAddress(),
                                driver.driverAddress(),
                                driver.deviceAddress(),
                                SplitState.at(0),
                                RingFormat.SPLIT.newLog(log, SIZE));
        assertThat(isGiven).isTrue();
    }

    @Test
    void queueThatIsTakenBackStillTakesWhatItsLogHas() {
        MemorySegment log = logOfFourThatAreOut();
        addAndKick(1, JOBS - 2);
        give(log);
        assertThat(out).as("no more jobs are there").hasSize(JOBS);
        add(0);
        boolean _ = drivers[0].expose();
        List<RingState> taken = new ArrayList<>();
        device.handover().take(0, taken::add);
        assertThat(taken).isEmpty();
        script = job -> job.finish(0);
        work.resume(out.removeLast());
        work.resume(out.removeLast());
        runLoop();
        assertThat(used(0)).isEqualTo(JOBS);
        assertThat(taken).containsExactly(SplitState.at(JOBS));
    }

    @Test
    void queueThatIsTakenBackWaitsForNoJobThatNobodyHas() {
        MemorySegment log = logOfFourThatAreOut();
        List<Item> jobs = List.copyOf(work.free);
        work.free.clear();
        give(log);
        List<RingState> taken = new ArrayList<>();
        device.handover().take(0, taken::add);
        assertThat(taken).hasSize(1);

        // What was left is left.
        work.free.addAll(jobs);
        script = job -> job.finish(0);
        give(log);
        assertThat(used(0)).isEqualTo(JOBS);
    }

    @Test
    void queueThatIsTakenBackWaitsForNoMemoryThatItsLogsChainsNeed() {
        MemorySegment log = logOfFourThatAreOut();
        script = _ -> Step.PUT_BACK;
        give(log);
        List<RingState> taken = new ArrayList<>();
        device.handover().take(0, taken::add);
        assertThat(taken).hasSize(1);

        script = job -> job.finish(0);
        give(log);
        assertThat(used(0)).isEqualTo(JOBS);
    }

    // --- bounds

    @Test
    void turnOfARingThatIsFedWithoutEndEndsAtTheLimitOfSections() {
        add(0);
        for (int slot = 0; slot < SIZE; slot++) {
            drivers[0].availEntry(slot, 0);
        }
        drivers[0].availIdx(SIZE);
        int before = dma.sections();
        // As another processor would: whatever is taken is made available again.
        script =
                job -> {
                    assertThat(dma.sections() - before).isLessThan(3 * DeviceWork.SECTION_LIMIT);
                    drivers[0].availIdx(drivers[0].usedIdx() + SIZE);
                    work.spends(DeviceWork.SECTION_COST / 8);
                    return job.finish(0);
                };
        device.kick(0);
        assertThat(dma.sections() - before).isEqualTo(DeviceWork.SECTION_LIMIT);
        assertThat(work.counters().putOff()).isEqualTo(1);
        assertThat(loop).hasSize(1);

        loop.remove().run();
        assertThat(dma.sections() - before).isEqualTo(2 * DeviceWork.SECTION_LIMIT);
        assertThat(loop).hasSize(1);
        assertThat(device.brokenReason()).isNull();
    }

    @Test
    void sectionEndsWhenItsCostIsSpent() {
        List<Integer> sectionOf = new ArrayList<>();
        script =
                job -> {
                    sectionOf.add(dma.sections());
                    work.spends(DeviceWork.SECTION_COST / 2);
                    return job.finish(0);
                };
        addAndKick(0, 5);
        int first = sectionOf.getFirst();
        // The cost of two, and of looking at them, is more than one section may have.
        assertThat(sectionOf).containsExactly(first, first, first + 1, first + 1, first + 2);
    }

    @Test
    void chainThatCopiesNothingCostsSomething() {
        List<Integer> sectionOf = new ArrayList<>();
        // Left are three chains, and the look at the other queue.
        script =
                job -> {
                    if (sectionOf.isEmpty()) {
                        work.spends(DeviceWork.SECTION_COST - 4 * DeviceWork.CHAIN_COST);
                    }
                    sectionOf.add(dma.sections());
                    return job.finish(0);
                };
        addAndKick(0, 4);
        int first = sectionOf.getFirst();
        assertThat(sectionOf).containsExactly(first, first, first, first + 1);
    }

    @Test
    void indexThatFlickersKeepsNobody() {
        // Each look at the index sees the other of two values: there is a chain, there is none.
        // In pieces, so that each has to find it.
        dma.inPieces(SplitRing.DESC_SIZE);
        long index = drivers[0].driverAddress() + SplitRing.AVAIL_IDX;
        int[] looks = {0};
        dma.watch(address -> {
            if (address == index) {
                assertThat(looks[0]).isLessThan(100_000);
                drivers[0].availIdx(looks[0]++ % 2);
            }
        });
        device.kick(0);
        assertThat(looks[0]).isGreaterThan(2);
        assertThat(advanced).isEmpty();
        assertThat(work.counters().putOff()).isEqualTo(1);
        assertThat(loop).hasSize(1);
    }

    // --- the task

    private void endlessly() {
        script =
                job -> {
                    work.spends(DeviceWork.SECTION_COST);
                    return Step.OUTSIDE;
                };
        comesBackAtOnce = true;
    }

    @Test
    void kicksWhileATurnWaitsPostNoSecondTask() {
        endlessly();
        addAndKick(0, 1);
        for (int kicks = 0; kicks < 10; kicks++) {
            device.kick(0);
        }
        assertThat(loop).hasSize(1);
        assertThat(work.counters().putOff()).isEqualTo(11);
        loop.remove().run();
        assertThat(loop).as("one that ran is posted again").hasSize(1);
    }

    @Test
    void turnThatTheLoopDidNotTakeIsOwedAndTakenWithTheNextTick() {
        endlessly();
        refusesTasks = true;
        addAndKick(0, 1);
        assertThat(loop).isEmpty();
        assertThat(work.counters().refusedPosts()).isEqualTo(1);
        assertThat(device.needsTick()).isTrue();

        script = job -> job.finish(0);
        refusesTasks = false;
        device.tick(1);
        assertThat(used(0)).isEqualTo(1);
        assertThat(device.needsTick()).isFalse();
        int turns = advanced.size();
        device.tick(2);
        assertThat(advanced).as("nothing is owed any more").hasSize(turns);
        work.later();
        assertThat(loop).as("and the next one is posted").hasSize(1);
    }

    @Test
    void jobWhosePostWasRefusedGoesOnAtTheNextEvent() {
        script = _ -> Step.OUTSIDE;
        addAndKick(0, 1);
        script = job -> job.finish(0);
        refusesTasks = true;
        work.post(out.remove());
        assertThat(used(0)).isZero();

        device.kick(1);

        assertThat(used(0)).isEqualTo(1);
    }

    // --- jobs that wait

    @Test
    void keptJobLetsOthersPassAndGoesOnWhenMemoryChanges() {
        int first = add(0);
        int second = add(0);
        script = job -> job.chain().head() == first ? Step.ABSENT : job.finish(0);
        boolean _ = drivers[0].expose();
        device.kick(0);
        assertThat(requireNonNull(drivers[0].poll()).head()).isEqualTo(second);
        assertThat(device.needsTick()).isTrue();
        device.kick(0);
        assertThat(advanced).as("not tried at a kick").containsExactly(first, second);

        script = job -> job.finish(7);
        device.memoryChanged();

        assertThat(requireNonNull(drivers[0].poll()).written()).isEqualTo(7);
        assertThat(device.needsTick()).isFalse();
        assertThat(work.counters().keptAbsent()).isEqualTo(1);
    }

    @Test
    void chainThatIsPutBackHoldsUpThoseBehindItAndNoOtherQueue() {
        int first = add(0);
        int second = add(0);
        int other = add(1);
        script = job -> job.queue() == 0 ? Step.PUT_BACK : job.finish(0);
        boolean _ = drivers[0].expose();
        boolean _ = drivers[1].expose();
        device.kick(0);
        assertThat(advanced).containsExactly(first, other);
        assertThat(device.queue(0).inFlight()).isZero();
        assertThat(device.needsTick()).isTrue();

        script = job -> job.finish(0);
        device.memoryChanged();

        assertThat(advanced).containsExactly(first, other, first, second);
        assertThat(used(0)).isEqualTo(2);
        assertThat(device.needsTick()).isFalse();
    }

    @Test
    void kicksDoNotMakeTheWaitOfAChainThatIsPutBackLonger() {
        script = _ -> Step.PUT_BACK;
        addAndKick(0, 1);
        device.tick(0);
        device.tick(VirtioDevice.ABSENT_LIMIT_NANOS - 1);

        device.kick(0);
        device.kick(0);

        assertThat(advanced).as("looked at each time").hasSize(3);
        assertThat(device.brokenReason()).isNull();
        device.tick(VirtioDevice.ABSENT_LIMIT_NANOS);
        assertThat(device.brokenReason()).isEqualTo(VirtioDevice.ABSENT_TOO_LONG);
    }

    @Test
    void jobThatIsBackAtOnceGoesOnInTheSameTurn() {
        comesBackAtOnce = true;
        script = job -> out.contains(job) ? job.finish(0) : Step.OUTSIDE;
        addAndKick(0, 2);
        assertThat(used(0)).isEqualTo(2);
        assertThat(loop).isEmpty();
        assertThat(interrupts).as("one for both").isEqualTo(1);
    }

    @Test
    void jobThatIsBackLaterGetsATurnOfItsOwn() {
        script = _ -> Step.OUTSIDE;
        addAndKick(0, 3);
        script = job -> job.finish(0);
        assertThat(out).hasSize(3);
        work.resume(out.remove());
        work.resume(out.remove());
        work.post(out.remove());
        assertThat(used(0)).isZero();
        assertThat(loop).hasSize(1);
        runLoop();
        assertThat(used(0)).isEqualTo(3);
    }

    @Test
    void onlySoManyChainsAreTakenAsThereAreJobs() {
        script = _ -> Step.OUTSIDE;
        addAndKick(0, JOBS + 3);
        assertThat(device.queue(0).inFlight()).isEqualTo(JOBS);
        assertThat(work.jobs).isZero();
        script = job -> job.finish(0);
        out.forEach(work::post);
        runLoop();
        assertThat(used(0)).isEqualTo(JOBS + 3);
        assertThat(work.jobs).isEqualTo(JOBS);
    }

    // --- resets

    @Test
    void jobOfAnEarlierLifeIsDroppedWhenItComesBack() {
        script = _ -> Step.OUTSIDE;
        addAndKick(0, 1);
        addAndKick(1, 1);
        Item ofQueue0 = out.remove();
        Item ofQueue1 = out.remove();

        device.resetQueue(0);

        assertThat(work.isStale(ofQueue0)).isTrue();
        assertThat(work.isStale(ofQueue1)).isFalse();
        assertThat(work.staleJobs()).isEqualTo(1);
        script = job -> job.finish(0);
        work.post(ofQueue0);
        work.post(ofQueue1);
        runLoop();
        assertThat(used(0)).isZero();
        assertThat(used(1)).isEqualTo(1);
        assertThat(work.staleJobs()).isZero();
        assertThat(work.counters().dropped()).isEqualTo(1);
        assertThat(work.jobs).isEqualTo(JOBS);
    }

    @Test
    void roomThatAStaleJobLeavesInTheMiddleOfATurnIsUsedInTheNext() {
        script = _ -> Step.OUTSIDE;
        addAndKick(0, JOBS - 1);
        device.resetQueue(0);
        Item stale = out.remove();
        afterSection =
                () -> {
                    afterSection = () -> {};
                    work.resume(stale);
                };
        advanced.clear();

        addAndKick(1, 2);

        assertThat(advanced).as("there was one job left").hasSize(1);
        runLoop();
        assertThat(advanced).hasSize(2);
    }

    @Test
    void resetDropsWhatIsKeptAndWhatIsBack() {
        int kept = add(0);
        script = job -> job.chain().head() == kept ? Step.ABSENT : Step.OUTSIDE;
        addAndKick(0, 1);
        work.resume(out.remove());

        device.writeStatus(0);

        assertThat(work.counters().dropped()).isEqualTo(2);
        assertThat(work.jobs).isEqualTo(JOBS);
        runLoop();
        assertThat(advanced).hasSize(2);
    }

    @Test
    void jobUnderWhichMemoryVanishesIsThereAgainAfterTheReset() {
        for (int lives = 0; lives < 2 * JOBS; lives++) {
            script =
                    job -> {
                        if (advanced.size() % 2 == 0) {
                            throw new InternalError("a fault in a mapped file");
                        }
                        return Step.OUTSIDE;
                    };
            assertThatThrownBy(() -> addAndKick(0, 2)).isInstanceOf(InternalError.class);
            assertThat(dma.isInSection()).isFalse();
            device.systemReset();
            assertThat(work.jobs).isEqualTo(JOBS);
            start();
        }
        script = job -> job.finish(0);
        addAndKick(0, 1);
        assertThat(used(0)).isEqualTo(1);
    }

    // --- rings

    @Test
    void absentRingIsTriedAgainAndCountsAsAWait() {
        dma.trap(drivers[0].driverAddress(), drivers[0].driverAddress() + 3, Outcome.ABSENT);
        addAndKick(0, 1);
        assertThat(device.needsTick()).isTrue();
        dma.clearTraps();
        device.memoryChanged();
        assertThat(used(0)).isEqualTo(1);
        assertThat(device.needsTick()).isFalse();
    }

    @Test
    void memoryThatChangesIsNoReasonToTouchRingsOfADeviceThatWaitsForNone() {
        addAndKick(0, 1);
        assertThat(used(0)).isEqualTo(1);
        // A firmware has left them behind, and a driver has attached other memory in their place.
        dma.trap(drivers[0].driverAddress(), drivers[0].driverAddress() + 3, Outcome.FAULT);

        device.memoryChanged();

        assertThat(work.counters().ringFaults()).isZero();
        assertThat(device.brokenReason()).isNull();
    }

    @Test
    void absentUsedRingLosesNothing() {
        dma.trap(drivers[0].deviceAddress(), drivers[0].deviceAddress() + 3, Outcome.ABSENT);
        addAndKick(0, 2);
        assertThat(used(0)).isZero();
        assertThat(device.needsTick()).isTrue();
        dma.clearTraps();
        device.memoryChanged();
        assertThat(used(0)).isEqualTo(2);
        assertThat(advanced).as("done once").hasSize(2);
    }

    @Test
    void deviceIsUsedOnOneThread() throws InterruptedException {
        device.kick(0);
        Map<String, Runnable> calls = new LinkedHashMap<>();
        calls.put("kick", () -> device.kick(0));
        calls.put("enableQueue", () -> device.enableQueue(1));
        calls.put("resetQueue", () -> device.resetQueue(1));
        calls.put("writeConfig", () -> device.writeConfig(0, 4, 1));
        calls.put("memoryChanged", device::memoryChanged);
        calls.put("tick", () -> device.tick(0));
        calls.put("suspend", device::suspend);
        calls.put("resume", device::resume);
        calls.put("save", device::save);
        calls.put("needsReset", () -> device.needsReset("nothing"));
        calls.put("systemReset", device::systemReset);
        calls.put("writeStatus", () -> device.writeStatus(0));
        List<String> unnoticed = new ArrayList<>();
        Thread other =
                Thread.ofPlatform()
                        .start(() ->
                                calls.forEach((name, call) -> {
                                    if (!(catchThrowable(call::run) instanceof AssertionError)) {
                                        unnoticed.add(name);
                                    }
                                }));
        other.join();
        assertThat(unnoticed).isEmpty();
    }
}
