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
import org.ioasis.host.LongMap;

/**
 * Page requests for a program: it reads groups of them and writes an answer for each. Every group
 * is answered exactly once: by the program, or, when what it came through is detached or the queue
 * ends, by us as invalid. Under its context's lock.
 */
public final class FaultQueue extends IommufdObject {
    /** Most groups that wait or are out for an answer; more are answered as invalid. */
    static final int GROUPS_MAX = 4096;

    private record Entry(Hwpt hwpt, PageRequests.Group group, int cookie) {}

    private final Deque<Entry> waiting = new ArrayDeque<>();
    private final LongMap<Entry> delivered = new LongMap<>();
    private int lastCookie;
    private long refused;

    FaultQueue(IommufdContext context) {
        super(context);
    }

    /** Groups that were answered as invalid because the queue was full. */
    public long refused() {
        return refused;
    }

    /** Groups that have no answer yet. */
    public int open() {
        return waiting.size() + delivered.size();
    }

    void add(Hwpt hwpt, PageRequests.Group group) {
        if (open() >= GROUPS_MAX) {
            refused++;
            respond(group, PAGE_RESP_INVALID);
            return;
        }
        waiting.add(new Entry(hwpt, group, 0));
    }

    /** What came from a device by one attachment is answered as invalid. */
    void forget(Device device, int pasid) {
        forget(entry -> entry.group.device() == device && entry.group.pasid() == pasid);
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
            respond(entry.group, PAGE_RESP_INVALID);
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
                return !waiting.isEmpty();
            }
        }

        @Override
        public long read(Caller caller, long address, long length) {
            synchronized (context()) {
                if (length % PGFAULT_SIZE != 0) {
                    return -Errno.ESPIPE.number();
                }
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
                    int cookie = freeCookie();
                    MemorySegment records = Arena.ofAuto().allocate(bytes, 8);
                    for (int i = 0; i < requests.size(); i++) {
                        fill(records.asSlice((long) i * PGFAULT_SIZE), entry, i, cookie);
                    }
                    if (caller.write(address + done, records, 0, bytes) != 0) {
                        return done == 0 ? -Errno.EFAULT.number() : done;
                    }
                    waiting.removeFirst();
                    delivered.put(cookie, new Entry(entry.hwpt, entry.group, cookie));
                    done += bytes;
                }
                return done;
            }
        }

        private int freeCookie() {
            do {
                lastCookie = lastCookie == Integer.MAX_VALUE ? 1 : lastCookie + 1;
            } while (delivered.get(lastCookie) != null);
            return lastCookie;
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
                        result =
                                answer(
                                        answer.get(JAVA_INT, PAGE_RESPONSE_COOKIE),
                                        answer.get(JAVA_INT, PAGE_RESPONSE_CODE));
                    }
                    if (result != 0) {
                        return done == 0 ? result : done;
                    }
                }
                return length;
            }
        }

        private int answer(int cookie, int code) {
            if (code != PAGE_RESP_SUCCESS && code != PAGE_RESP_INVALID) {
                return -Errno.EINVAL.number();
            }
            Entry entry = delivered.get(Integer.toUnsignedLong(cookie));
            if (entry == null) {
                return -Errno.EINVAL.number();
            }
            delivered.remove(entry.cookie);
            respond(entry.group, code);
            return 0;
        }
    }
}
