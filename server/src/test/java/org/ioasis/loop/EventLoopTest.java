// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Niceness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Turns the loop by hand, with a clock of its own; a few tests start its thread. */
class EventLoopTest {
    private final AtomicLong clock = new AtomicLong();
    private final Guards guards = new Guards(clock::get, lease -> {});
    private EventLoop loop = loop(IdlePolicy.EVENT_DRIVEN);
    private final List<AutoCloseable> opened = new ArrayList<>();

    private EventLoop loop(IdlePolicy idle) {
        try {
            return new EventLoop(
                    "test", Polled.of(guards::hasPending, guards::poll), clock::get, idle);
        } catch (ErrnoException e) {
            throw new IllegalStateException(e);
        }
    }

    @AfterEach
    void close() throws Exception {
        loop.close();
        for (AutoCloseable o : opened) {
            o.close();
        }
    }

    private EventFd eventFd() throws ErrnoException {
        EventFd eventFd = EventFd.create();
        opened.add(eventFd);
        return eventFd;
    }

    /** Counts; drains its eventfd unless told to fail. */
    private static final class Counter implements EventHandler {
        private final EventFd source;
        int ready;
        int failed;
        Runnable then = () -> {};

        Counter(EventFd source) {
            this.source = source;
        }

        @Override
        public void ready(int events) {
            ready++;
            source.drain();
            then.run();
        }

        @Override
        public void failed(Throwable cause) {
            failed++;
        }
    }

    private static void boom() {
        throw new IllegalStateException("planted");
    }

    @Test
    void handlerThatThrowsIsToldAndGoneAndTheOthersGoOn() throws Exception {
        EventFd bad = eventFd();
        EventFd good = eventFd();
        Counter badHandler = new Counter(bad);
        Counter goodHandler = new Counter(good);
        badHandler.then = EventLoopTest::boom;
        loop.register(bad.fd(), Epoll.IN, badHandler);
        loop.register(good.fd(), Epoll.IN, goodHandler);

        for (int i = 0; i < 3; i++) {
            bad.signal();
            good.signal();
            loop.turn(0);
        }

        assertThat(badHandler.ready).isOne();
        assertThat(badHandler.failed).isOne();
        assertThat(goodHandler.ready).isEqualTo(3);
        assertThat(loop.failures()).isOne();
        assertThat(loop.dump()).contains("planted");
    }

    @Test
    void taskAndTimerThatThrowDoNotStopTheLoop() throws Exception {
        AtomicInteger ran = new AtomicInteger();
        loop.execute(EventLoopTest::boom);
        loop.execute(ran::incrementAndGet);
        loop.schedule(0, EventLoopTest::boom);
        loop.schedule(0, ran::incrementAndGet);

        loop.turn(1);
        loop.turn(1);

        assertThat(ran).hasValue(2);
        assertThat(loop.failures()).isEqualTo(2);
    }

    @Test
    void aLoopThatHurriesIsLessNiceThanWhoeverMadeItIfItMay() throws Exception {
        int ours = Niceness.current();
        CountDownLatch hurried = new CountDownLatch(1);
        AtomicInteger its = new AtomicInteger();
        loop.start();

        loop.execute(loop::hurry);
        loop.execute(() -> {
            its.set(Niceness.current());
            hurried.countDown();
        });

        assertThat(hurried.await(10, TimeUnit.SECONDS)).isTrue();
        assertThat(loop.counts().niceness()).isEqualTo(its.get()).isIn(ours, ours - 10);
        assertThat(Niceness.current()).isEqualTo(ours);
    }

    /** Which a loop that learns of its thread after that runs sees now and then. */
    @Test
    void whatWaitedForTheStartRunsOnTheLoopsThread() {
        for (int i = 0; i < 200; i++) {
            AtomicBoolean isItsOwn = new AtomicBoolean();
            try (EventLoop one = loop(IdlePolicy.EVENT_DRIVEN)) {
                one.execute(() -> isItsOwn.set(one.isLoopThread()));
                one.start();
                assertThat(one.executeAndWait(() -> {}, 10_000_000_000L)).isTrue();
            }
            assertThat(isItsOwn).isTrue();
        }
    }

