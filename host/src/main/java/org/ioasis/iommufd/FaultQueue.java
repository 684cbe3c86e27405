// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.Iommufd.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.LongSupplier;
import org.ioasis.host.LongMap;
import org.jspecify.annotations.Nullable;

/**
 * Page requests for whoever answers them: groups are taken in the order in which their last request
 * came, and each is answered once: by a program that reads and writes its file, by a part of ours
 * that calls {@link #take} and {@link #answer}, or, when what it came through is detached, its time
 * is over or the queue ends, by us as invalid. Under its context's lock, which the public methods
 * take.
 */
public final class FaultQueue extends IommufdObject {
    /** Most groups that wait or are out for an answer; more are answered as invalid. */
    static final int GROUPS_MAX = 4096;

    /** The device is to make no requests any more; no program can say so. */
    public static final int FAILURE = 2;

    /**
     * A group without an answer.
     *
     * @param via PASID of the attachment that it came through: the guest may have all PASIDs behind
     *     the one without
     * @param since when its last request came, if there is a deadline
     */
    private record Entry(Hwpt hwpt, int via, PageRequests.Group group, int cookie, long since) {}

    private final Deque<Entry> waiting = new ArrayDeque<>();
    private final LongMap<Entry> delivered = new LongMap<>();
    private final long deadline;
    private final LongSupplier clock;
    private int lastCookie;
    private long refused;
    private long expired;

    FaultQueue(IommufdContext context) {
        super(context);
        deadline = context.node().pageRequestDeadline();
        clock = context.node().pageRequestClock();
    }

    /** Groups that were answered as invalid because the queue was full. */
    public long refused() {
        synchronized (context()) {
            return refused;
        }
    }

    /** Groups that have no answer yet. */
    public int open() {
        synchronized (context()) {
            return waiting.size() + delivered.size();
        }
    }

    /** Groups that were answered as invalid because nobody had in time. */
    public long expired() {
        synchronized (context()) {
            return expired;
        }
    }

    /**
     * A group has its last request.
     *
     * @param via PASID of the attachment that it came through
     */
    void add(Hwpt hwpt, int via, PageRequests.Group group) {
        expire();
        if (open() >= GROUPS_MAX) {
            refused++;
            respond(group, PAGE_RESP_INVALID);
            return;
        }
        waiting.add(new Entry(hwpt, via, group, 0, deadline == 0 ? 0 : clock.getAsLong()));
    }

    /** What came from a device by one attachment is answered as invalid. */
    void forget(Device device, int via) {
        forget(entry -> entry.group.device() == device && entry.via == via);
    }

    /** What came through a page table is answered as invalid. */
    void forget(Hwpt hwpt) {
        forget(entry -> entry.hwpt == hwpt);
    }

    private interface Which {
        boolean is(Entry entry);
    }

    private void forget(Which which) {
        List<Entry> gone = new ArrayList<>();
        waiting.removeIf(entry -> {
            boolean is = which.is(entry);
            if (is) {
                gone.add(entry);
            }
            return is;
        });
        delivered.forEach(entry -> {
            if (which.is(entry)) {
                gone.add(entry);
            }
        });
        for (Entry entry : gone) {
            if (entry.cookie != 0) {
                delivered.remove(entry.cookie);
            }
        }
        // A device may ask again at once: nothing of what has its answer is here any more.
        for (Entry entry : gone) {
            respond(entry.group, PAGE_RESP_INVALID);
        }
    }

    /** Answers as invalid what has waited longer than the node's deadline, if it has one. */
    void expire() {
        if (deadline == 0) {
            return;
        }
        long now = clock.getAsLong();
        int before = open();
        forget(entry -> now - entry.since > deadline);
        expired += before - open();
    }

    /**
     * A group that was taken and is to be answered.
     *
     * @param cookie for {@link #answer}
     */
    public record Taken(int cookie, PageRequests.Group group) {}

    /** Takes the group whose last request came first; null: none waits. */
    public @Nullable Taken take() {
        synchronized (context()) {
            expire();
            return waiting.isEmpty() ? null : deliver(freeCookie());
        }
    }

    private Taken deliver(int cookie) {
        Entry entry = waiting.removeFirst();
        delivered.put(cookie, new Entry(entry.hwpt, entry.via, entry.group, cookie, entry.since));
        return new Taken(cookie, entry.group);
    }

    private int freeCookie() {
        do {
            lastCookie = lastCookie == Integer.MAX_VALUE ? 1 : lastCookie + 1;
        } while (delivered.get(lastCookie) != null);
        return lastCookie;
    }

