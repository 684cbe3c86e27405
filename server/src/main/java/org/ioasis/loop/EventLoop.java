// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.PriorityQueue;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Niceness;
import org.jspecify.annotations.Nullable;

/**
 * One platform thread with one epoll that serves all sessions and devices of a machine:
 * descriptors, tasks from other threads, timers, rings that are looked at, and what must be polled.
 * Each turn: look at rings or wait, descriptors, tasks, timers, polled, and who wants to be told
 * the time.
 *
 * <p>{@link #execute}, {@link #executeAndWait}, {@link #dump}, {@link #start} and {@link #close}
 * are for any thread. Everything else belongs to the loop thread (or, before {@link #start}, to the
 * thread that builds the machine).
 */
public final class EventLoop implements AutoCloseable {
    /**
     * Tasks that may wait at a time. Who posts has a bound of its own (requests in flight), so a
     * full queue is a broken invariant and refused loudly.
     */
    public static final int TASK_LIMIT = 65_536;

    /** Some nine times the weight of a thread that is as nice as the process: bench/README.md. */
    private static final int HURRY = 10;

    private static final System.Logger LOG = System.getLogger("org.ioasis.loop");
    private static final long WAKE_TOKEN = -1;
    private static final int POLL_MILLIS = 1;

    private static final long CLOSE_SECONDS = 5;

    private final String name;
    private final Polled polled;
    private final LongSupplier nanoTime;
    private final RingLooks looks;
    private final Epoll epoll;
    private final EventFd wake;
    private final AtomicBoolean wakeSent = new AtomicBoolean();
    private final ArrayBlockingQueue<Runnable> tasks = new ArrayBlockingQueue<>(TASK_LIMIT);
    private final PriorityQueue<Timer> timers = new PriorityQueue<>();
    private final CountDownLatch finished = new CountDownLatch(1);

    /**
     * Index is the low half of the epoll token; the high half tells a reused slot from an old
     * event.
     */
    private final ArrayList<@Nullable Registration> slots = new ArrayList<>();

    /** Those who may want to be told the time: asked in each turn. */
    final ArrayList<Ticker> tickers = new ArrayList<>();

    /** It may sleep: who posts a task has to wake it. */
    private final AtomicBoolean isAsleep = new AtomicBoolean();

    /** A task may have come since tasks were run last; true from when one is there for all. */
    private volatile boolean wakeWanted;

    private int generation;
    private long timerSequence;
    private volatile @Nullable Thread thread;
    private volatile int niceness;
    private volatile boolean stopping;
    private volatile boolean released;
    private volatile boolean hasFailed;

    // Counters: written by the loop thread, read by anyone for the dump.
    private final AtomicLong turns = new AtomicLong();
    private final AtomicLong waits = new AtomicLong();
    private final AtomicLong sleeps = new AtomicLong();
    private final AtomicLong signals = new AtomicLong();
    private final AtomicLong events = new AtomicLong();
    private final AtomicLong tasksRun = new AtomicLong();
    private final AtomicLong timersRun = new AtomicLong();
    private final AtomicLong failures = new AtomicLong();
    private volatile String lastFailure = "none";

    // For the dump alone, and written several times in each turn: in no order with anything else.
    private final AtomicReference<String> doing = new AtomicReference<>("not started");
    private final AtomicInteger servingFd = new AtomicInteger(-1);

    /**
     * @param name the thread's name
     * @param polled looked at each turn
     * @param nanoTime the clock of timers and of looking
     */
    public EventLoop(String name, Polled polled, LongSupplier nanoTime, IdlePolicy idle)
            throws ErrnoException {
        this.name = name;
        this.polled = polled;
        this.nanoTime = nanoTime;
        looks = new RingLooks(idle, nanoTime, () -> wakeWanted, this::failed);
        this.epoll = Epoll.create();
        try {
            this.wake = EventFd.create();
        } catch (ErrnoException e) {
            epoll.close();
            throw e;
        }
        boolean isWatched = false;
        try {
            // Each signal is an edge, so that the counter need not be read.
            epoll.add(wake.fd(), Epoll.IN | Epoll.EDGE, WAKE_TOKEN);
            isWatched = true;
        } finally {
            if (!isWatched) {
                wake.close();
                epoll.close();
            }
        }
    }

    /** A descriptor that the loop watches. Loop thread. */
    public final class Registration {
        private final int fd;
        private final int slot;
        private final long token;
        private final EventHandler handler;
        private int wanted;
        private boolean isActive = true;

        private Registration(int fd, int slot, long token, int wanted, EventHandler handler) {
            this.fd = fd;
            this.slot = slot;
            this.token = token;
            this.wanted = wanted;
            this.handler = handler;
        }

