// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.Arrays;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.BrokenReason;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.Pop;
import org.jspecify.annotations.Nullable;

/**
 * How every device works: takes chains from its queues in guarded sections, one of each queue in
 * turn, gives them back together, and notifies the driver when the section is over. What it does
 * with one chain is the subclass's part ({@link #advance}).
 *
 * <p>A turn is a number of sections in a row, and between them what cannot be done in one ({@link
 * Step#OUTSIDE}). Both are bounded: a section, because an UNMAP waits for its end, and a turn,
 * because a ring that never gets empty must not keep the loop from its other work. What is left is
 * done in a turn of its own, for which one task waits at most.
 *
 * <p>Memory that is absent is no error: a job that comes to it is kept, and the device says so to
 * its frame, which limits the time.
 *
 * <p>A reset, of the device or of one queue, is over at once. Jobs that are outside then belong to
 * an earlier life of their queue ({@link #isStale}): they are dropped when they come back.
 *
 * <p>Device's thread for all methods, except {@link #later}, {@link #post}, {@link #isStale} and
 * {@link #counters}, which are for any. Nothing is allocated once the lists have had all jobs in
 * them.
 *
 * @param <J> the device's own kind of job
 */
public abstract class DeviceWork<J extends Job<J>> {
    /** What a guarded section may cost before it ends: about a byte that is copied each. */
    public static final long SECTION_COST = 256 << 10;

    /** What each look at a chain costs beside what is copied. */
    public static final long CHAIN_COST = 1 << 10;

    /** Sections in a row before the rest of the loop gets its turn. */
    public static final int SECTION_LIMIT = 16;

    private final PostedTask turn;

    /** Jobs that are back, last one first; pushed by any thread, taken whole by the device's. */
    private final AtomicReference<@Nullable J> returned = new AtomicReference<>();

    private final JobList<J> ready = new JobList<>();
    private final JobList<J> kept = new JobList<>();
    private final JobList<J> leaving = new JobList<>();

    private final Count keptAbsent = new Count();
    private final Count faults = new Count();
    private final Count refusals = new Count();
    private final Count ringFaults = new Count();
    private final Count dropped = new Count();
    private final Count putOff = new Count();

    // One for each queue.
    private final boolean[] isAbsent;
    private final boolean[] wantsInterrupt;
    private final boolean[] isDrained;

    /** No chain of it is taken, because its transport takes it back. */
    private final boolean[] isHeld;

    private final @Nullable Runnable[] whenIdle;
    private int held;

    /** Jobs outside that belong to the queue's present life. */
    private final int[] outside;

    /** Counts resets. */
    private final AtomicIntegerArray lives;

    /** Jobs outside that belong to an earlier life. */
    private int stale;

    private @Nullable VirtioDevice device;
    private int queues;

    /** Whose turn it is. */
    private int nextQueue;

    /** What is left of the section's cost. */
    private long budget;

    /** Something that waited for memory has gone on. */
    private boolean hasMoved;

    private boolean isWorking;

    /** In no list, because the device has it: lost if memory vanishes under it, but for this. */
    private @Nullable J current;

    private @Nullable Thread thread;

    /**
     * @param queueCount queues of the device
     * @param deviceThread runs tasks later on the device's thread; never at once inside {@code
     *     execute}
     */
    @SuppressWarnings("this-escape") // the task is run by a later event, and now() is final
    protected DeviceWork(int queueCount, Executor deviceThread) {
        turn = new PostedTask(deviceThread, this::now);
        isAbsent = new boolean[queueCount];
        wantsInterrupt = new boolean[queueCount];
        isDrained = new boolean[queueCount];
        isHeld = new boolean[queueCount];
        whenIdle = new Runnable[queueCount];
        outside = new int[queueCount];
        lives = new AtomicIntegerArray(queueCount);
    }

    /** What became of the work so far. Any thread. */
    public final WorkCounters counters() {
        return new WorkCounters(
                keptAbsent.read(),
                faults.read(),
                refusals.read(),
                ringFaults.read(),
                dropped.read(),
                putOff.read(),
                turn.refused());
    }

    // --- when there is something to do

    /**
     * The driver has set DRIVER_OK. A {@link #kick} for each queue follows, so that buffers made
     * available earlier need no kick of their own.
     *
     * @param activeQueues how many queues are looked at, from the first one on
     */
    final void start(VirtioDevice running, int activeQueues) {
        device = running;
        queues = activeQueues;
        thread = null;
    }

