// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.SplitRing.AVAIL_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.AVAIL_FLAGS;
import static org.ioasis.spec.SplitRing.AVAIL_IDX;
import static org.ioasis.spec.SplitRing.AVAIL_RING;
import static org.ioasis.spec.SplitRing.QUEUE_SIZE_MAX;
import static org.ioasis.spec.SplitRing.USED_ELEM_ID;
import static org.ioasis.spec.SplitRing.USED_ELEM_LEN;
import static org.ioasis.spec.SplitRing.USED_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.USED_FLAGS;
import static org.ioasis.spec.SplitRing.USED_IDX;
import static org.ioasis.spec.SplitRing.USED_RING;
import static org.ioasis.spec.SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT;
import static org.ioasis.spec.SplitRing.VIRTQ_USED_F_NO_NOTIFY;

import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a split virtqueue (virtio 1.4, 2.7): takes chains from the available ring,
 * gives them back in the used ring. One thread, as {@link DeviceQueue} says.
 */
final class SplitQueue extends DeviceQueue {
    // Where the two halves of an element of the used ring are in the eight bytes that it has.
    private static final int ID_SHIFT = Byte.SIZE * USED_ELEM_ID;
    private static final int LEN_SHIFT = Byte.SIZE * USED_ELEM_LEN;

    /** Where a queue starts that nobody has used yet. */
    private static final SplitState START = SplitState.at(0);

    private final DescriptorTable descriptors;

    /** What the used ring will look like: elements from publishedIdx to pushedIdx are not in it. */
    private final long[] shadow;

    private final ReadRange avail;
    private long used;
    private boolean eventIdx;
    private boolean kicksSuppressed;
    private @Nullable SplitLog log;

    // Free-running. Up to availIdx chains are known to be there: the driver's index is read when
    // these are taken, and not for each.
    private int availIdx;
    private int poppedIdx;
    private int pushedIdx;
    private int publishedIdx;
    private int decidedIdx;

    /**
     * A stopped queue.
     *
     * @throws IllegalArgumentException if {@code sizeMax} is no size
     */
    SplitQueue(Dma dma, int sizeMax) {
        super(RingFormat.SPLIT, dma, sizeMax);
        if (!RingFormat.SPLIT.isSize(sizeMax, QUEUE_SIZE_MAX)) {
            throw new IllegalArgumentException("queue size " + sizeMax);
        }
        avail = new ReadRange(dma);
        descriptors = new DescriptorTable(dma, sizeMax);
        shadow = new long[sizeMax];
    }

    @Override
    void begin(long desc, long driver, long device, boolean indirect, boolean eventIdx) {
        descriptors.begin(desc, size(), indirect);
        avail.begin(driver, SplitRing.availBytes(size()));
        this.used = device;
        this.eventIdx = eventIdx;
        log = null;
        goOn(START);
    }

    @Override
    public void log(ChainLog newLog) {
        if (!(newLog instanceof SplitLog split) || split.limit < size) {
            throw new IllegalArgumentException("no log of this queue");
        }
        if (split.isNew()) {
            split.beginNew(publishedIdx);
        }
        log = split;
    }

    /** Goes on where the log and the used ring say that somebody has ended. GOT if that is done. */
    private Pop follow(SplitLog left) {
        Outcome outcome = readU16(used + USED_IDX, true);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        if (!left.goOn(value, size)) {
            return broken(BrokenReason.LOG_UNFIT);
        }
        publishedIdx = value;
        pushedIdx = publishedIdx;
        decidedIdx = publishedIdx;
        poppedIdx = publishedIdx;
        // Those that are out were there, whatever the ring says in their place by now.
        availIdx = (publishedIdx + left.left()) & 0xffff;
        return Pop.GOT;
    }

    @Override
    void forget() {
        log = null;
        availIdx = publishedIdx;
        poppedIdx = publishedIdx;
        pushedIdx = publishedIdx;
        decidedIdx = publishedIdx;
    }

    @Override
    public boolean isSettled() {
        return log == null || log.isSettled();
    }

