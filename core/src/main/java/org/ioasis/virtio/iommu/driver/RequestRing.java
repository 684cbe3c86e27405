// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.VirtioIommu.ATTACH_DOMAIN;
import static org.ioasis.spec.VirtioIommu.ATTACH_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.ATTACH_FLAGS;
import static org.ioasis.spec.VirtioIommu.ATTACH_F_BYPASS;
import static org.ioasis.spec.VirtioIommu.ATTACH_SIZE;
import static org.ioasis.spec.VirtioIommu.DETACH_DOMAIN;
import static org.ioasis.spec.VirtioIommu.DETACH_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.DETACH_SIZE;
import static org.ioasis.spec.VirtioIommu.MAP_DOMAIN;
import static org.ioasis.spec.VirtioIommu.MAP_FLAGS;
import static org.ioasis.spec.VirtioIommu.MAP_PHYS_START;
import static org.ioasis.spec.VirtioIommu.MAP_SIZE;
import static org.ioasis.spec.VirtioIommu.MAP_VIRT_END;
import static org.ioasis.spec.VirtioIommu.MAP_VIRT_START;
import static org.ioasis.spec.VirtioIommu.PROBE_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.PROBE_SIZE;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.spec.VirtioIommu.T_ATTACH;
import static org.ioasis.spec.VirtioIommu.T_DETACH;
import static org.ioasis.spec.VirtioIommu.T_MAP;
import static org.ioasis.spec.VirtioIommu.T_PROBE;
import static org.ioasis.spec.VirtioIommu.T_UNMAP;
import static org.ioasis.spec.VirtioIommu.UNMAP_DOMAIN;
import static org.ioasis.spec.VirtioIommu.UNMAP_SIZE;
import static org.ioasis.spec.VirtioIommu.UNMAP_VIRT_END;
import static org.ioasis.spec.VirtioIommu.UNMAP_VIRT_START;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtqueue.DriverQueue;
import org.jspecify.annotations.Nullable;

/**
 * The request queue (5.13.6): requests are put into slots, shown to the device together, and waited
 * for together. Each has a status of its own, which counts only if the device says that it has
 * written all of the answer: what was in the buffer before is no answer.
 *
 * <p>Driver's thread. Allocates nothing after construction, unless it breaks.
 */
final class RequestRing {
    // A slot: what the device reads, its answer, and the two descriptors when they are in a table.
    private static final int SLOT = 128;
    private static final int TAIL = VirtioIommuTables.ATTACH_SIZE;
    private static final int TABLE = SLOT - 2 * DESC_SIZE;

    /** What an answer is before there is one; no status of the specification. */
    private static final byte NOTHING = (byte) 0xff;

    private static final int NOT_ANSWERED = RefusedException.NOT_ANSWERED;

    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Transport device;
    private final Patience patience;
    private final DriverQueue ring;
    private final boolean hasTables;
    private final MemorySegment slots;
    private final long slotsAddress;
    private final DriverMemory.Piece properties;
    private final DriverCounts counts;

    /** Where the two descriptors of a slot go, by slot; none without tables. */
    private final MemorySegment[] tables;

    /** Bytes that the device was asked to write for a slot, by slot. */
    private final int[] asked;

    private final int[] status;
    private final int[] slotOfName;

    private int used;
    private int out;
    private @Nullable BrokenException broken;

    /**
     * @param hasTables INDIRECT_DESC is negotiated: a request takes one descriptor of the queue
     * @param properties {@link #propertyBytes} for what PROBE brings
     */
    RequestRing(
            Transport device,
            Patience patience,
            DriverQueue ring,
            boolean hasTables,
            DriverMemory.Piece slots,
            DriverMemory.Piece properties,
            DriverCounts counts) {
        this.device = device;
        this.patience = patience;
        this.ring = ring;
        this.hasTables = hasTables;
        this.slots = slots.segment();
        this.slotsAddress = slots.address();
        this.properties = properties;
        this.counts = counts;
        int capacity = capacity(ring.size(), hasTables);
        tables = new MemorySegment[hasTables ? capacity : 0];
        for (int i = 0; i < tables.length; i++) {
            tables[i] = this.slots.asSlice((long) SLOT * i + TABLE, 2L * DESC_SIZE);
        }
        asked = new int[capacity];
        status = new int[capacity];
        slotOfName = new int[ring.size()];
        // Answers are looked for when they are wanted.
        ring.suppressInterrupts();
    }

    static int capacity(int queueSize, boolean hasTables) {
        return hasTables ? queueSize : queueSize / 2;
    }

    static long slotBytes(int queueSize, boolean hasTables) {
        return (long) SLOT * capacity(queueSize, hasTables);
    }

    static long propertyBytes(int probeSize) {
        return (long) probeSize + TAIL_SIZE;
    }

    /** Most requests that can be on their way together. */
    int capacity() {
        return status.length;
    }

    /** Requests since {@link #begin}. */
    int count() {
        return used;
    }