    /** Buffers may be available; also when there are none. Only for running queues. */
    final void kick(int queue) {
        kicked(queue);
        now();
    }

    /** Something may be done: does it, or what of it one turn may do. */
    final void now() {
        assert isDeviceThread();
        assert !isWorking : "a turn within a turn";
        if (thread == null) {
            thread = Thread.currentThread();
        }
        boolean _ = turn.takeOwed(); // it is done now
        takeReturned();
        VirtioDevice running = device;
        if (running == null) {
            return;
        }
        if (running.isRunning()) {
            turn(running);
        }
        if (held > 0) {
            tellIdle(running);
        }
    }

    private void turn(VirtioDevice running) {
        isWorking = true;
        try {
            sections(running);
        } finally {
            isWorking = false;
        }
        for (int q = 0; q < queues; q++) {
            if (wantsInterrupt[q]) {
                wantsInterrupt[q] = false;
                running.interrupt(q);
            }
        }
        settle(running);
    }

    /**
     * Takes no chain of the queue any more, but for those that its log has.
     *
     * @param told runs, perhaps at once, when the driver has got back all that were taken, or will
     *     get none because the device is broken; not after a reset. What the log has that cannot be
     *     taken now is not waited for: it stays there.
     */
    final void hold(int queue, Runnable told) {
        isHeld[queue] = true;
        whenIdle[queue] = told;
        held++;
        now();
    }

    private void tellIdle(VirtioDevice running) {
        for (int q = 0; q < queues; q++) {
            Runnable told = whenIdle[q];
            DeviceQueue queue = running.queue(q);
            boolean isIdle =
                    queue.inFlight() == 0
                            && queue.unpublished() == 0
                            && (queue.isSettled() || isStuck(q));
            if (told != null && (isIdle || !queue.isRunning() || !running.isRunning())) {
                forgetHold(q);
                told.run();
            }
        }
    }

    /** No chain of it can be taken now, and no job that is outside would change that. */
    private boolean isStuck(int queue) {
        return isAbsent[queue] || (isDrained[queue] && !hasOutside());
    }

    private boolean hasOutside() {
        for (int count : outside) {
            if (count > 0) {
                return true;
            }
        }
        return stale > 0;
    }

    private void forgetHold(int queue) {
        if (isHeld[queue]) {
            isHeld[queue] = false;
            whenIdle[queue] = null;
            held--;
        }
    }

    /** As {@link #now}, in a turn of its own. Any thread. */
    public final void later() {
        turn.post();
    }

    /** Memory has come or gone: what was kept is tried again. */
    final void memoryChanged() {
        for (J job = kept.poll(); job != null; job = kept.poll()) {
            ready.add(job);
        }
        now();
    }

    /** True while something is to be done when time has passed: {@link #timed} is called. */
    protected boolean isTimed() {
        return false;
    }

    /** Some time has passed. Outside of sections. */
    protected void timed() {}

    /** True if something that {@link #later} could not post is still to be done, or is timed. */
    final boolean needsTick() {
        return turn.isOwed() || isTimed();
    }

    /** Time has passed: does what {@link #later} could not post, and looks at what is timed. */
    final void tick() {
        if (turn.takeOwed()) {
            now();
        }
        if (isTimed()) {
            timed();
        }
    }

    /** Drops everything at once: after this call nothing that began before touches guest memory. */
    final void reset() {
        device = null;
        for (int q = 0; q < outside.length; q++) {
            resetQueue(q);
        }
        nextQueue = 0;
        hasMoved = false;
    }

    /** Drops everything of one queue at once. */
    final void resetQueue(int queue) {
        lives.incrementAndGet(queue);
        stale += outside[queue];
        outside[queue] = 0;
        isAbsent[queue] = false;
        wantsInterrupt[queue] = false;
        forgetHold(queue);
        drop(queue, kept);
        drop(queue, ready);
        drop(queue, leaving);
        J lost = current;
        if (lost != null && lost.queue() == queue) {
            current = null;
            drop(lost);
        }
        VirtioDevice running = device;
        if (running != null) {
            settle(running);
        }
    }

