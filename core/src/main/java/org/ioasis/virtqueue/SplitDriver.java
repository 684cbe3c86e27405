// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.SplitRing.AVAIL_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.AVAIL_FLAGS;
import static org.ioasis.spec.SplitRing.AVAIL_IDX;
import static org.ioasis.spec.SplitRing.AVAIL_RING;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
import static org.ioasis.spec.SplitRing.QUEUE_SIZE_MAX;
import static org.ioasis.spec.SplitRing.USED_ELEM_ID;
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
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * The driver's side of a split virtqueue (virtio 1.4, 2.7), for whoever has a device and no guest.
 * It lays out chains in descriptors that are free and takes back what the device has used; what the
 * buffers hold is the caller's business, and how a kick is sent.
 *
 * <p>A chain is built by {@link #begin}, then {@link #readable} and {@link #writable} for each of
 * its buffers, then {@link #offer}; {@link #expose} shows the device all that were offered. The
 * descriptor that {@link #begin} returns is the chain's name until {@link #take} returns it.
 *
 * <p>One thread. The device may be on another one or in another process: memory order is that of
 * 2.7.13. Nothing is allocated after construction.
 */
public final class SplitDriver {
    /** {@link #take} has found nothing. */
    public static final int NONE = -1;

    /** The three parts lie on cache lines of their own, also where lines are fetched in pairs. */
    private static final int PART_ALIGN = 128;

    private static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    private static final ValueLayout.OfShort LE16 = JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final MemorySegment memory;
    private final long base;
    private final int size;
    private final boolean eventIdx;

    // Where the other two parts begin; the descriptors come first.
    private final long avail;
    private final long used;

    /** Which descriptor comes after one, of those that are free and of a chain that is out. */
    private final int[] following;

    /** Descriptors of the chain that begins with this one, 0 if none does that is out. */
    private final int[] descriptors;

    private int free;
    private int firstFree;

    private int offeredIdx;
    private int exposedIdx;
    private int askedIdx;
    private int takenIdx;
    private long written;

    // The chain that is being built. Its last descriptor is written when it is known whether one
    // follows: memory that a device reads soon is better written once.
    private int head;
    private int count;
    private int last;
    private long lastAddress;
    private long lastLength;
    private int lastFlags;

    /** The table into which it goes on. */
    private @Nullable MemorySegment table;

    private int tableCount;
    private long tableAddress;

    /**
     * An empty queue. Its memory is overwritten with zeros.
     *
     * @param memory {@link #bytes} for the rings, as the driver sees them; aligned to 16
     * @param base where the device sees {@code memory}; a multiple of 16
     * @param size a power of two up to 32768
     * @param eventIdx EVENT_IDX is negotiated
     */
    public SplitDriver(MemorySegment memory, long base, int size, boolean eventIdx) {
        if (!RingFormat.SPLIT.isSize(size, QUEUE_SIZE_MAX)) {
            throw new IllegalArgumentException("queue size " + size);
        }
        this.memory = memory.asSlice(0, bytes(size));
        this.base = base;
        this.size = size;
        this.eventIdx = eventIdx;
        avail = avail(size);
        used = used(size);
        descriptors = new int[size];
        following = new int[size];
        for (int i = 0; i < size; i++) {
            following[i] = i + 1;
        }
        free = size;
        this.memory.fill((byte) 0);
    }

    /** Bytes of memory for the three parts of a queue of this size. */
    public static long bytes(int size) {
        return used(size) + SplitRing.usedBytes(size);
    }

    private static long avail(int size) {
        return aligned(SplitRing.descBytes(size));
    }

    private static long used(int size) {
        return aligned(avail(size) + SplitRing.availBytes(size));
    }

    private static long aligned(long offset) {
        return (offset + PART_ALIGN - 1) & -PART_ALIGN;
    }

    /** Number of entries. */
    public int size() {
        return size;
    }

    /** Address of the descriptor area, for the device. */
    public long descAddress() {
        return base;
    }

    /** Address of the driver area (available ring), for the device. */
    public long availAddress() {
        return base + avail;
    }

    /** Address of the device area (used ring), for the device. */
    public long usedAddress() {
        return base + used;
    }

    // --- chains to the device

    /** True if so many descriptors are free. */
    public boolean hasRoom(int wanted) {
        return free >= wanted;
    }

    /** Begins a chain and returns its name, {@code 0..size-1}. There must be room for it. */
    public int begin() {
        if (free == 0) {
            throw noRoom();
        }
        count = 0;
        table = null;
        head = firstFree;
        return head;
    }

    /** The chain goes on with a buffer that the device reads. */
    public void readable(long address, long length) {
        append(address, length, 0);
    }

    /** The chain goes on with a buffer that the device writes. */
    public void writable(long address, long length) {
        append(address, length, VIRTQ_DESC_F_WRITE);
    }

    /**
     * The rest of the chain goes into a table and takes one descriptor of the queue (2.7.5.3).
     *
     * @param entries room for the buffers, 16 bytes each
     * @param address where the device sees them
     */
    public void intoTable(MemorySegment entries, long address) {
        extend();
        table = entries;
        tableCount = 0;
        tableAddress = address;
    }

    private void append(long address, long length, int flags) {
        MemorySegment entries = table;
        if (entries == null) {
            extend();
        } else {
            if (tableCount > 0) {
                write(entries, tableCount - 1, VIRTQ_DESC_F_NEXT, tableCount);
            }
            tableCount++;
        }
        lastAddress = address;
        lastLength = length;
        lastFlags = flags;
    }

    /** The chain takes one more descriptor of the queue. */
    private void extend() {
        if (free == 0) {
            throw noRoom();
        }
        int id = firstFree;
        firstFree = following[id];
        free--;
        if (count > 0) {
            write(memory, last, VIRTQ_DESC_F_NEXT, id);
        }
        count++;
        last = id;
    }

    private static IllegalStateException noRoom() {
        return new IllegalStateException("no free descriptor");
    }

    /** Writes the last buffer's descriptor, with {@code NEXT} and the next one if there is one. */
    private void write(MemorySegment entries, int index, int isLinked, int next) {
        write(entries, index, lastAddress, lastLength, lastFlags | isLinked, next);
    }

    private static void write(
            MemorySegment entries, int index, long address, long length, int flags, int next) {
        long at = (long) DESC_SIZE * index;
        entries.set(LE64, at + DESC_ADDR, address);
        entries.set(LE64, at + DESC_LEN, DescriptorFields.of(length, flags, next));
    }

    /** The chain is complete: it is the next one that {@link #expose} shows. */
    public void offer() {
        MemorySegment entries = table;
        if (count == 0 || (entries != null && tableCount == 0)) {
            throw new IllegalStateException("no buffer");
        }
        if (entries == null) {
            write(memory, last, 0, 0);
        } else {
            write(entries, tableCount - 1, 0, 0);
            long bytes = SplitRing.descBytes(tableCount);
            write(memory, last, tableAddress, bytes, VIRTQ_DESC_F_INDIRECT, 0);
        }
        descriptors[head] = count;
        count = 0;
        long entry = avail + AVAIL_RING + (long) AVAIL_ELEM_SIZE * slot(offeredIdx);
        memory.set(LE16, entry, (short) head);
        offeredIdx = RingIndex.after(offeredIdx);
    }

    /** Shows the device all chains that were offered. */
    public void expose() {
        exposedIdx = offeredIdx;
        // Release: entries and descriptors before the index that gives them away (2.7.13.3.1).
        U16.setRelease(memory, avail + AVAIL_IDX, (short) exposedIdx);
    }

    /** Whether the device wants to be told of what was exposed since the last call. */
    public boolean shouldKick() {
        int from = askedIdx;
        if (from == exposedIdx) {
            return false;
        }
        askedIdx = exposedIdx;
        // avail.idx must be visible before avail_event or flags are read, or both sides wait.
        VarHandle.fullFence();
        if (eventIdx) {
            return RingIndex.crosses(load(used + SplitRing.availEvent(size)), from, exposedIdx);
        }
        return (load(used + USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
    }

    // --- chains back

    /** Number of chains that the device has given back and that were not taken yet. */
    public int usedCount() {
        // Acquire: the index before the elements and buffers that it gives away (2.7.14).
        int usedIdx = Short.toUnsignedInt((short) U16.getAcquire(memory, used + USED_IDX));
        return RingIndex.distance(takenIdx, usedIdx);
    }

    /**
     * Takes the next chain that came back; its descriptors are free again. Not while a chain is
     * built.
     *
     * @return its name, or {@link #NONE}
     * @throws IllegalStateException if the device gives back a chain that it does not have
     */
    public int take() {
        if (count != 0) {
            throw new IllegalStateException("a chain is being built");
        }
        if (usedCount() == 0) {
            return NONE;
        }
        long element = used + USED_RING + (long) USED_ELEM_SIZE * slot(takenIdx);
        // Name and length in one.
        long idAndLength = memory.get(LE64, element + USED_ELEM_ID);
        int id = (int) idAndLength;
        if (id < 0 || id >= size || descriptors[id] == 0) {
            throw new IllegalStateException("chain %d came back but was not out".formatted(id));
        }
        written = idAndLength >>> Integer.SIZE;
        takenIdx = RingIndex.after(takenIdx);
        release(id);
        return id;
    }

    /** Bytes that the device says it has written to the chain that was taken last. */
    public long written() {
        return written;
    }

    private void release(int id) {
        int end = id;
        for (int left = descriptors[id]; left > 1; left--) {
            end = following[end];
        }
        following[end] = firstFree;
        firstFree = id;
        free += descriptors[id];
        descriptors[id] = 0;
    }

    /** Advises the device to send no interrupts. Some may still come. */
    public void suppressInterrupts() {
        if (eventIdx) {
            store(avail + SplitRing.usedEvent(size), RingIndex.before(takenIdx));
        } else {
            store(avail + AVAIL_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
        }
    }

    /**
     * Asks the device for an interrupt for the next chain, and looks once more. A driver that waits
     * calls this first, and goes on taking if it is true.
     *
     * @return true if a chain is back already
     */
    public boolean resumeInterrupts() {
        if (eventIdx) {
            store(avail + SplitRing.usedEvent(size), takenIdx);
        } else {
            store(avail + AVAIL_FLAGS, 0);
        }
        // The device writes used.idx and then looks whether to interrupt; we the other way round.
        VarHandle.fullFence();
        return usedCount() > 0;
    }

    private int slot(int index) {
        return index & (size - 1);
    }

    private int load(long at) {
        return Short.toUnsignedInt((short) U16.getOpaque(memory, at));
    }

    private void store(long at, int value) {
        U16.setOpaque(memory, at, (short) value);
    }
}