    @Override
    public RingState save() {
        if (!isRunning()) {
            String reason = brokenReason();
            return SplitState.notRunning(state(), reason == null ? "" : reason);
        }
        List<SplitState.UsedElement> elements = new ArrayList<>();
        for (int index = publishedIdx; index != pushedIdx; index = RingIndex.after(index)) {
            long element = shadow[slot(index)];
            elements.add(
                    new SplitState.UsedElement(
                            (int) (element >>> ID_SHIFT), (int) (element >>> LEN_SHIFT)));
        }
        return new SplitState(
                state(), "", poppedIdx, pushedIdx, publishedIdx, kicksSuppressed, elements);
    }

    @Override
    void goOn(RingState from) {
        if (!(from instanceof SplitState saved)) {
            throw new IllegalArgumentException("no state of a split queue");
        }
        poppedIdx = saved.poppedIdx();
        availIdx = poppedIdx;
        publishedIdx = saved.publishedIdx();
        decidedIdx = publishedIdx;
        kicksSuppressed = saved.areKicksSuppressed();
        pushedIdx = publishedIdx;
        for (SplitState.UsedElement element : saved.unpublished()) {
            addUsed(element.head(), element.written());
        }
    }

    @Override
    public int inFlight() {
        return RingIndex.distance(pushedIdx, poppedIdx);
    }

    @Override
    public int unpublished() {
        return RingIndex.distance(publishedIdx, pushedIdx);
    }

    @Override
    public Pop pop(Chain chain) {
        if (!isRunning()) {
            return notRunning();
        }
        if (chain.limit() < size) {
            throw new IllegalArgumentException("chain for " + chain.limit() + " descriptors");
        }
        SplitLog kept = log;
        if (kept != null && !kept.isBegun()) {
            Pop found = follow(kept);
            if (found != Pop.GOT) {
                return found;
            }
        }
        if (availIdx == poppedIdx) {
            Pop found = readAvailIdx();
            if (found != Pop.GOT) {
                return found;
            }
        }
        boolean isAgain = kept != null && kept.left() > 0;
        if (kept != null && isAgain) {
            value = kept.next();
        } else {
            Outcome outcome = readU16(avail, AVAIL_RING + (long) AVAIL_ELEM_SIZE * slot(poppedIdx));
            if (outcome != Outcome.OK) {
                return failed(outcome);
            }
        }
        int head = value;
        if (head >= size) {
            return broken(BrokenReason.INDEX_OUT_OF_RANGE);
        }
        Outcome outcome = descriptors.read(chain, head);
        if (outcome != Outcome.OK) {
            String rule = descriptors.brokenRule();
            return rule == null ? failed(outcome) : broken(rule);
        }
        if (kept != null) {
            if (isAgain) {
                kept.taken();
            } else {
                kept.out(head);
            }
            chain.entry = head;
            chain.number = kept.number(head);
        }
        poppedIdx = RingIndex.after(poppedIdx);
        return Pop.GOT;
    }

    /** GOT if there are chains that were not taken yet. */
    private Pop readAvailIdx() {
        // Acquire: pairs with the driver's barrier between entry and idx (2.7.13.3.1).
        Outcome outcome = readU16Acquire(avail, AVAIL_IDX);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        // Counted from what the driver was shown: it cannot reuse what it has not got back, so
        // this also bounds the chains in flight by the queue size.
        int ahead = RingIndex.distance(publishedIdx, value);
        if (ahead > size) {
            return broken(BrokenReason.AVAIL_TOO_FAR);
        }
        if (ahead < RingIndex.distance(publishedIdx, poppedIdx)) {
            return broken(BrokenReason.AVAIL_BACKWARDS);
        }
        availIdx = value;
        return availIdx == poppedIdx ? Pop.EMPTY : Pop.GOT;
    }

    @Override
    public void unpop(Chain chain) {
        if (!isRunning()) {
            return;
        }
        if (inFlight() == 0) {
            throw new IllegalStateException("no chain to put back");
        }
        poppedIdx = RingIndex.before(poppedIdx);
        if (log != null) {
            log.putBack(chain.head());
        }
    }

