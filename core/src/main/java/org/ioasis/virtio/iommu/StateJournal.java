// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.virtio.iommu.StateRecords.*;

import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.RunVisitor;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtqueue.Chain;
import org.jspecify.annotations.Nullable;

/**
 * Writes down what changes the state of an IOMMU when it is decided, which is before it is
 * answered, in memory that outlives the process. A record counts when the number of records says
 * so: one store, behind all of it. It has the number of its chain, so that the change and the
 * answer are there together or not at all; {@code virtqueue.ChainLog} says whether that chain was
 * given back.
 *
 * <p>When there are many records for what is left of them, the state is written anew into the other
 * half, and then one store says which half is in use. If the state does not fit, the memory says
 * that it is lost, until it fits again.
 *
 * <p>Only writes, but for its own beginning. Whoever else has the memory may have cut it short:
 * then nothing more is written. Device's thread. Nothing is allocated once it is made.
 */
final class StateJournal implements StateObserver {
    /** What one batch and some late answers may write before there is another look at the room. */
    private static final int RESERVE = 256;

    /** Fewer records are not worth to be written anew. */
    private static final int WORTH = 4096;

    private static final Object NO_LOCK = new Object();

    private final MemorySegment region;
    private final Iommu iommu;
    private final int capacity;
    private final KnownAnswers answers;
    private final Runnable whenLost;

    private final Consumer<Domain> domainWriter = this::writeDomain;
    private final RunVisitor mappingWriter = this::writeMapping;

    private int half;
    private int count;

    /** With so many records the state is written anew. */
    private int dueAt;

    /** The state did not fit: to be tried again when there are no more mappings than that. */
    private long tryBelow;

    private boolean isLost;
    private boolean isGone;

    // The chain of the request that is told next.
    private int entry;
    private long number;

    // While the other half is being written.
    private int writing;
    private int written;
    private int writtenDomain;

    /**
     * @param region with room for {@link StateRecords#CAPACITY_MIN} records in each half, at least
     * @param answers that may not have been given back
     * @param whenLost is told each time that the state does not fit any more
     */
    StateJournal(MemorySegment region, Iommu iommu, KnownAnswers answers, Runnable whenLost) {
        capacity = capacity(region.byteSize());
        this.region = region.asSlice(0, StateRecords.bytes(capacity));
        this.iommu = iommu;
        this.answers = answers;
        this.whenLost = whenLost;
    }

    // --- the beginning

    /** Writes down what is so now, over whatever is there. */
    void begin() {
        begin(0, false);
    }

    /**
     * Writes down what is so now. What is there may be the same state: it counts until all is
     * written.
     *
     * @param suspended as {@link StateRecords#SUSPENDED_AT} has it
     */
    void moveHere(long suspended) {
        begin(suspended, true);
    }

    private void begin(long suspended, boolean mayBeThere) {
        try {
            long active = mayBeThere ? usedHalf() : -1;
            if (active < 0) {
                set(region, MAGIC_AT, 0);
                setRelease(region, CAPACITY_AT, capacity);
                set(region, LOST_AT, 0);
                active = 1; // and so the first one is written
            }
            half = (int) active;
            compact();
            if (half == active) {
                lose();
            }
            setRelease(region, SUSPENDED_AT, suspended);
            setRelease(region, MAGIC_AT, MAGIC);
            raiseLate();
        } catch (InternalError e) {
            isGone = true;
        }
    }

    /** The half that is in use; -1 if there is no state of this length. */
    private long usedHalf() {
        long active = get(region, ACTIVE_AT);
        boolean isThere =
                get(region, MAGIC_AT) == MAGIC
                        && get(region, CAPACITY_AT) == capacity
                        && get(region, LOST_AT) == 0
                        && (active == 0 || active == 1);
        return isThere ? active : -1;
    }

    /** Goes on behind so many records that were read in one half. */
    void goOn(int usedHalf, int records) {
        half = usedHalf;
        count = records;
        dueAt = due(0);
    }

    // --- what is told

    /** What is told next becomes of this chain. */
    void about(Chain chain) {
        entry = chain.entry();
        number = chain.number();
    }

    /** What is told next is no answer. */
    void aboutNothing() {
        number = 0;
    }

    @Override
    public void decided(
            RequestType type,
            int endpoint,
            int domain,
            long first,
            long last,
            long output,
            int flags,
            Status status,
            @Nullable Refusal refusal) {
        int kind =
                switch (type) {
                    case ATTACH -> ATTACH;
                    case DETACH -> DETACH;
                    case MAP -> MAP;
                    case UNMAP -> UNMAP;
                    case PROBE, ATTACH_TABLE, INVALIDATE, PAGE_RESPONSE, UNKNOWN ->
                            throw new IllegalStateException("no state is kept of " + type);
                };
        append(kind, status, flags, number, endpoint, domain, first, last, output);
        if (number != 0) {
            answers.remember(entry, number, status);
            number = 0;
        }
    }

    @Override
    public void bypass(boolean isBypassing) {
        append(BYPASS, Status.OK, isBypassing ? 1 : 0, 0, 0, 0, 0, 0, 0);
    }