    /**
     * Answers a group that was taken.
     *
     * @param code PAGE_RESP_SUCCESS, PAGE_RESP_INVALID, or {@link #FAILURE}
     * @return 0 or -EINVAL: no such code; or no such group, because it has its answer
     */
    public int answer(int cookie, int code) {
        synchronized (context()) {
            expire();
            Entry entry = delivered.get(Integer.toUnsignedLong(cookie));
            if (entry == null || code < PAGE_RESP_SUCCESS || code > FAILURE) {
                return -Errno.EINVAL.number();
            }
            delivered.remove(entry.cookie);
            respond(entry.group, code);
            return 0;
        }
    }

    /** Whether a group that was taken has no answer yet. */
    public boolean isOpen(int cookie) {
        synchronized (context()) {
            return delivered.get(Integer.toUnsignedLong(cookie)) != null;
        }
    }

    private static void respond(PageRequests.Group group, int code) {
        group.device().hardware().respond(group.pasid(), group.number(), code);
    }

    @Override
    void destroy() {
        forget(_ -> true);
    }

    /** The file that a program reads requests from and writes answers to. */
    OpenFile file() {
        return new File();
    }

    private final class File extends EventFile {
        File() {
            super(FaultQueue.this);
        }

        @Override
        public String name() {
            return "fault queue " + id();
        }

        @Override
        public boolean isReadable() {
            synchronized (context()) {
                expire();
                return !waiting.isEmpty();
            }
        }

        @Override
        public long read(Caller caller, long address, long length) {
            synchronized (context()) {
                if (length % PGFAULT_SIZE != 0) {
                    return -Errno.ESPIPE.number();
                }
                expire();
                long done = 0;
                while (!waiting.isEmpty()) {
                    Entry entry = waiting.getFirst();
                    List<PageRequests.Request> requests = entry.group.requests();
                    long bytes = (long) requests.size() * PGFAULT_SIZE;
                    if (bytes > length - done) {
                        // Only whole groups; that the first does not fit is said.
                        return done == 0 ? -Errno.EINVAL.number() : done;
                    }
                    if (caller.failures().fails()) {
                        return done == 0 ? -Errno.ENOMEM.number() : done;
                    }
                    // Nothing is delivered before all of it has been written.
                    int cookie = freeCookie();
                    MemorySegment records = Arena.ofAuto().allocate(bytes, 8);
                    for (int i = 0; i < requests.size(); i++) {
                        fill(records.asSlice((long) i * PGFAULT_SIZE), entry, i, cookie);
                    }
                    if (caller.write(address + done, records, 0, bytes) != 0) {
                        return done == 0 ? -Errno.EFAULT.number() : done;
                    }
                    deliver(cookie);
                    done += bytes;
                }
                return done;
            }
        }

        private void fill(MemorySegment record, Entry entry, int index, int cookie) {
            PageRequests.Request request = entry.group.requests().get(index);
            record.set(JAVA_INT, PGFAULT_FLAGS, request.flags());
            record.set(JAVA_INT, PGFAULT_DEV_ID, entry.group.device().id());
            record.set(JAVA_INT, PGFAULT_PASID, request.pasid());
            record.set(JAVA_INT, PGFAULT_GRPID, request.group());
            record.set(JAVA_INT, PGFAULT_PERM, request.permissions());
            record.set(JAVA_LONG, PGFAULT_ADDR, request.address());
            record.set(JAVA_INT, PGFAULT_COOKIE, cookie);
        }

        @Override
        public long write(Caller caller, long address, long length) {
            synchronized (context()) {
                if (length % PAGE_RESPONSE_SIZE != 0) {
                    return -Errno.ESPIPE.number();
                }
                MemorySegment answer = Arena.ofAuto().allocate(PAGE_RESPONSE_SIZE, 8);
                for (long done = 0; done < length; done += PAGE_RESPONSE_SIZE) {
                    int result = -Errno.EFAULT.number();
                    if (caller.read(address + done, answer, 0, PAGE_RESPONSE_SIZE) == 0) {
                        int code = answer.get(JAVA_INT, PAGE_RESPONSE_CODE);
                        result =
                                code == FAILURE
                                        ? -Errno.EINVAL.number()
                                        : answer(answer.get(JAVA_INT, PAGE_RESPONSE_COOKIE), code);
                    }
                    if (result != 0) {
                        return done == 0 ? result : done;
                    }
                }
                return length;
            }
        }
    }
}