    @Test
    void eventOfARegistrationCancelledInTheSameTurnIsDropped() throws Exception {
        EventFd a = eventFd();
        EventFd b = eventFd();
        Counter first = new Counter(a);
        Counter second = new Counter(b);
        List<EventLoop.Registration> both = new ArrayList<>();
        Runnable cancelAll = () -> both.forEach(EventLoop.Registration::cancel);
        first.then = cancelAll;
        second.then = cancelAll;
        both.add(loop.register(a.fd(), Epoll.IN, first));
        both.add(loop.register(b.fd(), Epoll.IN, second));
        a.signal();
        b.signal();

        loop.turn(0);
        loop.turn(0);

        assertThat(first.ready + second.ready).isOne();
    }

    @Test
    void eventOfAnOldRegistrationDoesNotReachTheNewOneInItsSlot() throws Exception {
        EventFd a = eventFd();
        EventFd b = eventFd();
        EventFd c = eventFd();
        Counter third = new Counter(c);
        List<EventLoop.Registration> both = new ArrayList<>();
        for (EventFd source : List.of(a, b)) {
            int other = 1 - both.size();
            Counter counter = new Counter(source);
            counter.then =
                    () -> {
                        // The free slot that the new one gets is the other's, whose event is next.
                        both.get(other).cancel();
                        register(c, third);
                    };
            both.add(loop.register(source.fd(), Epoll.IN, counter));
            source.signal();
        }

        loop.turn(0);

        assertThat(third.ready).isZero();
    }

    @Test
    void loopThatFailsItselfEndsWhatItServesAndSaysSo() throws Exception {
        AtomicBoolean isBroken = new AtomicBoolean();
        loop.close();
        loop =
                new EventLoop(
                        "broken",
                        Polled.NOTHING,
                        () -> {
                            if (isBroken.get()) {
                                throw new IllegalStateException("the clock is gone");
                            }
                            return 0;
                        },
                        IdlePolicy.EVENT_DRIVEN);
        CountDownLatch isTold = new CountDownLatch(2);
        for (int i = 0; i < 2; i++) {
            EventLoop.Registration _ =
                    loop.register(
                            eventFd().fd(),
                            Epoll.IN,
                            new EventHandler() {
                                @Override
                                public void ready(int events) {}

                                @Override
                                public void failed(Throwable cause) {
                                    isTold.countDown();
                                    throw new IllegalStateException("and this one, too", cause);
                                }
                            });
        }
        EventLoop.Timer _ = loop.schedule(Long.MAX_VALUE, () -> {});
        loop.start();
        assertThat(loop.executeAndWait(() -> {}, 10_000_000_000L)).isTrue();
        assertThat(loop.hasFailed()).isFalse();

        loop.execute(() -> isBroken.set(true));

        assertThat(isTold.await(10, TimeUnit.SECONDS)).isTrue();
        loop.close();
        assertThat(loop.hasFailed()).isTrue();
        assertThat(loop.isOver()).isTrue();
        assertThat(loop.failures()).as("itself and both ends").isEqualTo(3);
        assertThat(loop.dump()).contains("broken: failed");
        assertThatThrownBy(() -> loop.execute(() -> {}))
                .isInstanceOf(RejectedExecutionException.class);
    }

    @Test
    void cancelledTimerHoldsNothing() {
        EventLoop.Timer far = loop.schedule(Long.MAX_VALUE, () -> {});
        EventLoop.Timer other = loop.schedule(Long.MAX_VALUE, () -> {});
        assertThat(loop.dump()).contains("timers 0 run and 2 waiting");

        far.cancel();
        far.cancel();

        assertThat(loop.dump()).contains("timers 0 run and 1 waiting");
        other.cancel();
        assertThat(loop.dump()).contains("timers 0 run and 0 waiting");
    }

