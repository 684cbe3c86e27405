// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a virtqueue, whatever its {@linkplain RingFormat format}. It moves chains
 * and knows nothing of their contents. What the formats have in common stands here: when a queue
 * runs, why it no longer does, and how a 16-bit field of a ring is reached.
 *
 * <p>One thread. The caller opens a guarded section of the {@link Dma} around {@link #pop}, {@link
 * #publish}, {@link #shouldInterrupt}, {@link #suppressKicks} and {@link #resumeKicks}; rings are
 * looked up anew in each section, and no pointer into them outlives one. Interrupts are sent by the
 * caller, outside the section, because sending one is a system call.
 *
 * <p>A batch: pop and {@link #push} as often as there is work, then one {@link #publish}, then one
 * {@link #shouldInterrupt}. Pushed chains wait in the device until {@link #publish} succeeds, so a
 * ring in absent memory loses nothing.
 *
 * <p>The driver is not trusted: each rule of the ring that it can break has an answer, {@link
 * Pop#BROKEN} with a {@link BrokenReason}. Nothing is allocated after construction.
 */
// A class and no interface: as long as one format is loaded, its methods are called directly.
public abstract sealed class DeviceQueue permits SplitQueue, PackedQueue {
    /** What a queue does. */
    public enum State {
        /** Nothing: it is not enabled, or the device has not started. */
        STOPPED,
        RUNNING,
        /** Nothing any more; why is {@link #brokenReason}. */
        BROKEN
    }

    final Dma dma;
    private final RingFormat format;
    private final int sizeMax;

    private State state = State.STOPPED;
    private @Nullable String brokenReason;

    /** Number of entries. */
    int size;

    /** What {@link #readU16} has read, beside its outcome. */
    int value;

    DeviceQueue(RingFormat format, Dma dma, int sizeMax) {
        this.format = format;
        this.dma = dma;
        this.sizeMax = sizeMax;
    }

    // --- when it runs

    /**
     * Starts from the beginning of the rings.
     *
     * @param desc address of the descriptor area
     * @param driver address of the driver area
     * @param device address of the device area
     * @param indirect INDIRECT_DESC was negotiated
     * @param eventIdx EVENT_IDX was negotiated
     * @throws IllegalArgumentException if {@link RingFormat#isSize} or {@link RingFormat#isLayout}
     *     is not true
     */
    public final void start(
            int size, long desc, long driver, long device, boolean indirect, boolean eventIdx) {
        if (!format.isSize(size, sizeMax) || !format.isLayout(size, desc, driver, device)) {
            throw new IllegalArgumentException("queue size " + size + " or layout");
        }
        this.size = size;
        become(State.RUNNING, null);
        begin(desc, driver, device, indirect, eventIdx);
    }

    /** A queue of {@link #size} entries starts. */
    abstract void begin(long desc, long driver, long device, boolean indirect, boolean eventIdx);

    /**
     * Goes on where another queue was, or where somebody has kept that it was. After {@link #start}
     * with that one's arguments.
     *
     * @throws IllegalArgumentException if the state is one of another format, or not {@linkplain
     *     RingState#isPossible possible} for the size; nothing has changed then
     */
    public final void restore(RingState saved) {
        if (!saved.isPossible(size)) {
            throw new IllegalArgumentException("no state of a queue of size " + size);
        }
        // One that does not run is nowhere in its rings.
        if (saved.state() == State.RUNNING) {
            goOn(saved);
        }
        become(saved.state(), saved.brokenReason().isEmpty() ? null : saved.brokenReason());
    }

    /** Goes on from there. */
    abstract void goOn(RingState saved);

    /**
     * Writes down there which chains are out, and takes those that already are before any other: as
     * somebody has left them who went on from here. After {@link #start} and {@link #restore},
     * before anything is taken; until {@link #stop}.
     *
     * @throws IllegalArgumentException if it is a log of another format, or for fewer entries
     */
    public abstract void log(ChainLog log);

    /** False while its {@linkplain #log log} has chains that are to be taken. */
    public abstract boolean isSettled();

    /**
     * Where the queue is. Not between pop and push; of one that is not {@linkplain #isSettled
     * settled} without the chains that only its log knows of.
     */
    public abstract RingState save();

    /** Forgets everything; chains that were not published never will be. Works twice. */
    public final void stop() {
        become(State.STOPPED, null);
        forget();
    }

    /** No chain is out any more. */
    abstract void forget();

    private void become(State next, @Nullable String reason) {
        state = next;
        brokenReason = reason;
    }

    /** True from {@link #start} until {@link #stop}, or until the queue is broken. */
    public final boolean isRunning() {
        return state == State.RUNNING;
    }

    final State state() {
        return state;
    }

    /** Why the queue has stopped, one of {@link BrokenReason}, or null. */
    public final @Nullable String brokenReason() {
        return brokenReason;
    }

    /** Number of entries; 0 before the first start. */
    public final int size() {
        return size;
    }

    // --- chains

    /** Number of chains that were popped and not pushed yet. */
    public abstract int inFlight();

    /** Number of pushed chains that the driver has not been shown yet. */
    public abstract int unpublished();

    /**
     * Takes the next chain. On GOT the chain is filled; on anything else its content is undefined
     * and nothing was taken. EMPTY when stopped.
     *
     * @param chain with room for as many descriptors as the queue has entries
     */
    public abstract Pop pop(Chain chain);

    /**
     * Puts the chain that was popped last back as if it had never been popped; the next {@link
     * #pop} reads it again. For a device that finds a buffer absent before it has acted on the
     * chain.
     *
     * @param chain as {@link #pop} filled it
     */
    public abstract void unpop(Chain chain);

    /**
     * Hands a chain back. The driver sees it after {@link #publish}. Without effect when the queue
     * no longer runs.
     *
     * @param chain as {@link #pop} filled it
     * @param written bytes written to the chain, counted from the start of its writable part
     *     without a gap (2.7.8.2); {@code 0..2^32-1}
     */
    public abstract void push(Chain chain, long written);

    /**
     * Shows the driver all pushed chains at once.
     *
     * @return OK; ABSENT: the ring is not there now, the chains are kept for the next call; FAULT
     *     or REFUSED: the queue is broken ({@link #brokenReason})
     */
    public abstract Outcome publish();

    // --- notifications

    /**
     * Whether the driver wants to be told of what was published since the last call. Ask once per
     * batch, after {@link #publish}.
     */
    public abstract boolean shouldInterrupt();

    /**
     * Advises the driver not to kick: the device is looking at the ring anyway. With EVENT_IDX that
     * takes no write, since the event that is not moved on has the same effect. Kicks may still
     * come.
     */
    public abstract void suppressKicks();

    /**
     * Asks the driver to kick for the next chain, and looks once more. A device that has emptied
     * the ring calls this before it rests, and goes on popping on GOT.
     *
     * @return EMPTY: the next chain will be kicked for; GOT: there is a chain already; otherwise as
     *     for {@link #pop}
     */
    public abstract Pop resumeKicks();

    /** {@link #available}: nothing that could be there, or not yet; {@link #pop} would say what. */
    public static final int UNCLEAR = -1;

    /** {@link #available}: the IOMMU refuses the ring, and nobody has been told of that. */
    public static final int FAULTING = -2;

    /**
     * A number of 16 bits that is another one when the driver has made chains available, or one of
     * the constants above. Has no consequence: the queue is not broken by what is found, because a
     * driver that has not kicked may be in the middle of anything.
     */
    public abstract int available();

    // --- for the formats

    /** Reads a field of a ring without consequence: the field, or one of the constants above. */
    final int peekU16(long address) {
        Outcome outcome = dma.peek(address, Short.BYTES);
        if (outcome != Outcome.OK || !dma.isShort()) {
            return outcome == Outcome.FAULT ? FAULTING : UNCLEAR;
        }
        // Acquire: pairs with the driver's barrier between entry and idx (2.7.13.3.1).
        return dma.loadShort(true);
    }

    /** Reads a field of a ring into {@link #value}. */
    final Outcome readU16(ReadRange part, long at) {
        if (part.isFound()) {
            value = part.u16(at);
            return Outcome.OK;
        }
        return readU16(part.address(at), false);
    }

    /** As {@link #readU16}; later accesses stay behind it. */
    final Outcome readU16Acquire(ReadRange part, long at) {
        if (part.isFound()) {
            value = part.u16Acquire(at);
            return Outcome.OK;
        }
        return readU16(part.address(at), true);
    }

    /** Reads a field of a ring into {@link #value}. */
    final Outcome readU16(long address, boolean acquire) {
        Outcome outcome = dma.resolve(address, Short.BYTES, Access.READ);
        if (outcome != Outcome.OK) {
            return ringFailed(outcome);
        }
        if (!dma.isShort()) {
            broken(BrokenReason.RING_MISALIGNED);
            return Outcome.REFUSED;
        }
        value = dma.loadShort(acquire);
        return Outcome.OK;
    }

    /** Writes a field of a ring. */
    final Outcome writeU16(long address, int number, boolean release) {
        Outcome outcome = dma.resolve(address, Short.BYTES, Access.WRITE);
        if (outcome != Outcome.OK) {
            return ringFailed(outcome);
        }
        if (!dma.isShort()) {
            broken(BrokenReason.RING_MISALIGNED);
            return Outcome.REFUSED;
        }
        dma.storeShort(number, release);
        return Outcome.OK;
    }

    /** Draws the consequence of a failed access to a ring, and returns it unchanged. */
    final Outcome ringFailed(Outcome outcome) {
        switch (outcome) {
            case FAULT -> broken(BrokenReason.RING_FAULTED);
            case REFUSED -> broken(BrokenReason.RING_REFUSED);
            case OK, ABSENT -> {}
        }
        return outcome;
    }

    /** As {@link #ringFailed}, in the terms of {@link #pop}. */
    final Pop failed(Outcome outcome) {
        if (state == State.RUNNING) {
            ringFailed(outcome);
        }
        return switch (outcome) {
            case ABSENT -> Pop.ABSENT;
            case FAULT, REFUSED -> Pop.BROKEN;
            case OK -> throw new IllegalStateException("nothing failed");
        };
    }

    final Pop broken(String reason) {
        become(State.BROKEN, reason);
        return Pop.BROKEN;
    }

    /** What a queue that does not run answers. */
    final Pop notRunning() {
        return switch (state) {
            case BROKEN -> Pop.BROKEN;
            case STOPPED -> Pop.EMPTY;
            case RUNNING -> throw new IllegalStateException("running");
        };
    }
}