    /** The next requests begin a new round; none is on its way. */
    void begin() throws BrokenException {
        if (broken != null) {
            throw new BrokenException(requireNonNull(broken.getMessage()));
        }
        assert out == 0;
        if (ring.usedCount() > 0) {
            throw breaks("request queue: more came back than was sent");
        }
        used = 0;
    }

    // --- what is asked

    int attach(int domain, int endpoint, boolean isBypass) {
        int slot = next(T_ATTACH);
        set(slot, ATTACH_DOMAIN, domain);
        set(slot, ATTACH_ENDPOINT, endpoint);
        set(slot, ATTACH_FLAGS, isBypass ? ATTACH_F_BYPASS : 0);
        return send(slot, ATTACH_SIZE);
    }

    int detach(int domain, int endpoint) {
        int slot = next(T_DETACH);
        set(slot, DETACH_DOMAIN, domain);
        set(slot, DETACH_ENDPOINT, endpoint);
        return send(slot, DETACH_SIZE);
    }

    int map(int domain, long first, long last, long output, int flags) {
        int slot = next(T_MAP);
        set(slot, MAP_DOMAIN, domain);
        set(slot, MAP_VIRT_START, first);
        set(slot, MAP_VIRT_END, last);
        set(slot, MAP_PHYS_START, output);
        set(slot, MAP_FLAGS, flags);
        return send(slot, MAP_SIZE);
    }

    int unmap(int domain, long first, long last) {
        int slot = next(T_UNMAP);
        set(slot, UNMAP_DOMAIN, domain);
        set(slot, UNMAP_VIRT_START, first);
        set(slot, UNMAP_VIRT_END, last);
        return send(slot, UNMAP_SIZE);
    }

    /**
     * @param pasid -1 for none; of a first level of VT-d only
     */
    int attachTable(int domain, int endpoint, int pasid, TableShape shape) {
        int slot = next(VirtioIommuTables.T_ATTACH_TABLE);
        set(slot, VirtioIommuTables.ATTACH_DOMAIN, domain);
        set(slot, VirtioIommuTables.ATTACH_ENDPOINT, endpoint);
        switch (shape) {
            case TableShape.FirstLevel(long root, int width) -> {
                if (pasid >= 0) {
                    set(slot, VirtioIommuTables.ATTACH_FLAGS, VirtioIommuTables.ATTACH_HAS_PASID);
                    set(slot, VirtioIommuTables.ATTACH_PASID, pasid);
                }
                int format = VirtioIommuTables.FORMAT_VTD_FIRST_LEVEL;
                set(slot, VirtioIommuTables.ATTACH_FORMAT, format);
                set(slot, VirtioIommuTables.ATTACH_ROOT, root);
                set(slot, VirtioIommuTables.ATTACH_WIDTH, width);
            }
            case TableShape.Lpae(int asid, long tcr, long ttbr0, long ttbr1, long mair) -> {
                int format = VirtioIommuTables.FORMAT_ARM_LPAE;
                set(slot, VirtioIommuTables.ARM_FORMAT, format | asid << Short.SIZE);
                set(slot, VirtioIommuTables.ARM_TCR, tcr);
                set(slot, VirtioIommuTables.ARM_TTBR0, ttbr0);
                set(slot, VirtioIommuTables.ARM_TTBR1, ttbr1);
                set(slot, VirtioIommuTables.ARM_MAIR, mair);
            }
            case TableShape.Contexts(int s1fmt, int s1dss, long contexts, int pasidBits) -> {
                int form = s1fmt << Short.SIZE | s1dss << (Short.SIZE + Byte.SIZE);
                set(slot, VirtioIommuTables.ARM_FORMAT, VirtioIommuTables.FORMAT_ARM_SMMUV3 | form);
                set(slot, VirtioIommuTables.ARM_S1CONTEXTPTR, contexts);
                set(slot, VirtioIommuTables.ARM_S1CDMAX, (long) pasidBits);
            }
        }
        return send(slot, VirtioIommuTables.ATTACH_TAIL);
    }

    /**
     * @param granularity GRANULARITY_
     * @param types TYPE_
     * @param pasid -1 for none
     * @param asid -1 for none
     * @param first of a range, and how many pages of 4 KiB it has
     */
    int invalidate(
            int domain, int granularity, int types, int pasid, int asid, long first, long pages) {
        int slot = next(VirtioIommuTables.T_INVALIDATE);
        set(slot, VirtioIommuTables.INVALIDATE_GRANULARITY, granularity | types << Short.SIZE);
        set(slot, VirtioIommuTables.INVALIDATE_DOMAIN, domain);
        int flags =
                (pasid < 0 ? 0 : VirtioIommuTables.FLAG_PASID)
                        | (asid < 0 ? 0 : VirtioIommuTables.FLAG_ARCHID);
        set(slot, VirtioIommuTables.INVALIDATE_FLAGS, flags);
        set(slot, VirtioIommuTables.INVALIDATE_PASID, Math.max(0, pasid));
        set(slot, VirtioIommuTables.INVALIDATE_ARCHID, (long) Math.max(0, asid));
        if (granularity == VirtioIommuTables.GRANULARITY_VA) {
            set(slot, VirtioIommuTables.INVALIDATE_VIRT_START, first);
            set(slot, VirtioIommuTables.INVALIDATE_NR_PAGES, pages);
            set(slot, VirtioIommuTables.INVALIDATE_GRANULE, DriverTables.PAGE_LG2);
        }
        return send(slot, VirtioIommuTables.INVALIDATE_TAIL);
    }