    private void register(EventFd source, EventHandler handler) {
        try {
            loop.register(source.fd(), Epoll.IN, handler);
        } catch (ErrnoException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void registrationWaitsOnlyForWhatItWants() throws Exception {
        EventFd source = eventFd();
        Counter handler = new Counter(source);
        EventLoop.Registration registration = loop.register(source.fd(), 0, handler);
        source.signal();

        loop.turn(0);
        assertThat(handler.ready).isZero();
        registration.events(Epoll.IN);
        loop.turn(0);
        assertThat(handler.ready).isOne();
        registration.cancel();
        registration.cancel();
        source.signal();
        loop.turn(0);

        assertThat(handler.ready).isOne();
    }

    @Test
    void tasksBeyondTheLimitAreRefused() {
        for (int i = 0; i < EventLoop.TASK_LIMIT; i++) {
            loop.execute(() -> {});
        }

        assertThatThrownBy(() -> loop.execute(() -> {}))
                .isInstanceOf(RejectedExecutionException.class)
                .hasMessageContaining("65536");
        loop.turn(0);
        loop.execute(() -> {});
    }

    @Test
    void taskThatPostsItselfDoesNotKeepTheLoopFromItsDescriptors() throws Exception {
        EventFd source = eventFd();
        Counter handler = new Counter(source);
        loop.register(source.fd(), Epoll.IN, handler);
        Runnable[] again = new Runnable[1];
        again[0] = () -> loop.execute(again[0]);
        loop.execute(again[0]);
        source.signal();

        loop.turn(-1);
        source.signal();
        loop.turn(-1);

        assertThat(handler.ready).isEqualTo(2);
    }

    @Test
    void timersRunInOrderOfDeadlineAndNotBefore() {
        List<String> order = new ArrayList<>();
        loop.schedule(20, () -> order.add("late"));
        loop.schedule(10, () -> order.add("early"));
        loop.schedule(10, () -> order.add("early too"));
        EventLoop.Timer cancelled = loop.schedule(10, () -> order.add("cancelled"));
        cancelled.cancel();

        clock.set(9);
        loop.turn(0);
        assertThat(order).isEmpty();
        clock.set(10);
        loop.turn(0);
        assertThat(order).containsExactly("early", "early too");
        clock.set(1000);
        loop.turn(0);

        assertThat(order).containsExactly("early", "early too", "late");
    }

    @Test
    void timersSurviveAClockThatWraps() {
        AtomicInteger ran = new AtomicInteger();
        clock.set(Long.MAX_VALUE - 5);
        loop.schedule(clock.get() + 10, ran::incrementAndGet);

        loop.turn(0);
        assertThat(ran).hasValue(0);
        clock.set(Long.MIN_VALUE + 4);
        loop.turn(0);

        assertThat(ran).hasValue(1);
    }

    @Test
    void timeIsToldWhileThatIsWantedAndNobodyIsWokenWhileItIsNot() {
        AtomicBoolean isWanted = new AtomicBoolean();
        AtomicInteger ticks = new AtomicInteger();
        Ticker ticker = loop.ticker(500, isWanted::get, ticks::incrementAndGet);
        loop.turn(0);
        assertThat(loop.dump()).contains("timers 0 run and 0 waiting");

        isWanted.set(true);
        loop.turn(0);
        assertThat(loop.dump()).contains("timers 0 run and 1 waiting");
        for (int i = 1; i <= 3; i++) {
            clock.addAndGet(499);
            loop.turn(0);
            assertThat(ticks).hasValue(i - 1);
            clock.incrementAndGet();
            loop.turn(0);
            assertThat(ticks).hasValue(i);
        }

        isWanted.set(false);
        loop.turn(0);
        assertThat(loop.dump()).contains("timers 3 run and 0 waiting");
        isWanted.set(true);
        loop.turn(0);
        ticker.cancel();
        clock.addAndGet(1000);
        loop.turn(0);
        assertThat(loop.dump()).contains("timers 3 run and 0 waiting");
        assertThat(ticks).hasValue(3);
    }

    @Test
    void timerThatSetsItselfAgainRunsOncePerTurn() {
        AtomicInteger ran = new AtomicInteger();
        Runnable[] again = new Runnable[1];
        again[0] =
                () -> {
                    ran.incrementAndGet();
                    loop.schedule(0, again[0]);
                };
        loop.schedule(0, again[0]);

        loop.turn(-1);
        loop.turn(-1);

        assertThat(ran).hasValue(2);
    }

    @Test
    void pendingRemovalIsLookedAtEachTurnWithoutBlocking() {
        GuestMemory memory = new GuestMemory(guards, 4);
        memory.add(new Region(0, 4095, Arena.ofAuto().allocate(4096), true, null));
        DirectDma dma = new DirectDma(memory, guards.open());
        AtomicInteger unused = new AtomicInteger();
        dma.enter();
        memory.remove(0, 4095, unused::incrementAndGet);

        loop.turn(-1); // would wait forever if it did not know of the pending removal
        assertThat(unused).hasValue(0);
        dma.leave();
        loop.turn(-1);

        assertThat(unused).hasValue(1);
    }

    /** Rings in which a look finds what it is told to; each takes a microsecond. */
    private final class FakeRings implements Rings {
        int looks;
        int rests;
        int failures;
        boolean hasWork;
        Runnable then = () -> {};

        @Override
        public boolean look() {
            looks++;
            clock.addAndGet(1_000);
            then.run();
            return hasWork;
        }

        @Override
        public boolean rest() {
            rests++;
            return false;
        }

        @Override
        public void failed(Throwable cause) {
            failures++;
        }
    }

    /** A loop that looks for twenty microseconds after work; its sleeps take no time. */
    private void loopThatLooks() {
        loop.close();
        loop = loop(new IdlePolicy(20_000));
        loop.turn(1);
        loop.execute(() -> {});
        loop.turn(1);
    }

    @Test
    void loopLooksAtRingsForAWhileAfterWorkAndThenSaysThatItRests() {
        loopThatLooks();
        FakeRings rings = new FakeRings();
        assertThat(loop.watch(rings)).isTrue();
        assertThat(loop.watch(rings)).as("twice").isTrue();
        long sleeps = loop.counts().sleeps();

        clock.addAndGet(15_000);
        loop.turn(1);

        assertThat(rings.looks).as("what is left of twenty").isEqualTo(5);
        assertThat(rings.rests).isOne();
        assertThat(loop.counts().sleeps()).isEqualTo(sleeps + 1);
        assertThat(loop.counts().rests()).isOne();
        loop.turn(1);
        assertThat(rings.looks).as("no longer looked at").isEqualTo(5);
        assertThat(rings.rests).isOne();
    }

    @Test
    void workInRingsKeepsTheLoopLookingAndEveryTwentyMicrosecondsTheRestHasItsTurn() {
        loopThatLooks();
        FakeRings busy = new FakeRings();
        busy.hasWork = true;
        FakeRings other = new FakeRings();
        assertThat(loop.watch(busy)).isTrue();
        assertThat(loop.watch(other)).isTrue();
        long sleeps = loop.counts().sleeps();
        long waits = loop.counts().waits();
        AtomicInteger timers = new AtomicInteger();

        for (int i = 1; i <= 5; i++) {
            loop.schedule(clock.get() + 10_000, timers::incrementAndGet);
            loop.turn(-1);
            assertThat(timers).hasValue(i);
        }

        assertThat(busy.looks).isBetween(50, 60);
        assertThat(other.looks).as("each look is at all").isEqualTo(busy.looks);
        assertThat(loop.counts().finds()).isEqualTo(busy.looks);
        assertThat(loop.counts().waits()).isEqualTo(waits + 5);
        assertThat(loop.counts().sleeps()).isEqualTo(sleeps);
        assertThat(busy.rests).isZero();
    }

    @Test
    void taskThatComesWhileTheLoopLooksIsRunAndNeedsNoSignal() {
        loopThatLooks();
        FakeRings rings = new FakeRings();
        assertThat(loop.watch(rings)).isTrue();
        AtomicInteger ran = new AtomicInteger();
        rings.then =
                () -> {
                    if (rings.looks == 3) {
                        loop.execute(ran::incrementAndGet);
                    }
                };

        loop.turn(-1);

        assertThat(ran).hasValue(1);
        assertThat(rings.looks).isEqualTo(3);
        assertThat(loop.counts().signals()).isZero();
        loop.turn(0);
        assertThat(loop.counts().signals()).isZero();
    }

    @Test
    void taskPostedWhileTheLoopIsAboutToSleepKeepsItAwake() throws Exception {
        loop.close();
        AtomicBoolean isDue = new AtomicBoolean(true);
        AtomicInteger ran = new AtomicInteger();
        // What is asked last before the loop says that it sleeps.
        Polled postsLate =
                Polled.of(
                        () -> {
                            if (isDue.getAndSet(false)) {
                                loop.execute(ran::incrementAndGet);
                            }
                            return false;
                        },
                        () -> 0);
        loop = new EventLoop("late", postsLate, clock::get, IdlePolicy.EVENT_DRIVEN);

        loop.turn(2_000);

        assertThat(ran).hasValue(1);
        assertThat(loop.counts().sleeps()).isZero();
    }

    @Test
    void eachSignalWakesTheLoopOnceThoughNobodyReadsItsCounter() throws Exception {
        AtomicInteger ran = new AtomicInteger();
        for (int i = 1; i <= 3; i++) {
            long sleeps = loop.counts().sleeps();
            Thread poster =
                    Thread.ofPlatform()
                            .start(() -> {
                                while (loop.counts().sleeps() == sleeps) {
                                    Thread.onSpinWait();
                                }
                                loop.execute(ran::incrementAndGet);
                            });

            loop.turn(10_000);

            poster.join();
            assertThat(ran).hasValue(i);
            loop.turn(0);
            assertThat(loop.counts().signals()).isEqualTo(i);
        }
    }

    @Test
    void taskThatATaskPostsKeepsTheLoopAwakeForTheNextTurn() {
        AtomicInteger ran = new AtomicInteger();
        loop.execute(() -> loop.execute(ran::incrementAndGet));

        loop.turn(0);
        assertThat(ran).as("posted by a task of this turn").hasValue(0);
        loop.turn(10_000);

        assertThat(ran).hasValue(1);
        assertThat(loop.counts().sleeps()).isZero();
    }

    @Test
    void lookThatThrowsIsCountedAndTheOthersGoOn() {
        loopThatLooks();
        FakeRings broken = new FakeRings();
        broken.then = EventLoopTest::boom;
        FakeRings good = new FakeRings();
        assertThat(loop.watch(broken)).isTrue();
        assertThat(loop.watch(good)).isTrue();
        clock.addAndGet(15_000);

        loop.turn(1);
        loop.turn(1);

        assertThat(broken.looks).isOne();
        assertThat(broken.failures).isOne();
        assertThat(good.failures).isZero();
        assertThat(good.looks).isGreaterThan(1);
        assertThat(good.rests).isOne();
        assertThat(loop.failures()).isOne();
        assertThat(loop.dump()).contains("planted");
    }

    @Test
    void loopThatMayNotLookOrHasNoReasonToDoesNot() {
        assertThat(loop.watch(new FakeRings())).as("poll_us = 0").isFalse();
        loop.close();
        loop = loop(new IdlePolicy(20_000));
        assertThat(loop.watch(new FakeRings())).as("never slept for short").isFalse();
    }

    @Test
    void anEventDrivenLoopWaitsAtOnce() {
        loop.execute(() -> {});
        loop.turn(1);

        loop.turn(1);

        assertThat(loop.dump()).startsWith("loop test: waiting");
    }

    @Test
    void tasksOfManyThreadsAllRunOnTheLoopThread() throws Exception {
        loop.start();
        AtomicInteger onLoop = new AtomicInteger();
        CountDownLatch all = new CountDownLatch(4 * 1000);
        for (int t = 0; t < 4; t++) {
            Thread.ofPlatform()
                    .start(() -> {
                        for (int i = 0; i < 1000; i++) {
                            loop.execute(() -> {
                                if (loop.isLoopThread()) {
                                    onLoop.incrementAndGet();
                                }
                                all.countDown();
                            });
                        }
                    });
        }

        assertThat(all.await(10, TimeUnit.SECONDS)).isTrue();
        assertThat(onLoop).hasValue(4000);
    }

    @Test
    void executeAndWaitWaitsAndIsDirectOnTheLoopThread() {
        loop.start();
        List<String> order = new ArrayList<>();

        boolean done =
                loop.executeAndWait(
                        () -> {
                            order.add("outer");
                            assertThat(loop.executeAndWait(() -> order.add("inner"), 0)).isTrue();
                            order.add("after");
                        },
                        TimeUnit.SECONDS.toNanos(10));

        assertThat(done).isTrue();
        assertThat(order).containsExactly("outer", "inner", "after");
    }

    @Test
    void closeEndsTheThreadAndRefusesTasks() {
        loop.start();

        loop.close();
        loop.close();

        assertThat(loop.dump()).contains("ended");
        assertThatThrownBy(() -> loop.execute(() -> {}))
                .isInstanceOf(RejectedExecutionException.class);
        assertThatThrownBy(() -> loop.start()).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void loopCanCloseItself() {
        loop.start();

        loop.execute(loop::close);
        loop.close();

        assertThat(loop.dump()).contains("ended");
    }
}