        /** Changes the events waited for; HUP and ERR are always reported. */
        public void events(int wanted) {
            assert isOwnThread();
            if (isActive && this.wanted != wanted) {
                epoll.modify(fd, wanted, token);
                this.wanted = wanted;
            }
        }

        /**
         * Ends it, before the descriptor is closed; twice is fine. No event comes after this, not
         * even one that was already fetched.
         */
        public void cancel() {
            assert isOwnThread();
            if (isActive) {
                isActive = false;
                slots.set(slot, null);
                if (!released) {
                    epoll.remove(fd);
                }
            }
        }
    }

    /** Something to do at a later time. Loop thread. */
    public final class Timer implements Comparable<Timer> {
        private final long deadlineNanos;
        private final long sequence;
        private final Runnable task;

        private Timer(long deadlineNanos, long sequence, Runnable task) {
            this.deadlineNanos = deadlineNanos;
            this.sequence = sequence;
            this.task = task;
        }

        /**
         * Has no effect on a timer that has run. What the task holds is let go at once and not at
         * the deadline.
         */
        public void cancel() {
            assert isOwnThread();
            timers.remove(this);
        }

        @Override
        public int compareTo(Timer other) {
            // By difference: nanoTime may wrap. Equal deadlines run in the order they were set.
            int byDeadline = Long.signum(deadlineNanos - other.deadlineNanos);
            return byDeadline != 0 ? byDeadline : Long.compare(sequence, other.sequence);
        }

        @Override
        public boolean equals(@Nullable Object other) {
            return this == other;
        }

        @Override
        public int hashCode() {
            return Long.hashCode(sequence);
        }
    }

    /** Watches {@code fd} until the registration is cancelled. The caller keeps the descriptor. */
    public Registration register(int fd, int wanted, EventHandler handler) throws ErrnoException {
        assert isOwnThread();
        int slot = slots.indexOf(null);
        if (slot < 0) {
            slot = slots.size();
            slots.add(null);
        }
        long token = (long) (generation++ & Integer.MAX_VALUE) << 32 | slot;
        Registration registration = new Registration(fd, slot, token, wanted, handler);
        epoll.add(fd, wanted, token);
        slots.set(slot, registration);
        return registration;
    }

    /**
     * Runs {@code task} at the first turn at or after {@code deadlineNanos} of the loop's clock.
     */
    public Timer schedule(long deadlineNanos, Runnable task) {
        assert isOwnThread();
        Timer timer = new Timer(deadlineNanos, timerSequence++, task);
        timers.add(timer);
        return timer;
    }

    /**
     * Runs {@code tick} each time that {@code nanos} have passed with {@code isWanted} being true
     * at the end of each turn, until it is cancelled. Nothing wakes the loop while it is false.
     */
    public Ticker ticker(long nanos, BooleanSupplier isWanted, Runnable tick) {
        assert isOwnThread();
        Ticker ticker = new Ticker(this, nanos, isWanted, tick);
        tickers.add(ticker);
        return ticker;
    }

    /** The loop's clock. */
    public long nanoTime() {
        return nanoTime.getAsLong();
    }

    /**
     * Runs {@code task} on the loop thread, after those posted before it. An exception of it is
     * logged and goes no further.
     *
     * @throws RejectedExecutionException the loop has ended, or {@link #TASK_LIMIT} is reached
     */
    public void execute(Runnable task) {
        if (stopping) {
            throw new RejectedExecutionException("loop " + name + " has ended");
        }
        if (!tasks.offer(task)) {
            throw new RejectedExecutionException(
                    "loop " + name + " has " + TASK_LIMIT + " tasks waiting");
        }
        wakeUp();
    }

    /**
     * Runs {@code task} on the loop thread and waits for it; on the loop thread itself, or while
     * there is none (before the start, after the end), at once.
     *
     * @return false if it has not run within {@code timeoutNanos}; it may still do so
     */
    public boolean executeAndWait(Runnable task, long timeoutNanos) {
        Thread owner = thread;
        if (owner == null || isLoopThread() || finished.getCount() == 0) {
            task.run();
            return true;
        }
        CountDownLatch done = new CountDownLatch(1);
        try {
            execute(() -> {
                try {
                    task.run();
                } finally {
                    done.countDown();
                }
            });
        } catch (RejectedExecutionException e) {
            return false;
        }
        return awaitUninterruptibly(done, timeoutNanos);
    }

    /** True on the loop's own thread. */
    public boolean isLoopThread() {
        return Thread.currentThread().equals(thread);
    }

    /** True on the loop's own thread, and on any while there is none: what the loop's may do. */
    public boolean isOwnThread() {
        return isOver() || isLoopThread();
    }