    private void drop(int queue, JobList<J> list) {
        J following = list.takeAll();
        while (following != null) {
            J job = following;
            following = job.next;
            if (job.queue() == queue) {
                drop(job);
            } else {
                list.add(job);
            }
        }
    }

    private void drop(J job) {
        dropped.increment();
        release(job);
    }

    // --- jobs that come back

    /** A job that was outside can go on: in this turn, or in one of its own if there is none. */
    public final void resume(J job) {
        assert isDeviceThread();
        // A stale one has nothing to do now, but the room that it leaves may be waited for.
        boolean hasGoneOn = goOn(job);
        if (!hasGoneOn || !isWorking) {
            later();
        }
    }

    /** A job that was outside can go on. Any thread. */
    public final void post(J job) {
        J before;
        do {
            before = returned.get();
            job.next = before;
        } while (!returned.compareAndSet(before, job));
        later();
    }

    /** True if the driver that waits for the job is gone, and with it the need to do it. */
    public final boolean isStale(J job) {
        return job.life() != lives.get(job.queue());
    }

    // --- the subclass's part

    /**
     * A job that can take a chain of {@code queue}, or null if the device wants none of it now,
     * because all its jobs are in use or there is nothing to answer with. Inside a guarded section.
     */
    protected abstract @Nullable J room(int queue);

    /** A job is over, or was not needed: it can be given out again. */
    protected abstract void release(J job);

    /**
     * Takes a job as far as it goes. Inside a guarded section; what it copies is told to {@link
     * #spend}.
     */
    protected abstract Step advance(J job);

    /**
     * A section has ended: takes all jobs that have come to {@link Step#OUTSIDE} in it, with {@link
     * #takeOutside}, if there are any.
     */
    protected abstract void outside();

    /** The driver has kicked the queue, or has started the device; a turn follows. */
    protected void kicked(int queue) {}

    /** Visits the jobs that are neither outside nor back in the ring. Between turns. */
    protected final void forEachPending(Consumer<? super J> visitor) {
        takeReturned();
        kept.forEach(visitor);
        ready.forEach(visitor);
    }

    /** Goes on with a job of a saved state at the next turn; after the start. */
    protected final void adopt(J job, int queue) {
        job.begin(queue, lives.get(queue));
        ready.add(job);
    }

    /** So much is copied: the section ends when it has cost enough. */
    protected final void spend(long cost) {
        budget -= cost;
    }

    /** Counts an access to a buffer that did not succeed. */
    protected final void count(Outcome outcome) {
        switch (outcome) {
            case FAULT -> faults.increment();
            case REFUSED -> refusals.increment();
            case OK, ABSENT -> {}
        }
    }

    /** Takes a job that has come to {@link Step#OUTSIDE}; null if there is no more. */
    protected final @Nullable J takeOutside() {
        J job = leaving.poll();
        if (job != null) {
            outside[job.queue()]++;
        }
        return job;
    }

    /** Jobs outside that are stale: what they do may still happen. */
    protected final int stale() {
        return stale;
    }

    // --- a turn

    private void takeReturned() {
        // Mostly so, and then no exchange. Volatile: whoever comes later has found that no turn was
        // posted, and has posted one.
        if (returned.get() == null) {
            return;
        }
        J reversed = null;
        J job = returned.getAndSet(null);
        while (job != null) {
            J following = job.next;
            job.next = reversed;
            reversed = job;
            job = following;
        }
        while (reversed != null) {
            J following = reversed.next;
            boolean _ = goOn(reversed);
            reversed = following;
        }
    }

    /** False if nobody waits for it any more. */
    private boolean goOn(J job) {
        int queue = job.queue();
        if (job.life() != lives.getPlain(queue)) {
            stale--;
            drop(job);
            return false;
        }
        outside[queue]--;
        ready.add(job);
        return true;
    }

    private void sections(VirtioDevice running) {
        Dma dma = running.dma();
        int sections = 0;
        boolean hasMore;
        do {
            if (sections == SECTION_LIMIT) {
                putOff.increment();
                later();
                return;
            }
            sections++;
            budget = SECTION_COST;
            dma.enter();
            try {
                hasMore = section(running);
                publish(running);
            } finally {
                dma.leave();
            }
            outside();
            // Some may have come back at once.
            hasMore |= !ready.isEmpty();
        } while (hasMore);
    }

