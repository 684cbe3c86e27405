// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.EVENT_DESC;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS_MASK;
import static org.ioasis.spec.PackedRing.EVENT_SIZE;
import static org.ioasis.spec.PackedRing.QUEUE_SIZE_MAX;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_ENABLE;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.ReadRange;
import org.ioasis.spec.PackedRing;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a packed virtqueue (virtio 1.4, 2.8): takes chains from the descriptor ring
 * and writes them back as used into the same. One thread, as {@link DeviceQueue} says.
 *
 * <p>What a chain is called is the driver's business: its id goes back as it came, and nothing here
 * is found by it.
 */
final class PackedQueue extends DeviceQueue {
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    /** Bytes of length and id, which come before the flags. */
    private static final int NAME_BYTES = DESC_FLAGS - DESC_LEN;

    /** The driver may have been told anything about kicks. */
    private static final int UNKNOWN = -1;

    private final DescriptorRing descriptors;

    // Chains that were pushed and not published, oldest first: what their used descriptors say
    // beside the two flags of their position, and how many descriptors they had.
    private final long[] usedFields;
    private final int[] usedDescriptors;
    private int unpublished;

    private @Nullable PackedLog log;

    /** Of the same chains, where the log has them. */
    private final int[] usedEntries;

    /** One used descriptor on its way to the ring. */
    private final MemorySegment element = Arena.ofAuto().allocate(Long.BYTES, Long.BYTES);

    // The part of the ring that was looked up last to be written, in this call of publish().
    private long openFrom;
    private long openTo;

    private final ReadRange driverArea;
    private long deviceArea;
    private boolean eventIdx;

    // Positions: of the next descriptor that is taken, and of the next one that is written.
    private int poppedAt;
    private int publishedAt;

    private int inFlight;

    /** Free-running: tells one available chain from the next. */
    private int popped;

    /** Descriptors that were published since it was last decided whether to interrupt. */
    private int undecided;

    /** The flags that the driver was last told. */
    private int toldFlags;

    /**
     * A stopped queue.
     *
     * @throws IllegalArgumentException if {@code sizeMax} is no size
     */
    PackedQueue(Dma dma, int sizeMax) {
        super(RingFormat.PACKED, dma, sizeMax);
        if (!RingFormat.PACKED.isSize(sizeMax, QUEUE_SIZE_MAX)) {
            throw new IllegalArgumentException("queue size " + sizeMax);
        }
        driverArea = new ReadRange(dma);
        descriptors = new DescriptorRing(dma, sizeMax);
        usedFields = new long[sizeMax];
        usedDescriptors = new int[sizeMax];
        usedEntries = new int[sizeMax];
    }

    @Override
    void begin(long desc, long driver, long device, boolean indirect, boolean eventIdx) {
        descriptors.begin(desc, size(), indirect);
        driverArea.begin(driver, EVENT_SIZE);
        deviceArea = device;
        this.eventIdx = eventIdx;
        forget();
        poppedAt = 0;
        publishedAt = 0;
        toldFlags = UNKNOWN;
    }

    @Override
    public void log(ChainLog newLog) {
        if (!(newLog instanceof PackedLog packed) || packed.limit < size) {
            throw new IllegalArgumentException("no log of this queue");
        }
        if (packed.isNew()) {
            packed.beginNew(publishedAt, size);
        }
        log = packed;
    }

    /** Goes on where the log and the ring say that somebody has ended. GOT if that is done. */
    private Pop follow(PackedLog left) {
        int before = left.usedBefore(size);
        int after = left.usedAfter(size);
        boolean isShown = false;
        if (before >= 0 && before != after) {
            Outcome outcome = readU16Acquire(descriptors.ring(), descriptors.flags(before));
            if (outcome != Outcome.OK) {
                return failed(outcome);
            }
            // What is the driver's again by now was shown as well.
            isShown = !RingPosition.isAvailable(value, before, size);
        }
        int at = isShown ? after : before;
        int out = left.goOn(isShown, at, size);
        if (out < 0) {
            return broken(BrokenReason.LOG_UNFIT);
        }
        publishedAt = at;
        poppedAt = at;
        return Pop.GOT;
    }