    int respond(int endpoint, int pasid, int group, int code) {
        int slot = next(VirtioIommuTables.T_PAGE_RESPONSE);
        set(slot, VirtioIommuTables.RESPONSE_ENDPOINT, endpoint);
        if (pasid >= 0) {
            set(slot, VirtioIommuTables.RESPONSE_FLAGS, VirtioIommuTables.RESPONSE_PASID_VALID);
            set(slot, VirtioIommuTables.RESPONSE_PASID, pasid);
        }
        set(slot, VirtioIommuTables.RESPONSE_GROUP, group);
        set(slot, VirtioIommuTables.RESPONSE_CODE, code);
        return send(slot, VirtioIommuTables.RESPONSE_TAIL);
    }

    /** One at a time: there is room for the properties of one endpoint. */
    int probe(int endpoint) {
        int slot = next(T_PROBE);
        set(slot, PROBE_ENDPOINT, endpoint);
        MemorySegment list = properties.segment();
        list.fill((byte) 0);
        list.set(JAVA_BYTE, list.byteSize() - TAIL_SIZE, NOTHING);
        return send(slot, PROBE_SIZE, properties.address(), (int) list.byteSize());
    }

    /** A copy of what the last PROBE has brought; its status is OK. */
    byte[] properties() {
        return properties
                .segment()
                .asSlice(0, properties.segment().byteSize() - TAIL_SIZE)
                .toArray(JAVA_BYTE);
    }

    /** Reserved fields are zero: the whole slot is. */
    private int next(int type) {
        int slot = used++;
        long at = (long) SLOT * slot;
        for (long word = at; word < at + TABLE; word += Long.BYTES) {
            slots.set(LE64, word, 0L);
        }
        slots.set(JAVA_BYTE, at, (byte) type);
        slots.set(JAVA_BYTE, at + TAIL, NOTHING);
        return slot;
    }

    private void set(int slot, int field, int value) {
        slots.set(LE32, (long) SLOT * slot + field, value);
    }

    private void set(int slot, int field, long value) {
        slots.set(LE64, (long) SLOT * slot + field, value);
    }

    private int send(int slot, int readable) {
        return send(slot, readable, slotsAddress + (long) SLOT * slot + TAIL, TAIL_SIZE);
    }

    private int send(int slot, int readable, long answer, int writable) {
        int name = ring.begin();
        long request = slotsAddress + (long) SLOT * slot;
        if (hasTables) {
            ring.intoTable(tables[slot], request + TABLE);
            ring.readable(request, readable);
            ring.writable(answer, writable);
            ring.offer();
        } else {
            ring.offer(request, readable, answer, writable);
        }
        slotOfName[name] = slot;
        asked[slot] = writable;
        status[slot] = NOT_ANSWERED;
        out++;
        return slot;
    }

    // --- what is answered

    /**
     * Shows the device what was sent, with one notification, and looks until all of it is answered.
     * If the caller's patience ends before, nothing is known of what is left, and nothing more can
     * be asked.
     */
    void await() throws BrokenException {
        counts.requests += out;
        ring.expose();
        if (ring.shouldKick()) {
            counts.kicks++;
            device.kick(REQUESTQ);
        }
        patience.begin();
        collect();
        while (out > 0) {
            if (!patience.goOn()) {
                throw breaks(
                        "%d requests without an answer, device status 0x%x"
                                .formatted(out, device.status()));
            }
            collect();
        }
    }

    private void collect() throws BrokenException {
        while (out > 0) {
            int name = ring.take();
            if (name == DriverQueue.NONE) {
                return;
            }
            if (name == DriverQueue.BROKEN) {
                throw breaks("request queue: " + ring.brokenReason());
            }
            int slot = slotOfName[name];
            status[slot] = ring.written() < asked[slot] ? NOT_ANSWERED : answer(slot);
            out--;
        }
    }

    /** Reads the status once; reserved of the tail says nothing (5.13.6.2). */
    private int answer(int slot) {
        byte value =
                asked[slot] == TAIL_SIZE
                        ? slots.get(JAVA_BYTE, (long) SLOT * slot + TAIL)
                        : properties.segment().get(JAVA_BYTE, asked[slot] - TAIL_SIZE);
        return Byte.toUnsignedInt(value);
    }

    private BrokenException breaks(String why) {
        BrokenException exception = new BrokenException(why);
        broken = exception;
        // What was not answered never counts as answered.
        Arrays.fill(status, NOT_ANSWERED);
        return exception;
    }

    /** What was answered to a slot of the round that was awaited. */
    int status(int slot) {
        assert out == 0 || broken != null;
        int answered = status[slot];
        if (answered != S_OK) {
            counts.refusals++;
            if (answered == NOT_ANSWERED) {
                counts.unanswered++;
            }
        }
        return answered;
    }
}
