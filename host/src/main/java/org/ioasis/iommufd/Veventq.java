// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.ioasis.spec.Iommufd.VEVENTQ_DEPTH_MAX;
import static org.ioasis.spec.Iommufd.VEVENTQ_FLAG_LOST_EVENTS;
import static org.ioasis.spec.Iommufd.VEVENTQ_TYPE_DEFAULT;
import static org.ioasis.spec.Iommufd.VEVENT_HEADER_FLAGS;
import static org.ioasis.spec.Iommufd.VEVENT_HEADER_SEQUENCE;
import static org.ioasis.spec.Iommufd.VEVENT_HEADER_SIZE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * Events of one type for a guest: a program reads them in order. Each has a number; what is lost
 * because the queue is full leaves a gap, and a header that says so stands at the end. Under its
 * context's lock.
 */
public final class Veventq extends IommufdObject {
    private static final class Event {
        private final int sequence;
        private final byte[] data;

        Event(int sequence, byte[] data) {
            this.sequence = sequence;
            this.data = data;
        }
    }

    private final Viommu viommu;
    private final int type;
    private final int depth;
    private final Deque<Event> events = new ArrayDeque<>();
    private int sequence;

    /** The number of the last event, which was lost; -1: the end of the queue is an event. */
    private int lostAtEnd = -1;

    private Veventq(Viommu viommu, int type, int depth) {
        super(viommu.context());
        this.viommu = viommu;
        this.type = type;
        this.depth = depth;
        viommu.addUser();
    }

    /** Refuses what no queue can be. */
    static void check(int type, int depth) throws IommufdException {
        if (type == VEVENTQ_TYPE_DEFAULT) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a queue of events has a type");
        }
        if (depth == 0 || Integer.compareUnsigned(depth, VEVENTQ_DEPTH_MAX) > 0) {
            throw new IommufdException(
                    Errno.EINVAL, "a queue holds 1 to %d events".formatted(VEVENTQ_DEPTH_MAX));
        }
    }

    /** Makes one, reserved. */
    static Veventq reserve(Viommu viommu, int type, int depth) throws IommufdException {
        check(type, depth);
        if (viommu.events(type) != null) {
            throw new IommufdException(
                    Errno.EEXIST, "the vIOMMU has a queue for events of this type");
        }
        IommufdContext context = viommu.context();
        context.allocate();
        Veventq queue = new Veventq(viommu, type, depth);
        context.reserve(queue);
        viommu.add(queue);
        return queue;
    }

    int type() {
        return type;
    }

    /** An event; if the queue is full, that there was one. */
    public void report(byte[] data) {
        synchronized (context()) {
            int number = sequence;
            sequence = (sequence + 1) & Integer.MAX_VALUE;
            if (events.size() == depth) {
                lostAtEnd = number;
            } else {
                lostAtEnd = -1;
                events.add(new Event(number, data.clone()));
            }
        }
    }

    /** An event as it is taken. Immutable; any thread. */
    public static final class Taken {
        private final int sequence;
        private final boolean isLost;
        private final byte[] data;

        Taken(int sequence, boolean isLost, byte[] data) {
            this.sequence = sequence;
            this.isLost = isLost;
            this.data = data;
        }

        public int sequence() {
            return sequence;
        }

        /** It stands for those up to this number that are lost, and has no data. */
        public boolean isLost() {
            return isLost;
        }

        public byte[] data() {
            return data.clone();
        }
    }

    /** Takes the oldest event; null: there is none. */
    public @Nullable Taken take() {
        synchronized (context()) {
            Event event = events.pollFirst();
            if (event != null) {
                return new Taken(event.sequence, false, event.data);
            }
            if (lostAtEnd < 0) {
                return null;
            }
            int last = lostAtEnd;
            lostAtEnd = -1;
            return new Taken(last, true, new byte[0]);
        }
    }

    @Override
    void destroy() {
        viommu.remove(this);
        viommu.removeUser();
    }

    /** The file that a program reads events from. */
    OpenFile file() {
        return new File();
    }

    private final class File extends EventFile {
        File() {
            super(Veventq.this);
        }

        @Override
        public String name() {
            return "event queue " + id();
        }

        @Override
        public boolean isReadable() {
            synchronized (context()) {
                return !events.isEmpty() || lostAtEnd >= 0;
            }
        }

        @Override
        public long read(Caller caller, long address, long length) {
            synchronized (context()) {
                if (length < VEVENT_HEADER_SIZE) {
                    return -Errno.EINVAL.number();
                }
                long done = 0;
                while (!events.isEmpty() || lostAtEnd >= 0) {
                    Event event = events.peekFirst();
                    int data = event == null ? 0 : event.data.length;
                    if (VEVENT_HEADER_SIZE + data > length - done) {
                        return done == 0 ? -Errno.EINVAL.number() : done;
                    }
                    MemorySegment record = Arena.ofAuto().allocate(VEVENT_HEADER_SIZE + data, 8);
                    record.set(
                            JAVA_INT,
                            VEVENT_HEADER_FLAGS,
                            event == null ? VEVENTQ_FLAG_LOST_EVENTS : 0);
                    record.set(
                            JAVA_INT,
                            VEVENT_HEADER_SEQUENCE,
                            event == null ? lostAtEnd : event.sequence);
                    if (event != null) {
                        MemorySegment.copy(
                                event.data, 0, record, JAVA_BYTE, VEVENT_HEADER_SIZE, data);
                    }
                    if (caller.write(address + done, record, 0, record.byteSize()) != 0) {
                        return done == 0 ? -Errno.EFAULT.number() : done;
                    }
                    if (event == null) {
                        lostAtEnd = -1;
                    } else {
                        events.removeFirst();
                    }
                    done += record.byteSize();
                }
                return done;
            }
        }
    }
}
