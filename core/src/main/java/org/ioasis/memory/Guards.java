// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Says when memory that a device could reach is out of its reach. An UNMAP must not be answered
 * while some thread still copies to or from what was unmapped, though that thread looked the
 * address up without a lock. The literature calls the wait a grace period, and this way to find its
 * end epoch-based reclamation. It is the same for UNMAP, DETACH, reset and the removal of memory,
 * and this is the one place that knows it, for one machine.
 *
 * <p>Whoever accesses memory says so before the look-up. Either it is in a guarded section, which
 * lasts microseconds: its {@link Guard} is a slot that says whether a section is open, and the how
 * manieth. Or it has a {@link Lease}, which lasts for a system call and has a deadline.
 *
 * <p>Whoever takes something away
 *
 * <ol>
 *   <li>makes it unfindable: it clears the mapping;
 *   <li>calls {@link #await}, which begins a new epoch, issues a full fence and reads all slots;
 *   <li>is told, by {@link Quiescence#quiescent}, when no section is open that was open then, and
 *       no lease on the range is left. Only then it answers.
 * </ol>
 *
 * <p>A section that begins after the first step finds nothing to use; one that began before is in
 * its slot. {@link #await} says why the fence makes that so.
 *
 * <p>Nothing here blocks, but for {@link #awaitNow}: what is not over at once is looked at again in
 * {@link #poll}. With one thread serving a machine no section is open while a request is handled,
 * so nearly everything is over at once.
 *
 * <p>{@link #await}, {@link #cancel} and {@link #poll} belong to the machine's loop thread; {@link
 * #open} is for any, and each guard for the thread that opened it.
 */
public final class Guards {
    /** More leases than this at a time are refused: each costs the VMM's UNMAPs a look. */
    public static final int LEASE_LIMIT = 1024;

    private static final VarHandle EPOCH;

    static {
        try {
            EPOCH = MethodHandles.lookup().findVarHandle(Guards.class, "epoch", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final LongSupplier nanoClock;
    private final Consumer<PinnedLease> unrevocable;
    private final LeaseTable leases = new LeaseTable(LEASE_LIMIT);
    private final ArrayList<Quiescence> waiting = new ArrayList<>();
    // A list through the guards themselves, which are padded: what is read with every UNMAP must
    // not share a cache line with what a reader writes.
    private volatile @Nullable Guard guards;

    private volatile long epoch = 1;

    private volatile @Nullable Thread owner;

    /**
     * @param nanoClock the machine's clock, for the deadlines of leases
     * @param unrevocable told, once for each, of a lease that must be taken back and cannot be,
     *     because a running system call uses it: closes the session it belongs to, loudly. What
     *     waits for it (an UNMAP, say) stays unanswered.
     */
    public Guards(LongSupplier nanoClock, Consumer<PinnedLease> unrevocable) {
        this.nanoClock = nanoClock;
        this.unrevocable = unrevocable;
    }

    /** From now on the calling thread is the machine's loop, for {@link #isOwnThread}. */
    public void claim() {
        owner = Thread.currentThread();
    }

    /**
     * For assertions of what belongs to the loop thread: true on it, and on any thread before there
     * is one and after it has ended, when a machine is put together or taken apart.
     */
    public boolean isOwnThread() {
        Thread loop = owner;
        return loop == null || loop.equals(Thread.currentThread()) || !loop.isAlive();
    }

    /**
     * A new slot, for one thread. Threads are few and live as long as the machine; there is no way
     * back.
     */
    public synchronized Guard open() {
        Guard guard = new Guard(guards);
        guards = guard;
        return guard;
    }

    /**
     * The epoch that goes on. Who reads it and then the state sees all that was taken away before
     * it began. Any thread.
     */
    long epoch() {
        return epoch;
    }

    LeaseTable leases() {
        return leases;
    }

    /** The machine's clock, in nanoseconds. Any thread. */
    public long now() {
        return nanoClock.getAsLong();
    }

    /** Leases that are out now. */
    public int leaseCount() {
        return leases.size();
    }

    /**
     * Runs {@code change.quiescent()} when every access that may still use what the caller has just
     * taken away is over; at once, if none is running.
     *
     * <p>The handshake: the caller has cleared the old state; then a full fence; then the slots are
     * read. A reader stores its slot with a fence before it loads any state. So either the reader's
     * slot is seen here, or the reader sees the cleared state. Without the fence the slot read
     * could come first and a stale access go unnoticed.
     */
    public void await(Quiescence change) {
        await(change, nextEpoch());
    }

    /**
     * As {@link #await(Quiescence)} for one of several changes that were all made before an epoch
     * that has begun since: they share its fence.
     *
     * @param epoch from {@link #nextEpoch}
     */
    public void await(Quiescence change, long epoch) {
        assert isOwnThread();
        if (change.isWaiting) {
            throw new IllegalStateException("waits already");
        }
        change.epoch = epoch;
        if (isQuiescent(change)) {
            change.quiescent();
        } else {
            change.isWaiting = true;
            waiting.add(change);
        }
    }

    /**
     * True if no access at all is running that may still use what was taken away before the epoch:
     * one look at the slots for as many changes as there were. If false, {@link #await(Quiescence,
     * long)} knows which of them must wait.
     */
    public boolean isQuiet(long epoch) {
        // Leases after slots: who has left a section has entered its lease before.
        return areSectionsPast(epoch) && leases.size() == 0;
    }

    /**
     * As {@link #await}, but quiescent when it returns: for a reset, whose answer cannot come
     * later. Waits for sections on other threads, which last microseconds and cannot block; takes
     * leases back. Does not wait for a lease that cannot be taken back, which could be for as long
     * as a disk hangs: {@code unrevocable} hears of it. Not inside a section of the same thread.
     */
    public void awaitNow(Quiescence change) {
        if (change.isWaiting) {
            throw new IllegalStateException("waits already");
        }
        change.epoch = nextEpoch();
        while (!areSectionsPast(change.epoch)) {
            Thread.onSpinWait();
        }
        leases.takeBack(change, unrevocable);
        change.quiescent();
    }

    /** Gives up waiting: {@code change} will not hear. Without effect if it does not wait. */
    public void cancel(Quiescence change) {
        assert isOwnThread();
        if (change.isWaiting) {
            change.isWaiting = false;
            waiting.remove(change);
        }
    }

    /** How many changes wait. */
    public int waitingCount() {
        return waiting.size();
    }

    /** Begins an epoch, whose fence is behind all that the caller has taken away. Loop thread. */
    public long nextEpoch() {
        long next = epoch + 1;
        // Who reads the new epoch sees what was cleared before it; so one fence, after it, will do.
        EPOCH.setRelease(this, next);
        VarHandle.fullFence();
        return next;
    }

    /** True while something waits; the loop then calls {@link #poll} within a millisecond. */
    public boolean hasPending() {
        return !waiting.isEmpty();
    }

    /**
     * Lets go what has become quiescent; takes back leases whose deadline has passed. Returns how
     * many were let go.
     */
    public int poll() {
        assert isOwnThread();
        if (waiting.isEmpty()) {
            return 0;
        }
        leases.takeBackExpired(now(), unrevocable);
        int done = 0;
        for (int i = 0; i < waiting.size(); ) {
            Quiescence change = waiting.get(i);
            if (!areSectionsPast(change.epoch)) {
                break; // nor, but for a moment, those of the ones behind: their epochs are later
            }
            if (isQuiescent(change)) {
                waiting.remove(i);
                change.isWaiting = false;
                change.quiescent();
                done++;
                i = 0; // quiescent() may have changed the list
            } else {
                i++;
            }
        }
        return done;
    }

    private boolean areSectionsPast(long since) {
        long now = epoch;
        for (Guard guard = guards; guard != null; guard = guard.next()) {
            if (!guard.isPast(since, now)) {
                return false;
            }
        }
        return true;
    }

    private boolean isQuiescent(Quiescence change) {
        if (!areSectionsPast(change.epoch)) {
            return false;
        }
        if (change.takesBack()) {
            leases.takeBack(change, unrevocable);
        }
        return !leases.holds(change);
    }
}