    @Override
    void forget() {
        log = null;
        poppedAt = publishedAt;
        inFlight = 0;
        unpublished = 0;
        undecided = 0;
    }

    @Override
    public boolean isSettled() {
        return log == null || log.isSettled();
    }

    @Override
    public RingState save() {
        if (!isRunning()) {
            String reason = brokenReason();
            return PackedState.notRunning(state(), reason == null ? "" : reason);
        }
        List<PackedState.UsedElement> elements = new ArrayList<>();
        for (int i = 0; i < unpublished; i++) {
            long fields = usedFields[i];
            elements.add(
                    new PackedState.UsedElement(
                            PackedFields.id(fields),
                            (int) PackedFields.length(fields),
                            usedDescriptors[i]));
        }
        return new PackedState(
                state(),
                "",
                RingPosition.toBits(poppedAt, size),
                RingPosition.toBits(publishedAt, size),
                inFlight,
                toldFlags == RING_EVENT_FLAGS_DISABLE,
                elements);
    }

    @Override
    void goOn(RingState from) {
        if (!(from instanceof PackedState saved)) {
            throw new IllegalArgumentException("no state of a packed queue");
        }
        poppedAt = RingPosition.ofBits(saved.popped(), size);
        publishedAt = RingPosition.ofBits(saved.published(), size);
        inFlight = saved.inFlight();
        toldFlags = saved.areKicksSuppressed() ? RING_EVENT_FLAGS_DISABLE : UNKNOWN;
        undecided = 0;
        unpublished = 0;
        for (PackedState.UsedElement used : saved.unpublished()) {
            addUsed(used.id(), used.written(), used.descriptors());
        }
    }

    @Override
    public int inFlight() {
        return inFlight;
    }

    @Override
    public int unpublished() {
        return unpublished;
    }

    @Override
    public Pop pop(Chain chain) {
        if (!isRunning()) {
            return notRunning();
        }
        if (chain.limit() < size) {
            throw new IllegalArgumentException("chain for " + chain.limit() + " descriptors");
        }
        PackedLog kept = log;
        if (kept != null) {
            if (!kept.isBegun()) {
                Pop found = follow(kept);
                if (found != Pop.GOT) {
                    return found;
                }
            }
            if (kept.left() > 0) {
                return popAgain(chain, kept);
            }
        }
        // What is published is the driver's again, and nothing else.
        int room = size - RingPosition.distance(publishedAt, poppedAt, size);
        Outcome outcome = Outcome.OK;
        if (descriptors.ring().isInWords()) {
            // Acquire: the flags before the rest, and the descriptors that they give away
            // (2.8.21.1.1).
            long fields = descriptors.fieldsAcquire(poppedAt);
            if (!RingPosition.isAvailable(PackedFields.flags(fields), poppedAt, size)) {
                return Pop.EMPTY;
            }
            descriptors.copyRest(poppedAt, fields);
        } else {
            Pop found = look();
            if (found != Pop.GOT) {
                return found;
            }
            outcome = descriptors.copy(poppedAt);
        }
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        if (room == 0) {
            return broken(BrokenReason.NOT_USED_YET);
        }
        outcome = descriptors.read(chain, poppedAt, room, kept);
        if (outcome != Outcome.OK) {
            return notRead(outcome);
        }
        if (kept != null) {
            chain.entry = kept.take();
            chain.number = kept.number(chain.entry);
        }
        return got(chain);
    }

    private Pop popAgain(Chain chain, PackedLog kept) {
        int entry = kept.next();
        Outcome outcome = descriptors.read(chain, kept, entry);
        if (outcome != Outcome.OK) {
            return notRead(outcome);
        }
        chain.entry = entry;
        chain.number = kept.number(entry);
        kept.taken();
        return got(chain);
    }

    private Pop notRead(Outcome outcome) {
        String rule = descriptors.brokenRule();
        return rule == null ? failed(outcome) : broken(rule);
    }

    private Pop got(Chain chain) {
        poppedAt = RingPosition.after(poppedAt, chain.descriptors(), size);
        inFlight++;
        popped++;
        return Pop.GOT;
    }

