// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

/**
 * For how long a loop goes on looking before it sleeps, by what it has seen so far. A sleep that
 * was shorter than the limit would have been better spent looking: the budget is doubled. A longer
 * one was right: it is halved, so that a guest that is idle is looked at for nothing a few times
 * and then no more. When another thread has wanted the processor, which shows in how long it takes
 * to offer it, nothing is looked at for a while: who would run in our place may be the processor
 * that we serve. That while is short at first, because a single time may have been a thread that
 * does our own I/O, and twice as long each time after that; it becomes shorter again by each offer
 * that nobody takes.
 *
 * <p>Loop thread. Knows no clock.
 */
final class LookBudget {
    /** Where it begins to be worth it: two or three requests and their answers. */
    private static final long LEAST_NANOS = 20_000;

    /**
     * A thread that only runs for a moment, such as a VMM's that passes on an interrupt, takes
     * less.
     */
    static final long CROWDED_NANOS = 200_000;

    private static final long SHORTEST_PAUSE_NANOS = 500_000;

    /** As long as two slices of Linux's scheduler. */
    private static final long LONGEST_PAUSE_NANOS = 5_000_000;

    /** Offers that nobody takes until a long pause is a short one again: some sixty. */
    private static final int DECAY_SHIFT = 4;

    private final long limitNanos;
    private long budget;
    private boolean isPausing;
    private long pausedUntil;
    private long pause = SHORTEST_PAUSE_NANOS;

    LookBudget(long limitNanos) {
        this.limitNanos = limitNanos;
    }

    /** Whether it may ever be looked. */
    boolean isPossible() {
        return limitNanos > 0;
    }

    /** How long it may be looked at {@code now}, after the last work. */
    long nanos(long now) {
        if (isPausing) {
            if (now - pausedUntil < 0) {
                return 0;
            }
            isPausing = false;
        }
        return budget;
    }

    /** The loop has slept. */
    void slept(long nanos) {
        if (nanos <= limitNanos) {
            budget = Math.min(limitNanos, Math.max(LEAST_NANOS, 2 * budget));
        } else {
            budget = budget <= LEAST_NANOS ? 0 : budget / 2;
        }
    }

    /** The processor was offered, and came back after {@code nanos}. True if that was long. */
    boolean offered(long now, long nanos) {
        if (nanos < CROWDED_NANOS) {
            pause = Math.max(SHORTEST_PAUSE_NANOS, pause - (pause >> DECAY_SHIFT));
            return false;
        }
        isPausing = true;
        pausedUntil = now + pause;
        pause = Math.min(LONGEST_PAUSE_NANOS, 2 * pause);
        return true;
    }
}