    /** There is no state any more: it begins with the next driver. Nothing more is written. */
    @Override
    public void reset(boolean isMachine) {
        answers.forget();
        store(MAGIC_AT, 0);
        isGone = true;
    }

    /** The queue was taken back, or is given again: as {@link StateRecords#SUSPENDED_AT} has it. */
    void suspended(long what) {
        store(SUSPENDED_AT, what);
    }

    private void store(long at, long value) {
        if (isGone) {
            return;
        }
        try {
            setRelease(region, at, value);
            raiseLate();
        } catch (InternalError e) {
            isGone = true;
        }
    }

    private void append(
            int kind,
            Status status,
            int flags,
            long chain,
            int endpoint,
            int domain,
            long first,
            long last,
            long output) {
        if (isGone || isLost) {
            return;
        }
        try {
            if (count == capacity) {
                lose();
            } else {
                write(
                        half, count, kind, status, flags, chain, endpoint, domain, first, last,
                        output);
                count++;
                setRelease(region, countAt(half), count);
            }
            raiseLate();
        } catch (InternalError e) {
            isGone = true;
        }
    }

    private void lose() {
        setRelease(region, LOST_AT, 1);
        isLost = true;
        tryBelow = capacity / 4;
        whenLost.run();
    }

    private void write(
            int to,
            int record,
            int kind,
            Status status,
            int flags,
            long chain,
            int endpoint,
            int domain,
            long first,
            long last,
            long output) {
        long at = place(capacity, to, record);
        set(region, at, kind | Wire.status(status) << 8 | (long) flags << Integer.SIZE);
        set(region, at + 8, chain);
        set(region, at + 16, word(endpoint, domain));
        set(region, at + 24, first);
        set(region, at + 32, last);
        set(region, at + 40, output);
    }

    private static long word(int endpoint, int domain) {
        return Integer.toUnsignedLong(endpoint) | (long) domain << Integer.SIZE;
    }

    // --- all of it anew

    /**
     * Nothing is half done: the state of the IOMMU is what the records say. Writes it anew if that
     * is worth it.
     */
    void batchIsDone() {
        if (isLost ? iommu.mappingCount() <= tryBelow : count >= dueAt) {
            rewrite();
        }
    }

    private void rewrite() {
        if (isGone) {
            return;
        }
        try {
            compact();
            raiseLate();
        } catch (InternalError e) {
            isGone = true;
        }
    }

    private void compact() {
        writing = 1 - half;
        written = 0;
        boolean fits = iommu.mappingCount() <= capacity / 2;
        if (fits) {
            writeRecord(BYPASS, Status.OK, iommu.isBypassing() ? 1 : 0, 0, 0, 0, 0, 0, 0);
            writeAnswers();
            iommu.forEachDomain(domainWriter);
            fits = written <= capacity / 2;
        }
        if (!fits) {
            // There may be room for some records more in this half, and less to write by then.
            dueAt = count < capacity - RESERVE ? capacity - RESERVE : capacity;
            tryBelow = capacity / 4;
            return;
        }
        set(region, countAt(writing), written);
        setRelease(region, ACTIVE_AT, writing);
        half = writing;
        count = written;
        dueAt = due(written);
        if (isLost) {
            setRelease(region, LOST_AT, 0);
            isLost = false;
        }
    }

    private int due(int records) {
        return Math.min(Math.max(WORTH, 2 * records), capacity - RESERVE);
    }

    private void writeRecord(
            int kind,
            Status status,
            int flags,
            long chain,
            int endpoint,
            int domain,
            long first,
            long last,
            long output) {
        // One more than may be says that it does not fit.
        if (written <= capacity / 2) {
            write(
                    writing, written, kind, status, flags, chain, endpoint, domain, first, last,
                    output);
            written++;
        }
    }

    private void writeAnswers() {
        for (int i = 0; i < answers.entries(); i++) {
            if (answers.number(i) != 0) {
                writeRecord(ANSWER, answers.answer(i), 0, answers.number(i), 0, 0, 0, 0, 0);
            }
        }
    }

    private void writeDomain(Domain domain) {
        PagingDomain paging = domain instanceof PagingDomain mapped ? mapped : null;
        int flags = paging == null ? VirtioIommu.ATTACH_F_BYPASS : 0;
        for (int i = 0; i < domain.attachments().size(); i++) {
            Attachment attachment = domain.attachments().get(i);
            int id = attachment.endpoint().id();
            writeRecord(ATTACH, Status.OK, flags, 0, id, domain.id(), 0, 0, 0);
        }
        if (paging != null && paging.size() > 0) {
            writeRecord(GRANULE, Status.OK, 0, 0, 0, domain.id(), paging.granule(), 0, 0);
            writtenDomain = domain.id();
            paging.mappings(0, -1L, mappingWriter);
        }
    }

    private boolean writeMapping(long first, long last, long output, int flags) {
        writeRecord(MAP, Status.OK, flags, 0, 0, writtenDomain, first, last, output);
        return written <= capacity / 2;
    }

    /** The error of a store to memory that is gone comes here, and not in the engine's midst. */
    private static void raiseLate() {
        boolean _ = Thread.holdsLock(NO_LOCK);
    }
}