    @Override
    public void push(Chain chain, long written) {
        if (!isRunning()) {
            return;
        }
        if (inFlight() == 0) {
            throw new IllegalStateException("pushed more chains than were popped");
        }
        addUsed(chain.head(), (int) written);
    }

    private void addUsed(int head, int written) {
        shadow[slot(pushedIdx)] = ((long) head << ID_SHIFT) | ((long) written << LEN_SHIFT);
        pushedIdx = RingIndex.after(pushedIdx);
    }

    @Override
    public Outcome publish() {
        if (!isRunning()) {
            return state() == State.BROKEN ? Outcome.REFUSED : Outcome.OK;
        }
        int left = unpublished();
        if (left == 0) {
            return Outcome.OK;
        }
        int from = slot(publishedIdx);
        while (left > 0) {
            int run = Math.min(left, size - from);
            long at = (long) USED_ELEM_SIZE * from;
            Outcome outcome = dma.writeWords(used + USED_RING + at, shadow, from, run);
            if (outcome != Outcome.OK) {
                return ringFailed(outcome);
            }
            left -= run;
            from = 0;
        }
        SplitLog kept = log;
        if (kept != null) {
            for (int i = publishedIdx; i != pushedIdx; i = RingIndex.after(i)) {
                kept.showing(pushedHead(i));
            }
        }
        // Release: elements and buffers before the index that gives them away (2.7.8.2).
        Outcome outcome = writeU16(used + USED_IDX, pushedIdx, true);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        if (kept != null) {
            for (int i = publishedIdx; i != pushedIdx; i = RingIndex.after(i)) {
                kept.setOut(pushedHead(i), false);
            }
            kept.shown(pushedIdx);
        }
        publishedIdx = pushedIdx;
        return Outcome.OK;
    }

    private int pushedHead(int index) {
        return (int) (shadow[slot(index)] >>> ID_SHIFT) & 0xffff;
    }

    @Override
    public boolean shouldInterrupt() {
        if (!isRunning() || publishedIdx == decidedIdx) {
            return false;
        }
        int from = decidedIdx;
        decidedIdx = publishedIdx;
        // used.idx must be visible before used_event or flags are read, or both sides wait.
        VarHandle.fullFence();
        if (eventIdx) {
            if (readU16(avail, SplitRing.usedEvent(size)) != Outcome.OK) {
                return true;
            }
            return RingIndex.crosses(value, from, publishedIdx);
        }
        if (readU16(avail, AVAIL_FLAGS) != Outcome.OK) {
            // One notification too many is legal (2.7.7.1), one too few is a hang.
            return true;
        }
        return (value & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }

    @Override
    public void suppressKicks() {
        if (isRunning() && !eventIdx && !kicksSuppressed) {
            kicksSuppressed =
                    writeU16(used + USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY, false) == Outcome.OK;
        }
    }

    @Override
    public Pop resumeKicks() {
        if (!isRunning()) {
            return notRunning();
        }
        Outcome outcome = Outcome.OK;
        if (eventIdx) {
            outcome = writeU16(used + SplitRing.availEvent(size), poppedIdx, false);
        } else if (kicksSuppressed) {
            outcome = writeU16(used + USED_FLAGS, 0, false);
            kicksSuppressed = outcome != Outcome.OK;
        }
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        // The driver writes idx and then looks whether to kick; we wrote that and now look at idx.
        VarHandle.fullFence();
        outcome = readU16Acquire(avail, AVAIL_IDX);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        return value == poppedIdx ? Pop.EMPTY : Pop.GOT;
    }

    @Override
    public int available() {
        if (!isRunning()) {
            return UNCLEAR;
        }
        int index = peekU16(avail.address(AVAIL_IDX));
        if (index < 0) {
            return index;
        }
        // As pop asks. A driver that writes the index byte by byte is here in the middle of it.
        int ahead = RingIndex.distance(publishedIdx, index);
        return ahead > size || ahead < RingIndex.distance(publishedIdx, poppedIdx)
                ? UNCLEAR
                : index;
    }

    private int slot(int index) {
        return index & (size - 1);
    }
}
