// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.ioasis.memory.Count;
import org.jspecify.annotations.Nullable;

/**
 * What one loop has seen and the writer has not written: a ring of records of one size outside of
 * the heap. Whoever adds never waits: a record that finds no room is counted, and the next that
 * finds some is preceded by one that says how many are missing. One thread adds, another takes; the
 * count of what is lost is for any.
 */
final class EventRing {
    /** Records: 16 MiB of them. A power of two. */
    static final int CAPACITY = 1 << 18;

    private static final int RECORD = 64;

    // A line of the processor's cache for each side.
    private static final int ADDED = 0;
    private static final int TAKEN = 128;
    private static final int RECORDS = 256;

    private static final int TIME = 0;
    private static final int FIRST = 8;
    private static final int LAST = 16;
    private static final int OUTPUT = 24;
    private static final int DOMAIN = 32;
    private static final int ENDPOINT = 40;
    private static final int PASID = 44;
    private static final int FLAGS = 48;
    private static final int IOMMU = 52;
    private static final int EVENT = 54;
    private static final int STATUS = 55;
    private static final int REFUSAL = 56;

    private static final VarHandle POSITION = JAVA_LONG.varHandle();

    private final int capacity;
    private final MemorySegment memory;
    private final Count lost = new Count();

    // Of who adds: how many there are, how many were taken when it looked last, and how many are
    // missing before the next.
    private long added;
    private long takenAsKnown;
    private long missing;

    // Of who takes.
    private long taken;

    /**
     * @param capacity records, a power of two
     */
    EventRing(int capacity) {
        this.capacity = capacity;
        // As long as anybody knows it: who adds may still do so when the recording has ended.
        memory = Arena.ofAuto().allocate(RECORDS + (long) capacity * RECORD, RECORD);
    }

    /** Records that found no room. Any thread. */
    long lost() {
        return lost.read();
    }

    // Adding
    // ------------------------------------------------------------------------------------------------------

    /**
     * Adds one, or counts it.
     *
     * @param iommu index of who has seen it
     * @param status ordinal of what answer or reason means for the event
     * @param refusal ordinal, or -1
     */
    @SuppressWarnings("EnumOrdinal") // what this process has added, it takes
    void add(
            long time,
            int iommu,
            Event event,
            int endpoint,
            int pasid,
            long domain,
            long first,
            long last,
            long output,
            int flags,
            int status,
            int refusal) {
        long at = added;
        int wanted = missing == 0 ? 1 : 2;
        if (at + wanted - takenAsKnown > capacity) {
            takenAsKnown = (long) POSITION.getAcquire(memory, (long) TAKEN);
            if (at + wanted - takenAsKnown > capacity) {
                missing++;
                lost.increment();
                return;
            }
        }
        if (missing != 0) {
            long place = place(at++);
            memory.set(JAVA_LONG, place + TIME, time);
            memory.set(JAVA_LONG, place + OUTPUT, missing);
            memory.set(JAVA_SHORT, place + IOMMU, (short) iommu);
            memory.set(JAVA_BYTE, place + EVENT, (byte) Event.LOST.ordinal());
            missing = 0;
        }
        long place = place(at++);
        memory.set(JAVA_LONG, place + TIME, time);
        memory.set(JAVA_LONG, place + FIRST, first);
        memory.set(JAVA_LONG, place + LAST, last);
        memory.set(JAVA_LONG, place + OUTPUT, output);
        memory.set(JAVA_LONG, place + DOMAIN, domain);
        memory.set(JAVA_INT, place + ENDPOINT, endpoint);
        memory.set(JAVA_INT, place + PASID, pasid);
        memory.set(JAVA_INT, place + FLAGS, flags);
        memory.set(JAVA_SHORT, place + IOMMU, (short) iommu);
        memory.set(JAVA_BYTE, place + EVENT, (byte) event.ordinal());
        memory.set(JAVA_BYTE, place + STATUS, (byte) status);
        memory.set(JAVA_BYTE, place + REFUSAL, (byte) refusal);
        added = at;
        POSITION.setRelease(memory, (long) ADDED, at);
    }

    private long place(long position) {
        return RECORDS + (position & (capacity - 1)) * RECORD;
    }

    // Taking
    // ------------------------------------------------------------------------------------------------------

    /** What the numbers of a ring are called. */
    interface Names {
        /** Machine and IOMMU. */
        String iommu(int index);

        /** Nanoseconds since the recording began. */
        long since(long time);

        @Nullable String status(Event event, int ordinal);

        @Nullable String refusal(int ordinal);
    }

    /** Takes the oldest record; false if there is none. */
    boolean take(Row row, long sequence, Names names) {
        if (taken == (long) POSITION.getAcquire(memory, (long) ADDED)) {
            return false;
        }
        long place = place(taken);
        Event event = Event.of(memory.get(JAVA_BYTE, place + EVENT));
        row.begin(
                sequence,
                names.since(memory.get(JAVA_LONG, place + TIME)),
                event,
                names.iommu(memory.get(JAVA_SHORT, place + IOMMU)));
        long output = memory.get(JAVA_LONG, place + OUTPUT);
        if (event == Event.LOST) {
            row.lost(output);
        } else {
            fill(row, event, place, output, names);
        }
        taken++;
        POSITION.setRelease(memory, (long) TAKEN, taken);
        return true;
    }

    private void fill(Row row, Event event, long place, long output, Names names) {
        if (event.hasEndpoint()) {
            row.endpoint(Integer.toUnsignedLong(memory.get(JAVA_INT, place + ENDPOINT)));
        }
        row.pasid(memory.get(JAVA_INT, place + PASID));
        row.domain(memory.get(JAVA_LONG, place + DOMAIN));
        row.range(memory.get(JAVA_LONG, place + FIRST), memory.get(JAVA_LONG, place + LAST));
        row.output(output);
        row.flags(memory.get(JAVA_INT, place + FLAGS));
        row.status(names.status(event, memory.get(JAVA_BYTE, place + STATUS)));
        row.refusal(names.refusal(memory.get(JAVA_BYTE, place + REFUSAL)));
    }
}