    private static boolean awaitUninterruptibly(CountDownLatch latch, long timeoutNanos) {
        boolean interrupted = false;
        long deadline = System.nanoTime() + timeoutNanos;
        try {
            while (true) {
                try {
                    return latch.await(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    static void count(AtomicLong counter) {
        // One writer: no locked instruction needed.
        counter.setOpaque(counter.getPlain() + 1);
    }

    private void wakeUp() {
        wakeWanted = true;
        // None to a loop that is awake. One write per batch: the loop clears the flag before it
        // looks into the queue.
        if (isAsleep.get() && !wakeSent.getAndSet(true)) {
            wake.signal();
        }
    }

    /**
     * Lets its thread be served before others where processors are scarce, if the process may have
     * that. A virtual processor that waits for an answer in a loop of its own uses up its whole
     * turn, which is milliseconds, before a thread that is no less nice gets the processor that it
     * needs to answer.
     */
    public void hurry() {
        assert isLoopThread();
        niceness = Niceness.change(-HURRY);
    }

    /** Starts the loop's thread. Once. */
    public synchronized void start() {
        if (thread != null || released) {
            throw new IllegalStateException("loop " + name + " was started or closed before");
        }
        // Known before it runs: what it does asks whether it is this one.
        Thread own = Thread.ofPlatform().name(name).daemon(true).unstarted(this::run);
        thread = own;
        own.start();
    }

    private void run() {
        try {
            while (!stopping) {
                turn(-1);
            }
            doing.setOpaque("ended");
        } catch (Throwable t) {
            fail(t);
        } finally {
            release();
            finished.countDown();
        }
    }

    /**
     * The loop itself is broken, not something that it serves. Whatever it serves must end, or its
     * peers would wait for ever for a process that lives on.
     */
    private void fail(Throwable cause) {
        doing.setOpaque("failed");
        hasFailed = true;
        stopping = true;
        failed("the loop itself", cause);
        for (int slot = 0; slot < slots.size(); slot++) {
            Registration registration = slots.get(slot);
            if (registration != null) {
                end(registration, cause);
            }
        }
    }

    private void end(Registration registration, Throwable cause) {
        registration.cancel();
        try {
            registration.handler.failed(cause);
        } catch (Throwable again) {
            failed("end of handler", again);
        }
    }

    /**
     * One turn; waits at most {@code maxWaitMillis} (-1: no limit) for something to do. Returns how
     * many things were done.
     */
    int turn(int maxWaitMillis) {
        int timeout = timeoutMillis(maxWaitMillis);
        if (timeout != 0 && !looks.isEmpty()) {
            doing.setOpaque("looking at rings");
            timeout = looks.look() ? 0 : timeoutMillis(maxWaitMillis);
        }
        int ready = await(timeout);
        int work = 0;
        for (int i = 0; i < ready; i++) {
            work += dispatch(epoll.token(i), epoll.events(i));
        }
        work += runTasks();
        work += runTimers();
        work += poll();
        for (int i = 0; i < tickers.size(); i++) {
            tickers.get(i).check();
        }
        if (work > 0) {
            looks.worked();
        }
        count(turns);
        return work;
    }

    private int await(int timeoutMillis) {
        count(waits);
        if (timeoutMillis == 0) {
            doing.setOpaque("looking");
            return epoll.await(0);
        }
        doing.setOpaque("waiting");
        // Who posts a task says so and then looks whether to signal; we say that we sleep and then
        // look whether there is one. Both are volatile, which puts them in order.
        isAsleep.set(true);
        if (wakeWanted) {
            isAsleep.setOpaque(false);
            return epoll.await(0);
        }
        count(sleeps);
        long begin = looks.sleeps();
        int ready = epoll.await(timeoutMillis);
        // One signal too many does no harm.
        isAsleep.setOpaque(false);
        looks.slept(begin);
        return ready;
    }

    /**
     * The rings are looked at from now on, if the loop looks at all now: called at each kick. True
     * if they are, until {@link Rings#rest}.
     */
    public boolean watch(Rings rings) {
        assert isOwnThread();
        return looks.watch(rings);
    }

    private int timeoutMillis(int maxWaitMillis) {
        if (stopping || wakeWanted) {
            return 0;
        }
        long timeout = maxWaitMillis < 0 ? Integer.MAX_VALUE : maxWaitMillis;
        if (polled.hasPending()) {
            timeout = Math.min(timeout, POLL_MILLIS);
        }
        Timer next = timers.peek();
        if (next != null) {
            long nanos = Math.max(0, next.deadlineNanos - nanoTime.getAsLong());
            // Rounded up: waking early would only turn once more.
            timeout = Math.min(timeout, nanos / 1_000_000 + (nanos % 1_000_000 == 0 ? 0 : 1));
        }
        return timeout == Integer.MAX_VALUE ? -1 : (int) timeout;
    }

    private int dispatch(long token, int ready) {
        if (token == WAKE_TOKEN) {
            count(signals);
            wakeSent.set(false);
            return 0;
        }
        Registration registration = slots.get((int) token);
        if (registration == null || registration.token != token) {
            return 0; // cancelled by a handler that ran earlier in this turn
        }
        count(events);
        servingFd.setOpaque(registration.fd);
        doing.setOpaque("serving");
        try {
            registration.handler.ready(ready);
        } catch (Throwable t) {
            failed("handler of fd " + registration.fd, t);
            end(registration, t);
        }
        return 1;
    }

    private int runTasks() {
        if (!wakeWanted) {
            return 0;
        }
        wakeWanted = false;
        // Only as many as wait now: a task that posts another must not keep the loop from its fds.
        int waiting = tasks.size();
        for (int i = 0; i < waiting; i++) {
            Runnable task = tasks.poll();
            if (task == null) {
                return i;
            }
            doing.setOpaque("running a task");
            count(tasksRun);
            try {
                task.run();
            } catch (Throwable t) {
                failed("task", t);
            }
        }
        return waiting;
    }

    private int runTimers() {
        int work = 0;
        if (timers.isEmpty()) {
            return work;
        }
        // Timers set by these timers run next turn, or one that sets itself again would never end.
        long sequenceLimit = timerSequence;
        long now = nanoTime.getAsLong();
        while (true) {
            Timer next = timers.peek();
            if (next == null || next.deadlineNanos - now > 0 || next.sequence >= sequenceLimit) {
                return work;
            }
            timers.remove();
            doing.setOpaque("running a timer");
            count(timersRun);
            work++;
            try {
                next.task.run();
            } catch (Throwable t) {
                failed("timer", t);
            }
        }
    }

    private int poll() {
        if (!polled.hasPending()) {
            return 0;
        }
        doing.setOpaque("polling");
        try {
            return polled.poll();
        } catch (Throwable t) {
            failed("what is polled", t);
            return 1;
        }
    }

    private void failed(String what, Throwable cause) {
        count(failures);
        StringWriter text = new StringWriter();
        cause.printStackTrace(new PrintWriter(text));
        lastFailure = what + ": " + text;
        LOG.log(System.Logger.Level.ERROR, () -> "loop " + name + ", " + what + " failed", cause);
    }

    private synchronized void release() {
        if (!released) {
            released = true;
            stopping = true;
            tasks.clear();
            wake.close();
            epoll.close();
        }
    }

    /**
     * Ends the loop after its current turn and waits for that, five seconds at most: a loop that
     * hangs must not keep the process from ending. Tasks that have not started are dropped. On the
     * loop thread it only asks for the end.
     */
    @Override
    public void close() {
        stopping = true;
        Thread owner;
        synchronized (this) {
            owner = thread;
            if (!released) {
                wake.signal();
            }
        }
        if (owner == null) {
            release();
        } else if (!isLoopThread()
                && !awaitUninterruptibly(finished, TimeUnit.SECONDS.toNanos(CLOSE_SECONDS))) {
            LOG.log(System.Logger.Level.ERROR, () -> "loop does not end\n" + dump());
        }
    }

    /**
     * True if the loop has ended because of a failure of its own; what it served has been ended
     * with it. Any thread.
     */
    public boolean hasFailed() {
        return hasFailed;
    }

    /** True if nothing runs on the loop any more, or never has. Any thread. */
    public boolean isOver() {
        return thread == null || finished.getCount() == 0;
    }

    /** Calls that failed since the start: handlers, tasks, timers. */
    public long failures() {
        return failures.get();
    }

    /** What it has done so far. Any thread. */
    public LoopCounts counts() {
        return new LoopCounts(
                turns.get(),
                waits.get(),
                sleeps.get(),
                events.get(),
                tasksRun.get(),
                signals.get(),
                timersRun.get(),
                looks.looks(),
                looks.finds(),
                looks.rests(),
                looks.crowded(),
                niceness);
    }

    /** What the loop does now and has done, for a person who wonders why nothing moves. */
    public String dump() {
        StringBuilder text = new StringBuilder(512);
        text.append("loop ").append(name).append(": ").append(doing);
        text.append(" (fd ").append(servingFd).append(")\n");
        text.append("  turns ").append(turns).append(", events ").append(events);
        text.append(", tasks ").append(tasksRun).append(" run and ").append(tasks.size());
        text.append(" waiting, timers ").append(timersRun).append(" run and ");
        text.append(timers.size()).append(" waiting\n");
        text.append("  waits ").append(polled.hasPending() ? "pending" : "quiet");
        text.append(", failures ").append(failures).append(", last: ").append(lastFailure);
        text.append('\n');
        Thread owner = thread;
        if (owner != null) {
            text.append("  thread ").append(owner.getState()).append('\n');
            for (StackTraceElement frame : owner.getStackTrace()) {
                text.append("    at ").append(frame).append('\n');
            }
        }
        return text.toString();
    }
}