    /** GOT if the next descriptor is available. */
    private Pop look() {
        // Acquire: the flags before the descriptors that they give away (2.8.21.1.1).
        Outcome outcome = readU16Acquire(descriptors.ring(), descriptors.flags(poppedAt));
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        return RingPosition.isAvailable(value, poppedAt, size) ? Pop.GOT : Pop.EMPTY;
    }

    @Override
    public void unpop(Chain chain) {
        if (!isRunning()) {
            return;
        }
        if (inFlight == 0) {
            throw new IllegalStateException("no chain to put back");
        }
        poppedAt = RingPosition.before(poppedAt, chain.descriptors(), size);
        inFlight--;
        popped--;
        if (log != null) {
            log.putBack(chain.entry);
        }
    }

    @Override
    public void push(Chain chain, long written) {
        if (!isRunning()) {
            return;
        }
        if (inFlight == 0) {
            throw new IllegalStateException("pushed more chains than were popped");
        }
        inFlight--;
        usedEntries[unpublished] = chain.entry;
        addUsed(chain.head(), written, chain.descriptors());
    }

    private void addUsed(int id, long written, int count) {
        // Without WRITE a length means nothing (2.8.4).
        usedFields[unpublished] =
                PackedFields.of(written, id, written == 0 ? 0 : VIRTQ_DESC_F_WRITE);
        usedDescriptors[unpublished] = count;
        unpublished++;
    }

    @Override
    public Outcome publish() {
        if (!isRunning()) {
            return state() == State.BROKEN ? Outcome.REFUSED : Outcome.OK;
        }
        if (unpublished == 0) {
            return Outcome.OK;
        }
        if (log != null) {
            return publishEach(log);
        }
        // The driver looks at the first one only (2.8.2), and at the others when it has seen that:
        // all are there at once if it is written last.
        openTo = 0;
        int last = lastUnpublished();
        int at = RingPosition.after(publishedAt, usedDescriptors[0], size);
        for (int i = 1; i < unpublished; i++) {
            Outcome outcome = writeUsed(at, usedFields[i], last, false);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            at = RingPosition.after(at, usedDescriptors[i], size);
        }
        // Release: the others and buffers before the flags that give them away.
        Outcome outcome = writeUsed(publishedAt, usedFields[0], publishedAt, true);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        int steps = RingPosition.distance(publishedAt, at, size);
        undecided = Math.min(undecided + steps, 2 * size);
        publishedAt = at;
        unpublished = 0;
        return Outcome.OK;
    }

    /**
     * As {@link #publish}, one after the other: a batch is written from its end, and if the process
     * ended in the middle, the driver would find the rest of it behind the first one that somebody
     * else shows it.
     */
    private Outcome publishEach(PackedLog kept) {
        openTo = 0;
        int last = lastUnpublished();
        Outcome outcome = Outcome.OK;
        int shown = 0;
        while (shown < unpublished) {
            int entry = usedEntries[shown];
            int next = RingPosition.after(publishedAt, usedDescriptors[shown], size);
            kept.showing(entry, next, size);
            outcome = writeUsed(publishedAt, usedFields[shown], last, true);
            if (outcome != Outcome.OK) {
                kept.takeBack(size);
                break;
            }
            kept.shown(entry, next, size);
            undecided = Math.min(undecided + usedDescriptors[shown], 2 * size);
            publishedAt = next;
            shown++;
        }
        unpublished -= shown;
        System.arraycopy(usedFields, shown, usedFields, 0, unpublished);
        System.arraycopy(usedDescriptors, shown, usedDescriptors, 0, unpublished);
        System.arraycopy(usedEntries, shown, usedEntries, 0, unpublished);
        return outcome;
    }

    /** Where the last used descriptor goes of those that wait, of which there are some. */
    private int lastUnpublished() {
        int last = publishedAt;
        for (int i = 1; i < unpublished; i++) {
            last = RingPosition.after(last, usedDescriptors[i - 1], size);
        }
        return last;
    }

