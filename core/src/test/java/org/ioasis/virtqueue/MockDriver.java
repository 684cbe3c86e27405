// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.SplitRing.AVAIL_FLAGS;
import static org.ioasis.spec.SplitRing.AVAIL_IDX;
import static org.ioasis.spec.SplitRing.AVAIL_RING;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_FLAGS;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_NEXT;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
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

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * The driver's side of a split virtqueue (virtio 1.4, 2.7), for tests: any layout of descriptors,
 * indirect tables, both ways of suppressing notifications, and raw access to every field for tests
 * that break the rules. Keeps to memory order, so device and driver may run on different threads.
 * One thread.
 *
 * <p>Its memory: {@link #footprint} bytes for the rings and one indirect table (of 32 entries) per
 * descriptor, from a base address on that is a multiple of 16.
 */
public final class MockDriver {
    /** A piece of a request. */
    public record Buffer(long address, long length, boolean writable) {}

    /** A chain that came back. */
    public record Used(int head, long written) {}

    /** How {@link #add} lays out a chain. */
    public enum Layout {
        DIRECT,
        INDIRECT,
        /** The first descriptor in the ring, the rest in a table. */
        MIXED
    }

    private static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private static final int[] NOT_OUT = {};

    private final int size;
    private final boolean eventIdx;
    private final long desc;
    private final long avail;
    private final long used;
    private final long tables;
    private final long base;
    private final MemorySegment memory;
    private final Deque<Integer> free = new ArrayDeque<>();
    private final int[][] owned;
    private int availIdx;
    private int exposedIdx;
    private int usedIdx;

    /**
     * @param memory the driver's own view, {@link #footprint} bytes
     * @param base where the device sees {@code memory}
     */
    public MockDriver(MemorySegment memory, long base, int size, boolean eventIdx) {
        this.memory = memory;
        this.base = base;
        this.size = size;
        this.eventIdx = eventIdx;
        desc = base;
        avail = desc + SplitRing.descBytes(size);
        used = (avail + SplitRing.availBytes(size) + 15) & -16;
        tables = (used + SplitRing.usedBytes(size) + 15) & -16;
        owned = new int[size][];
        for (int i = 0; i < size; i++) {
            owned[i] = NOT_OUT;
            free.add(i);
        }
        memory.fill((byte) 0);
    }

    /** Bytes of memory for a queue of this size. */
    public static long footprint(int size) {
        return SplitRing.descBytes(size) * (tableEntries(size) + 1L)
                + SplitRing.availBytes(size)
                + SplitRing.usedBytes(size)
                + 64;
    }

    private static int tableEntries(int size) {
        // Large queues have short tables, because the memory of tests is small.
        return Math.min(size, size > 256 ? 32 : 128);
    }

    public int size() {
        return size;
    }

    /** Address of the descriptor area, for the device. */
    public long descAddress() {
        return desc;
    }

    /** Address of the driver area, for the device. */
    public long availAddress() {
        return avail;
    }

    /** Address of the device area, for the device. */
    public long usedAddress() {
        return used;
    }

    /** Address of the indirect table that belongs to a descriptor, for the device. */
    public long tableAddress(int head) {
        return tables + SplitRing.descBytes(tableEntries(size)) * head;
    }

    // --- the well-behaved driver

    /** True if {@link #add} has room for a chain of so many descriptors in the ring. */
    public boolean hasRoom(int descriptors) {
        return free.size() >= descriptors;
    }

    /** Puts a chain into the ring; the device sees it after {@link #expose}. Returns its head. */
    public int add(Layout layout, List<Buffer> buffers) {
        int inRing =
                switch (layout) {
                    case DIRECT -> buffers.size();
                    case INDIRECT -> 1;
                    case MIXED -> Math.min(2, buffers.size());
                };
        if (!hasRoom(inRing)) {
            throw new IllegalStateException("ring full");
        }
        int[] ids = new int[inRing];
        for (int i = 0; i < inRing; i++) {
            ids[i] = free.remove();
        }
        int head = ids[0];
        owned[head] = ids;
        boolean hasTable = layout == Layout.INDIRECT || (layout == Layout.MIXED && inRing == 2);
        int direct = hasTable ? inRing - 1 : inRing;
        for (int i = 0; i < direct; i++) {
            Buffer b = buffers.get(i);
            boolean last = i + 1 == inRing;
            desc(ids[i], b.address, b.length, flags(b, last), last ? 0 : ids[i + 1]);
        }
        if (hasTable) {
            List<Buffer> rest = buffers.subList(direct, buffers.size());
            if (rest.size() > tableEntries(size)) {
                throw new IllegalArgumentException("table for " + rest.size() + " buffers");
            }
            long table = tableAddress(head);
            for (int i = 0; i < rest.size(); i++) {
                Buffer b = rest.get(i);
                boolean last = i + 1 == rest.size();
                descAt(table + 16L * i, b.address, b.length, flags(b, last), last ? 0 : i + 1);
            }
            desc(ids[direct], table, 16L * rest.size(), VIRTQ_DESC_F_INDIRECT, 0);
        }
        availEntry(availIdx & (size - 1), head);
        availIdx = (availIdx + 1) & 0xffff;
        return head;
    }

    private static int flags(Buffer b, boolean last) {
        return (b.writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
    }

    /** Shows the device all added chains. Returns whether it wants a kick. */
    public boolean expose() {
        int from = exposedIdx;
        exposedIdx = availIdx;
        if (from == availIdx) {
            return false;
        }
        availIdx(availIdx);
        VarHandle.fullFence();
        if (eventIdx) {
            int event = u16(used + SplitRing.availEvent(size));
            return ((availIdx - 1 - event) & 0xffff) < ((availIdx - from) & 0xffff);
        }
        return (u16(used + USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
    }

    /** Takes the next chain that came back, or null. */
    public @Nullable Used poll() {
        if (usedIdx == usedIdx()) {
            return null;
        }
        Used u = usedEntry(usedIdx & (size - 1));
        usedIdx = (usedIdx + 1) & 0xffff;
        int[] ids = owned[u.head];
        if (ids.length == 0) {
            throw new IllegalStateException("chain " + u.head + " came back but was not out");
        }
        owned[u.head] = NOT_OUT;
        for (int id : ids) {
            free.add(id);
        }
        return u;
    }

    /** Wants an interrupt for the next chain that comes back, or (without EVENT_IDX) none. */
    public void wantInterrupt(boolean wanted) {
        if (eventIdx) {
            usedEvent(wanted ? usedIdx : usedIdx - 1);
        } else {
            u16(avail + AVAIL_FLAGS, wanted ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
        }
        VarHandle.fullFence();
    }

    // --- raw access

    /** Writes a descriptor of the ring. */
    public void desc(int index, long address, long length, int flags, int next) {
        descAt(desc + (long) DESC_SIZE * index, address, length, flags, next);
    }

    /** Writes a descriptor anywhere in the driver's memory. */
    public void descAt(long at, long address, long length, int flags, int next) {
        long o = at - base;
        memory.set(LE64, o + DESC_ADDR, address);
        memory.set(LE32, o + DESC_LEN, (int) length);
        u16(at + DESC_FLAGS, flags);
        u16(at + DESC_NEXT, next);
    }

    public void availEntry(int slot, int head) {
        u16(avail + AVAIL_RING + 2L * slot, head);
    }

    /** Writes avail.idx. */
    public void availIdx(int idx) {
        U16.setRelease(memory, avail + AVAIL_IDX - base, (short) idx);
    }

    public int usedIdx() {
        return Short.toUnsignedInt((short) U16.getAcquire(memory, used + USED_IDX - base));
    }

    public Used usedEntry(int slot) {
        long o = used + USED_RING + (long) USED_ELEM_SIZE * slot - base;
        return new Used(
                memory.get(LE32, o + USED_ELEM_ID),
                Integer.toUnsignedLong(memory.get(LE32, o + USED_ELEM_LEN)));
    }

    public int usedFlags() {
        return u16(used + USED_FLAGS);
    }

    public int availEvent() {
        return u16(used + SplitRing.availEvent(size));
    }

    public void usedEvent(int idx) {
        u16(avail + SplitRing.usedEvent(size), idx);
    }

    private int u16(long address) {
        return Short.toUnsignedInt((short) U16.getOpaque(memory, address - base));
    }

    private void u16(long address, int value) {
        U16.setOpaque(memory, address - base, (short) value);
    }
}
