// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.SplitRing.AVAIL_ALIGN;
import static org.ioasis.spec.SplitRing.AVAIL_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.AVAIL_FLAGS;
import static org.ioasis.spec.SplitRing.AVAIL_IDX;
import static org.ioasis.spec.SplitRing.AVAIL_RING;
import static org.ioasis.spec.SplitRing.CHAIN_BYTES_MAX;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_FLAGS;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_NEXT;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.SplitRing.QUEUE_SIZE_MAX;
import static org.ioasis.spec.SplitRing.USED_ALIGN;
import static org.ioasis.spec.SplitRing.USED_ELEM_ID;
import static org.ioasis.spec.SplitRing.USED_ELEM_LEN;
import static org.ioasis.spec.SplitRing.USED_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.USED_FLAGS;
import static org.ioasis.spec.SplitRing.USED_IDX;
import static org.ioasis.spec.SplitRing.USED_RING;
import static org.ioasis.spec.SplitRing.VIRTQ_AVAIL_F_NO_INTERRUPT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.SplitRing.VIRTQ_DESC_F_WRITE;
import static org.ioasis.spec.SplitRing.VIRTQ_USED_F_NO_NOTIFY;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a split virtqueue (virtio 1.4, 2.7). It moves chains and knows nothing of
 * their contents.
 *
 * <p>One thread. The caller opens a guarded section of the {@link Dma} around {@link #pop}, {@link
 * #publish}, {@link #shouldInterrupt}, {@link #suppressKicks} and {@link #resumeKicks}; rings are
 * resolved anew in each of these calls and no pointer into them outlives a call. Interrupts are
 * sent by the caller, outside the section, because sending one is a system call.
 *
 * <p>A batch: pop and {@link #push} as often as there is work, then one {@link #publish}, then one
 * {@link #shouldInterrupt}. Pushed chains wait in the device until {@link #publish} succeeds, so a
 * used ring in absent memory loses nothing.
 *
 * <p>The driver is not trusted: each rule of the ring that it can break has an answer here, {@link
 * Pop#BROKEN} with one of the reasons below. Nothing is allocated after construction.
 */
public final class SplitQueue {
    /** The available index is further ahead than the queue is long. 2.7.6.1, 2.7.13. */
    public static final String AVAIL_TOO_FAR = "avail.idx is more than the queue size ahead";

    /** The available index has been taken back. 2.7.6.1. */
    public static final String AVAIL_BACKWARDS = "avail.idx went backwards";

    /** A head or {@code next} lies outside its table. */
    public static final String INDEX_OUT_OF_RANGE = "descriptor index out of range";

    /** More descriptors than the queue has entries, which every loop comes to. 2.7.5.3.1. */
    public static final String CHAIN_TOO_LONG = "descriptor chain longer than the queue size";

    /** 2.7.4.2. */
    public static final String READABLE_AFTER_WRITABLE = "device-readable after device-writable";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_NOT_NEGOTIATED = "indirect descriptor not negotiated";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_IN_INDIRECT = "indirect descriptor in an indirect table";

    /** 2.7.5.3.1. */
    public static final String INDIRECT_WITH_NEXT = "indirect descriptor with NEXT";

    /** Not a multiple of 16, nothing, or more entries than the queue. 2.7.5.3. */
    public static final String INDIRECT_LENGTH = "length of an indirect table";

    /** 2.7.5.2. */
    public static final String TOTAL_TOO_LONG = "descriptor chain longer than 2^32 bytes";

    /** A buffer that runs over the end of the address space. */
    public static final String BUFFER_WRAPS = "buffer wraps around the address space";

    /**
     * The IOMMU refused the access to a ring or an indirect table; it has reported the fault.
     * Trying again would only repeat it, and a driver that is being replaced leaves such rings
     * behind.
     */
    public static final String RING_FAULTED = "ring at an address that the IOMMU refuses";

    /** The memory under a ring cannot be accessed as rings are, for example read-only. */
    public static final String RING_REFUSED = "ring in memory that refuses the access";

    /** The memory under a ring index is not aligned as 2.7 asks. */
    public static final String RING_MISALIGNED = "ring index in misaligned memory";

    private static final ValueLayout.OfShort LE16 = JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final int U16_MASK = 0xffff;

    /** What a queue does. */
    public enum State {
        /** Nothing: it is not enabled, or the device has not started. */
        STOPPED,
        RUNNING,
        /** Nothing any more; why is {@link #brokenReason}. */
        BROKEN
    }

    private final Dma dma;
    private final int sizeMax;

    /** Copy of one descriptor, of a whole indirect table, or of one ring entry. */
    private final MemorySegment scratch;

    /** What the used ring will look like: elements from publishedIdx to pushedIdx are not in it. */
    private final MemorySegment shadow;

    private State state = State.STOPPED;
    private @Nullable String brokenReason;
    private int size;
    private long desc;
    private long avail;
    private long used;
    private boolean indirect;
    private boolean eventIdx;
    private boolean kicksSuppressed;

    // Free-running 16-bit indices, kept as 0..65535.
    private int poppedIdx;
    private int pushedIdx;
    private int publishedIdx;
    private int decidedIdx;

    // What readU16 has read, beside its outcome.
    private int value;

    /**
     * A stopped queue.
     *
     * @param sizeMax the largest size that {@link #start} may ask for, a power of two up to 32768
     * @throws IllegalArgumentException if {@code sizeMax} is not
     */
    public SplitQueue(Dma dma, int sizeMax) {
        if (!isSize(sizeMax, QUEUE_SIZE_MAX)) {
            throw new IllegalArgumentException("queue size " + sizeMax);
        }
        this.dma = dma;
        this.sizeMax = sizeMax;
        scratch = Arena.ofAuto().allocate(SplitRing.descBytes(sizeMax), DESC_SIZE);
        shadow = Arena.ofAuto().allocate((long) USED_ELEM_SIZE * sizeMax, USED_ELEM_SIZE);
    }

    /** True if a queue may have {@code size} entries: a power of two, {@code 1..max}. 2.7. */
    public static boolean isSize(int size, int max) {
        return size >= 1 && size <= max && Integer.bitCount(size) == 1;
    }

    /** True if the three parts are aligned (2.7.1) and none runs over the address space's end. */
    public static boolean isLayout(int size, long desc, long driver, long device) {
        return isPlace(desc, SplitRing.descBytes(size), DESC_SIZE)
                && isPlace(driver, SplitRing.availBytes(size), AVAIL_ALIGN)
                && isPlace(device, SplitRing.usedBytes(size), USED_ALIGN);
    }

    private static boolean isPlace(long address, long length, int alignment) {
        return (address & (alignment - 1)) == 0
                && Long.compareUnsigned(address, address + length - 1) <= 0;
    }

    /**
     * Starts from index 0.
     *
     * @param desc address of the descriptor area
     * @param driver address of the driver area (available ring)
     * @param device address of the device area (used ring)
     * @param indirect INDIRECT_DESC was negotiated
     * @param eventIdx EVENT_IDX was negotiated
     * @throws IllegalArgumentException if {@link #isSize} or {@link #isLayout} is not true
     */
    public void start(
            int size, long desc, long driver, long device, boolean indirect, boolean eventIdx) {
        if (!isSize(size, sizeMax) || !isLayout(size, desc, driver, device)) {
            throw new IllegalArgumentException("queue size " + size + " or layout");
        }
        this.size = size;
        this.desc = desc;
        this.avail = driver;
        this.used = device;
        this.indirect = indirect;
        this.eventIdx = eventIdx;
        kicksSuppressed = false;
        poppedIdx = 0;
        pushedIdx = 0;
        publishedIdx = 0;
        decidedIdx = 0;
        brokenReason = null;
        state = State.RUNNING;
    }

    /** Forgets everything; chains that were not published never will be. Works twice. */
    public void stop() {
        state = State.STOPPED;
        brokenReason = null;
        poppedIdx = publishedIdx;
        pushedIdx = publishedIdx;
        decidedIdx = publishedIdx;
    }

    /** What is to be saved of the queue beside its size and addresses. Not between pop and push. */
    public QueueState save() {
        if (state != State.RUNNING) {
            return QueueState.notRunning(state, brokenReason == null ? "" : brokenReason);
        }
        List<QueueState.UsedElement> elements = new ArrayList<>();
        for (int index = publishedIdx; index != pushedIdx; index = after(index)) {
            long at = (long) USED_ELEM_SIZE * slot(index);
            elements.add(
                    new QueueState.UsedElement(
                            shadow.get(LE32, at + USED_ELEM_ID),
                            shadow.get(LE32, at + USED_ELEM_LEN)));
        }
        return new QueueState(
                state, "", poppedIdx, pushedIdx, publishedIdx, kicksSuppressed, elements);
    }

    /**
     * Goes on where another queue was saved. After {@link #start} with the other one's arguments.
     *
     * @param saved {@linkplain QueueState#isPossible possible} for the size
     */
    public void restore(QueueState saved) {
        state = saved.state();
        brokenReason = saved.brokenReason().isEmpty() ? null : saved.brokenReason();
        poppedIdx = saved.poppedIdx();
        publishedIdx = saved.publishedIdx();
        decidedIdx = publishedIdx;
        kicksSuppressed = saved.areKicksSuppressed();
        pushedIdx = publishedIdx;
        for (QueueState.UsedElement element : saved.unpublished()) {
            addUsed(element.head(), element.written());
        }
    }

    /** True from {@link #start} until {@link #stop}, or until the queue is broken. */
    public boolean isRunning() {
        return state == State.RUNNING;
    }

    /** Why the queue has stopped (one of the constants of this class), or null. */
    public @Nullable String brokenReason() {
        return brokenReason;
    }

    /** Number of entries; 0 before the first start. */
    public int size() {
        return size;
    }

    /** Number of chains that were popped and not pushed yet. */
    public int inFlight() {
        return distance(pushedIdx, poppedIdx);
    }

    /** Number of pushed chains that the driver has not been shown yet. */
    public int unpublished() {
        return distance(publishedIdx, pushedIdx);
    }

    /**
     * Takes the next chain. On GOT the chain is filled; on anything else its content is undefined
     * and nothing was taken. EMPTY when stopped.
     *
     * @param chain with room for as many descriptors as the queue has entries
     */
    public Pop pop(Chain chain) {
        if (state != State.RUNNING) {
            return notRunning();
        }
        if (chain.limit() < size) {
            throw new IllegalArgumentException("chain for " + chain.limit() + " descriptors");
        }
        // Acquire: pairs with the driver's barrier between entry and idx (2.7.13.3.1).
        Outcome outcome = readU16(avail + AVAIL_IDX, true);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        int availIdx = value;
        // Counted from what the driver was shown: it cannot reuse what it has not got back, so
        // this also bounds the chains in flight by the queue size.
        int ahead = distance(publishedIdx, availIdx);
        if (ahead > size) {
            return broken(AVAIL_TOO_FAR);
        }
        if (ahead < distance(publishedIdx, poppedIdx)) {
            return broken(AVAIL_BACKWARDS);
        }
        if (availIdx == poppedIdx) {
            return Pop.EMPTY;
        }
        outcome = readU16(avail + AVAIL_RING + (long) AVAIL_ELEM_SIZE * slot(poppedIdx), false);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        int head = value;
        if (head >= size) {
            return broken(INDEX_OUT_OF_RANGE);
        }
        chain.begin(dma);
        chain.head(head);
        Pop walked = walk(chain, head);
        if (walked == Pop.GOT) {
            poppedIdx = after(poppedIdx);
        }
        return walked;
    }

    /**
     * Puts the chain that was popped last back as if it had never been popped; the next {@link
     * #pop} reads it again. For a device that finds a buffer absent before it has acted on the
     * chain.
     */
    public void unpop() {
        if (state != State.RUNNING) {
            return;
        }
        if (inFlight() == 0) {
            throw new IllegalStateException("no chain to put back");
        }
        poppedIdx = (poppedIdx - 1) & U16_MASK;
    }

    private Pop walk(Chain chain, int head) {
        int index = head;
        for (int seen = 1; ; seen++) {
            // Counts every descriptor of the ring, so that a loop ends here at the latest.
            if (seen > size) {
                return broken(CHAIN_TOO_LONG);
            }
            Outcome outcome = dma.read(desc + (long) DESC_SIZE * index, scratch, 0, DESC_SIZE);
            if (outcome != Outcome.OK) {
                return failed(outcome);
            }
            int flags = flags(0);
            int next = nextOf(0);
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                if (!indirect) {
                    return broken(INDIRECT_NOT_NEGOTIATED);
                }
                if ((flags & VIRTQ_DESC_F_NEXT) != 0) {
                    return broken(INDIRECT_WITH_NEXT);
                }
                // WRITE is ignored here (2.7.5.3.2).
                return walkTable(chain, scratch.get(LE64, DESC_ADDR), length(0));
            }
            String reason = add(chain, 0, flags);
            if (reason != null) {
                return broken(reason);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Pop.GOT;
            }
            if (next >= size) {
                return broken(INDEX_OUT_OF_RANGE);
            }
            index = next;
        }
    }

    private Pop walkTable(Chain chain, long address, long bytes) {
        if (bytes == 0 || bytes % DESC_SIZE != 0 || bytes > SplitRing.descBytes(size)) {
            return broken(INDIRECT_LENGTH);
        }
        if (wraps(address, bytes)) {
            return broken(BUFFER_WRAPS);
        }
        Outcome outcome = dma.read(address, scratch, 0, bytes);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        int entries = (int) (bytes / DESC_SIZE);
        int index = 0;
        while (true) {
            long at = (long) DESC_SIZE * index;
            int flags = flags(at);
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                return broken(INDIRECT_IN_INDIRECT);
            }
            if (chain.descriptorCount() == size) {
                return broken(CHAIN_TOO_LONG);
            }
            String reason = add(chain, at, flags);
            if (reason != null) {
                return broken(reason);
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return Pop.GOT;
            }
            index = nextOf(at);
            if (index >= entries) {
                return broken(INDEX_OUT_OF_RANGE);
            }
        }
    }

    /** Adds the descriptor at {@code at} of the scratch copy; returns which rule it breaks. */
    private @Nullable String add(Chain chain, long at, int flags) {
        boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
        if (!writable && chain.hasWritable()) {
            return READABLE_AFTER_WRITABLE;
        }
        long address = scratch.get(LE64, at + DESC_ADDR);
        long length = length(at);
        if (wraps(address, length)) {
            return BUFFER_WRAPS;
        }
        // No overflow: at most 32768 lengths below 2^32 each.
        if (chain.totalLength() + length > CHAIN_BYTES_MAX) {
            return TOTAL_TOO_LONG;
        }
        chain.add(address, length, writable);
        return null;
    }

    private int flags(long at) {
        return Short.toUnsignedInt(scratch.get(LE16, at + DESC_FLAGS));
    }

    private int nextOf(long at) {
        return Short.toUnsignedInt(scratch.get(LE16, at + DESC_NEXT));
    }

    private long length(long at) {
        return Integer.toUnsignedLong(scratch.get(LE32, at + DESC_LEN));
    }

    static boolean wraps(long address, long length) {
        return length > 0 && Long.compareUnsigned(address, address + length - 1) > 0;
    }

    /**
     * Hands a chain back. The driver sees it after {@link #publish}. Without effect when the queue
     * no longer runs.
     *
     * @param chain as {@link #pop} filled it
     * @param written bytes written to the chain, counted from the start of its writable part
     *     without a gap (2.7.8.2); {@code 0..2^32-1}
     */
    public void push(Chain chain, long written) {
        if (state != State.RUNNING) {
            return;
        }
        if (inFlight() == 0) {
            throw new IllegalStateException("pushed more chains than were popped");
        }
        addUsed(chain.head(), (int) written);
    }

    private void addUsed(int head, int written) {
        long at = (long) USED_ELEM_SIZE * slot(pushedIdx);
        shadow.set(LE32, at + USED_ELEM_ID, head);
        shadow.set(LE32, at + USED_ELEM_LEN, written);
        pushedIdx = after(pushedIdx);
    }

    /**
     * Shows the driver all pushed chains at once.
     *
     * @return OK; ABSENT: the used ring is not there now, the chains are kept for the next call;
     *     FAULT or REFUSED: the queue is broken ({@link #brokenReason})
     */
    public Outcome publish() {
        if (state != State.RUNNING) {
            return state == State.BROKEN ? Outcome.REFUSED : Outcome.OK;
        }
        int left = unpublished();
        if (left == 0) {
            return Outcome.OK;
        }
        int from = slot(publishedIdx);
        while (left > 0) {
            int run = Math.min(left, size - from);
            long at = (long) USED_ELEM_SIZE * from;
            Outcome outcome =
                    dma.write(used + USED_RING + at, shadow, at, (long) USED_ELEM_SIZE * run);
            if (outcome != Outcome.OK) {
                return ringFailed(outcome);
            }
            left -= run;
            from = 0;
        }
        // Release: elements and buffers before the index that gives them away (2.7.8.2).
        Outcome outcome = writeU16(used + USED_IDX, pushedIdx, true);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        publishedIdx = pushedIdx;
        return Outcome.OK;
    }

    /**
     * Whether the driver wants to be told of what was published since the last call. Ask once per
     * batch, after {@link #publish}.
     */
    public boolean shouldInterrupt() {
        if (state != State.RUNNING || publishedIdx == decidedIdx) {
            return false;
        }
        int from = decidedIdx;
        decidedIdx = publishedIdx;
        // used.idx must be visible before used_event or flags are read, or both sides wait.
        VarHandle.fullFence();
        if (eventIdx) {
            if (readU16(avail + SplitRing.usedEvent(size), false) != Outcome.OK) {
                return true;
            }
            return crosses(value, from, publishedIdx);
        }
        if (readU16(avail + AVAIL_FLAGS, false) != Outcome.OK) {
            // One notification too many is legal (2.7.7.1), one too few is a hang.
            return true;
        }
        return (value & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }

    /**
     * True if the index went past {@code event} on its way from {@code from} to {@code to}: an
     * entry was written at index {@code event} (2.7.7.2). All free-running 16-bit numbers.
     */
    static boolean crosses(int event, int from, int to) {
        return distance(event, to - 1) < distance(from, to);
    }

    /**
     * Advises the driver not to kick: the device is looking at the ring anyway. With EVENT_IDX that
     * takes no write, since an {@code avail_event} that is not moved on has the same effect. Kicks
     * may still come.
     */
    public void suppressKicks() {
        if (state == State.RUNNING && !eventIdx && !kicksSuppressed) {
            kicksSuppressed =
                    writeU16(used + USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY, false) == Outcome.OK;
        }
    }

    /**
     * Asks the driver to kick for the next chain, and looks once more. A device that has emptied
     * the ring calls this before it rests, and goes on popping on GOT.
     *
     * @return EMPTY: the next chain will be kicked for; GOT: there is a chain already; otherwise as
     *     for {@link #pop}
     */
    public Pop resumeKicks() {
        if (state != State.RUNNING) {
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
        outcome = readU16(avail + AVAIL_IDX, true);
        if (outcome != Outcome.OK) {
            return failed(outcome);
        }
        return value == poppedIdx ? Pop.EMPTY : Pop.GOT;
    }

    /** Reads a ring index into {@link #value}. */
    private Outcome readU16(long address, boolean acquire) {
        Outcome outcome = dma.resolve(address, Short.BYTES, Access.READ);
        if (outcome != Outcome.OK) {
            return ringFailed(outcome);
        }
        if (!dma.isShort()) {
            broken(RING_MISALIGNED);
            return Outcome.REFUSED;
        }
        value = dma.loadShort(acquire);
        return Outcome.OK;
    }

    private Outcome writeU16(long address, int number, boolean release) {
        Outcome outcome = dma.resolve(address, Short.BYTES, Access.WRITE);
        if (outcome != Outcome.OK) {
            return ringFailed(outcome);
        }
        if (!dma.isShort()) {
            broken(RING_MISALIGNED);
            return Outcome.REFUSED;
        }
        dma.storeShort(number, release);
        return Outcome.OK;
    }

    /** Draws the consequence of a failed access to a ring, and returns it unchanged. */
    private Outcome ringFailed(Outcome outcome) {
        switch (outcome) {
            case FAULT -> broken(RING_FAULTED);
            case REFUSED -> broken(RING_REFUSED);
            case OK, ABSENT -> {}
        }
        return outcome;
    }

    /** As {@link #ringFailed}, in the terms of {@link #pop}. */
    private Pop failed(Outcome outcome) {
        if (state == State.RUNNING) {
            ringFailed(outcome);
        }
        return switch (outcome) {
            case ABSENT -> Pop.ABSENT;
            case FAULT, REFUSED -> Pop.BROKEN;
            case OK -> throw new IllegalStateException("nothing failed");
        };
    }

    private Pop broken(String reason) {
        state = State.BROKEN;
        brokenReason = reason;
        return Pop.BROKEN;
    }

    private Pop notRunning() {
        return switch (state) {
            case BROKEN -> Pop.BROKEN;
            case STOPPED -> Pop.EMPTY;
            case RUNNING -> throw new IllegalStateException("running");
        };
    }

    private int slot(int index) {
        return index & (size - 1);
    }

    private static int after(int index) {
        return (index + 1) & U16_MASK;
    }

    static int distance(int from, int to) {
        return (to - from) & U16_MASK;
    }
}