    /**
     * Writes a used descriptor, its flags no earlier than the rest of it.
     *
     * @param last position of the last of those that follow, itself included
     */
    private Outcome writeUsed(int at, long fields, int last, boolean release) {
        long used = PackedFields.with(fields, RingPosition.used(at, size));
        long place = place(at);
        if (place < openFrom || place + Long.BYTES > openTo) {
            Outcome outcome = open(place, place(last));
            if (outcome != Outcome.OK) {
                return ringFailed(outcome);
            }
            if (openTo == 0) {
                return writeTorn(descriptors.ring().address(place), used);
            }
        }
        dma.storeLong(place - openFrom, used, release);
        return Outcome.OK;
    }

    /** Where the written half of a descriptor is. */
    private long place(int at) {
        return descriptors.flags(at) - NAME_BYTES;
    }

    /**
     * Looks up the ring from there to the last that is written, or to the ring's end if that comes
     * before; nothing is open if it is torn.
     */
    private Outcome open(long place, long last) {
        openTo = 0;
        long end = last >= place ? last + Long.BYTES : PackedRing.descBytes(size);
        Outcome outcome = dma.resolve(descriptors.ring().address(place), end - place, Access.WRITE);
        if (outcome == Outcome.OK && dma.isLong()) {
            openFrom = place;
            openTo = place + dma.reach();
        }
        return outcome;
    }

    /** One that an IOMMU with a granule of one byte has torn apart. */
    private Outcome writeTorn(long address, long used) {
        element.set(LE64, 0, used);
        Outcome outcome = dma.write(address, element, 0, NAME_BYTES);
        return outcome == Outcome.OK
                ? writeU16(address + NAME_BYTES, PackedFields.flags(used), true)
                : ringFailed(outcome);
    }

    @Override
    public boolean shouldInterrupt() {
        if (!isRunning() || undecided == 0) {
            return false;
        }
        int steps = undecided;
        undecided = 0;
        // What is used must be visible before the driver's wish is read, or both sides wait.
        VarHandle.fullFence();
        // Acquire: the driver writes the flags behind the descriptor that they speak of.
        if (readU16Acquire(driverArea, EVENT_FLAGS) != Outcome.OK) {
            // One notification too many is legal, one too few is a hang.
            return true;
        }
        int flags = value & EVENT_FLAGS_MASK;
        if (flags == RING_EVENT_FLAGS_DESC && eventIdx) {
            return readU16(driverArea, EVENT_DESC) != Outcome.OK
                    || RingPosition.crosses(value, publishedAt, steps, size);
        }
        return flags != RING_EVENT_FLAGS_DISABLE;
    }

    @Override
    public void suppressKicks() {
        if (isRunning() && toldFlags != RING_EVENT_FLAGS_DISABLE) {
            Outcome _ = tell(RING_EVENT_FLAGS_DISABLE);
        }
    }

    /** Writes the flags, after what they speak of. */
    private Outcome tell(int flags) {
        toldFlags = UNKNOWN;
        Outcome outcome = writeU16(deviceArea + EVENT_FLAGS, flags, true);
        if (outcome == Outcome.OK) {
            toldFlags = flags;
        }
        return outcome;
    }

    @Override
    public Pop resumeKicks() {
        if (!isRunning()) {
            return notRunning();
        }
        int wanted = eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
        Outcome outcome = Outcome.OK;
        if (eventIdx) {
            int next = RingPosition.toBits(poppedAt, size);
            outcome = writeU16(deviceArea + EVENT_DESC, next, false);
        }
        if (outcome == Outcome.OK && toldFlags != wanted) {
            outcome = tell(wanted);
        }
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        // The driver marks available and then looks whether to kick; we wrote that and look now.
        VarHandle.fullFence();
        return look();
    }

    @Override
    public int available() {
        if (!isRunning()) {
            return UNCLEAR;
        }
        int flags = peekU16(descriptors.ring().address(descriptors.flags(poppedAt)));
        if (flags < 0) {
            return flags;
        }
        // As pop asks. The position alone comes again after two rounds.
        boolean isThere =
                RingPosition.isAvailable(flags, poppedAt, size)
                        && RingPosition.distance(publishedAt, poppedAt, size) < size;
        return isThere ? popped & 0xffff : UNCLEAR;
    }
}