    /** One guarded section; true if it has ended because of its cost. */
    private boolean section(VirtioDevice running) {
        Arrays.fill(isDrained, false);
        // What was taken earlier first: that makes room for more.
        for (J job = ready.poll(); job != null; job = ready.poll()) {
            current = job;
            Step _ = proceed(running, job);
            if (budget <= 0) {
                return true;
            }
        }
        int left = queues;
        while (left > 0) {
            int q = nextQueue;
            // One chain each in turn: a full queue must not keep the others waiting.
            nextQueue = q + 1 == queues ? 0 : q + 1;
            if (isDrained[q]) {
                continue;
            }
            if (!takeOne(running, q)) {
                isDrained[q] = true;
                left--;
            } else if (budget <= 0) {
                return true;
            }
        }
        return false;
    }

    /** Takes a chain of the queue as far as it goes; false if there is none to take now. */
    private boolean takeOne(VirtioDevice running, int q) {
        DeviceQueue queue = running.queue(q);
        if (isHeld[q] && queue.isSettled()) {
            return false;
        }
        J job = room(q);
        if (job == null) {
            return false;
        }
        current = job;
        Pop pop = queue.pop(job.chain());
        if (pop == Pop.GOT) {
            boolean wasAbsent = isAbsent[q];
            isAbsent[q] = false;
            job.begin(q, lives.getPlain(q));
            if (proceed(running, job) == Step.PUT_BACK) {
                // Nothing has moved: kicks do not make the wait longer.
                return false;
            }
            hasMoved |= wasAbsent;
            return true;
        }
        if (pop == Pop.EMPTY && !running.watch().isWatched(q)) {
            // It may have come in between. Looked at again, and paid for: a driver could let the
            // index flicker for as long as it likes.
            pop = queue.resumeKicks();
            spend(CHAIN_COST);
        }
        isAbsent[q] = pop == Pop.ABSENT;
        current = null;
        release(job);
        return pop == Pop.GOT;
    }

    /** Takes the current job as far as it goes. */
    private Step proceed(VirtioDevice running, J job) {
        spend(CHAIN_COST);
        Step step = advance(job);
        if (job.isKept && step != Step.ABSENT) {
            job.isKept = false;
            hasMoved = true;
        }
        if (step == Step.OUTSIDE) {
            leaving.add(job);
        } else if (step == Step.FINISHED) {
            running.queue(job.queue()).push(job.chain(), job.used());
            release(job);
        } else {
            keep(running, job, step);
        }
        current = null;
        return step;
    }

    private void keep(VirtioDevice running, J job, Step step) {
        switch (step) {
            case FINISHED, OUTSIDE -> throw new IllegalStateException("goes on");
            case ABSENT -> {
                job.isKept = true;
                keptAbsent.increment();
                kept.add(job);
            }
            case PUT_BACK -> {
                running.queue(job.queue()).unpop(job.chain());
                isAbsent[job.queue()] = true;
                keptAbsent.increment();
                release(job);
            }
        }
    }

    private void publish(VirtioDevice running) {
        for (int q = 0; q < queues; q++) {
            DeviceQueue queue = running.queue(q);
            // Not OK: absent is retried, the rest is seen in settle.
            if (queue.unpublished() > 0 && queue.publish() == Outcome.OK) {
                wantsInterrupt[q] |= queue.shouldInterrupt();
            }
        }
    }

    /** Tells the frame what the turn has come to. */
    private void settle(VirtioDevice running) {
        if (hasMoved) {
            // The time limit is for a wait in which nothing moves.
            running.waitsForMemory(false);
            hasMoved = false;
        }
        boolean waits = !kept.isEmpty();
        String reason = null;
        for (int q = 0; q < queues; q++) {
            DeviceQueue queue = running.queue(q);
            waits |= isAbsent[q] || queue.unpublished() > 0;
            if (reason == null) {
                reason = queue.brokenReason();
            }
        }
        running.waitsForMemory(waits);
        if (reason != null) {
            if (reason.equals(BrokenReason.RING_FAULTED)) {
                ringFaults.increment();
            }
            running.needsReset(reason);
        }
    }

    /**
     * For assertions: true on the thread of this start's first turn, and on any before it and after
     * that thread has ended.
     */
    final boolean isDeviceThread() {
        Thread turns = thread;
        return turns == null || turns.equals(Thread.currentThread()) || !turns.isAlive();
    }
}
