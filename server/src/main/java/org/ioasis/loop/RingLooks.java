// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import java.util.ArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The rings that a busy loop looks at before it sleeps: which they are, and for how long it goes on
 * without finding anything, which its {@link LookBudget} says. Loop thread, but for the counters.
 */
final class RingLooks {
    /** Rings are looked at for so long before everything else has its turn. */
    private static final long LOOK_NANOS = 20_000;

    private final LongSupplier nanoTime;
    private final LookBudget budget;
    private final BooleanSupplier isElsewhereWanted;
    private final BiConsumer<String, Throwable> failures;

    /** Few: those of devices that are in use. */
    private final ArrayList<Rings> watched = new ArrayList<>();

    /** Whose ring was looked at last. */
    private @Nullable Rings lookedAt;

    private long lastWorkNanos;

    private final AtomicLong looks = new AtomicLong();
    private final AtomicLong finds = new AtomicLong();
    private final AtomicLong rests = new AtomicLong();
    private final AtomicLong crowded = new AtomicLong();

    /**
     * @param nanoTime the loop's clock
     * @param isElsewhereWanted ends a look early: another thread wants something of the loop
     * @param failures told of what failed, and how
     */
    RingLooks(
            IdlePolicy idle,
            LongSupplier nanoTime,
            BooleanSupplier isElsewhereWanted,
            BiConsumer<String, Throwable> failures) {
        this.nanoTime = nanoTime;
        this.isElsewhereWanted = isElsewhereWanted;
        this.failures = failures;
        budget = new LookBudget(idle.lookNanos());
        lastWorkNanos = nanoTime.getAsLong();
    }

    /** True if there is nothing to look at. */
    boolean isEmpty() {
        return watched.isEmpty();
    }

    /** The loop has had something to do: looking pays for a while. */
    void worked() {
        if (budget.isPossible()) {
            lastWorkNanos = nanoTime.getAsLong();
        }
    }

    /** The loop may sleep now; what {@link #slept} is to be given. */
    long sleeps() {
        return budget.isPossible() ? nanoTime.getAsLong() : 0;
    }

    /**
     * The loop is awake again.
     *
     * @param begin what {@link #sleeps} has said
     */
    void slept(long begin) {
        if (budget.isPossible()) {
            budget.slept(nanoTime.getAsLong() - begin);
        }
    }

    /** {@link EventLoop#watch}. */
    boolean watch(Rings rings) {
        if (!budget.isPossible() || budget.nanos(nanoTime.getAsLong()) == 0) {
            return false;
        }
        if (!watched.contains(rings)) {
            watched.add(rings);
        }
        return true;
    }

    /**
     * Looks at rings for a moment, and lets them rest when it has been looked for long enough. True
     * if the loop is not to wait. What is thrown is caught around all of it and not around one
     * device: the JVM may raise an error of an access after the call that made it.
     */
    boolean look() {
        try {
            if (lookForAWhile()) {
                return true;
            }
            rest();
            return false;
        } catch (Throwable t) {
            Rings guilty = lookedAt;
            if (!(t instanceof InternalError)) {
                failures.accept("look at rings", t);
            }
            if (guilty != null) {
                watched.remove(guilty);
                try {
                    guilty.failed(t);
                } catch (Throwable again) {
                    failures.accept("end of what has rings", again);
                }
            }
            return true;
        } finally {
            lookedAt = null;
        }
    }

    /** Until there is something else that wants a turn. False if that was for long enough. */
    private boolean lookForAWhile() {
        long begin = nanoTime.getAsLong();
        long now = begin;
        long limit = budget.nanos(now);
        boolean hasFound = false;
        while (now - lastWorkNanos < limit) {
            EventLoop.count(looks);
            if (lookOnce()) {
                hasFound = true;
                lastWorkNanos = nanoTime.getAsLong();
            }
            if (isElsewhereWanted.getAsBoolean()) {
                return true;
            }
            now = nanoTime.getAsLong();
            if (now - begin >= LOOK_NANOS) {
                return hasFound || offerProcessor(now);
            }
            Thread.onSpinWait();
        }
        return false;
    }

    /** Somebody else may run, of those who wait for our processor. False if that took long. */
    @SuppressWarnings("ThreadPriorityCheck") // how the scheduler takes it is what is asked
    private boolean offerProcessor(long begin) {
        Thread.yield();
        long now = nanoTime.getAsLong();
        if (budget.offered(now, now - begin)) {
            EventLoop.count(crowded);
            return false;
        }
        return true;
    }

    /** One look at each, and what is found is done. True if there was something. */
    private boolean lookOnce() {
        boolean hasFound = false;
        for (int i = 0; i < watched.size(); i++) {
            Rings rings = watched.get(i);
            lookedAt = rings;
            if (rings.look()) {
                EventLoop.count(finds);
                hasFound = true;
            }
        }
        return hasFound;
    }

    /** Everything that is looked at is kicked for again, and was looked at after that. */
    private void rest() {
        EventLoop.count(rests);
        // From behind, and first taken out: one that throws is not asked again.
        while (!watched.isEmpty()) {
            Rings rings = watched.removeLast();
            lookedAt = rings;
            if (rings.rest()) {
                lastWorkNanos = nanoTime.getAsLong();
            }
        }
    }

    /** Looks so far. Any thread, as the others below. */
    long looks() {
        return looks.get();
    }

    long finds() {
        return finds.get();
    }

    long rests() {
        return rests.get();
    }

    long crowded() {
        return crowded.get();
    }
}
