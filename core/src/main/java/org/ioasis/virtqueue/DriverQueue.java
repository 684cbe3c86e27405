// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The driver's side of a virtqueue, whatever its {@linkplain RingFormat format}, for whoever has a
 * device and no guest. It lays out chains in descriptors that are free and takes back what the
 * device has used; what the buffers hold is the caller's business, and how a kick is sent.
 *
 * <p>A chain is built by {@link #begin}, then {@link #readable} and {@link #writable} for each of
 * its buffers, the readable ones first, then {@link #offer}; {@link #expose} shows the device all
 * that were offered. What {@link #begin} returns is the chain's name until {@link #take} returns
 * it.
 *
 * <p>The device is not trusted: what it gives back is a chain that it has, with no more bytes
 * written than the chain has room for, or {@link #take} answers {@link #BROKEN} from then on.
 *
 * <p>One thread. The device may be on another one or in another process: memory order is that of
 * 2.7.13 and 2.8. Nothing is allocated after construction.
 */
// A class and no interface: as long as one format is loaded, its methods are called directly.
public abstract sealed class DriverQueue permits SplitDriver, PackedDriver {
    /** {@link #take} has found nothing. */
    public static final int NONE = -1;

    /** The device has broken the rules of the ring; {@link #brokenReason} says which. */
    public static final int BROKEN = -2;

    /** The three parts lie on cache lines of their own, also where lines are fetched in pairs. */
    private static final int PART_ALIGN = 128;

    static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    static final ValueLayout.OfShort LE16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    final MemorySegment memory;
    final int size;
    final boolean eventIdx;

    // Where the parts for driver and device begin; the descriptors come first.
    final long driverArea;
    final long deviceArea;

    private final RingFormat format;
    private final long base;
    private @Nullable String brokenReason;

    /** Descriptors of the ring that no chain has. */
    int free;

    /** By the name of a chain: how many descriptors of the ring it has; 0 if it is not out. */
    final int[] descriptors;

    /** By the name of a chain: bytes that the device may write to it. */
    private final long[] room;

    // The chain that is being built, up to its last buffer. That one's descriptor is written when
    // it is known whether another one follows: memory that a device reads soon is better written
    // once.
    int count;
    long lastAddress;
    long lastLength;
    boolean isLastWritable;
    private long writable;

    /** The table into which it goes on. */
    @Nullable MemorySegment table;

    int tableCount;
    long tableAddress;

    private long written;

    DriverQueue(MemorySegment memory, long base, RingFormat format, int size, boolean eventIdx) {
        this.memory = memory.asSlice(0, format.driverBytes(size));
        this.base = base;
        this.format = format;
        this.size = size;
        this.eventIdx = eventIdx;
        driverArea = driverArea(format, size);
        deviceArea = deviceArea(format, size);
        descriptors = new int[size];
        room = new long[size];
        free = size;
        this.memory.fill((byte) 0);
    }

    static long driverArea(RingFormat format, int size) {
        return aligned(format.descBytes(size));
    }

    static long deviceArea(RingFormat format, int size) {
        return aligned(driverArea(format, size) + format.driverAreaBytes(size));
    }

    private static long aligned(long offset) {
        return (offset + PART_ALIGN - 1) & -PART_ALIGN;
    }

    /** Number of entries. */
    public final int size() {
        return size;
    }

    /** Address of the descriptor area, for the device. */
    public final long descAddress() {
        return base;
    }

    /** Address of the driver area, for the device: what the driver writes beside descriptors. */
    public final long driverAddress() {
        return base + driverArea;
    }

    /** Address of the device area, for the device: what the device writes beside descriptors. */
    public final long deviceAddress() {
        return base + deviceArea;
    }

    // --- chains to the device

    /** True if so many descriptors are free. */
    public final boolean hasRoom(int wanted) {
        return free >= wanted;
    }

    /** Begins a chain and returns its name, {@code 0..size-1}. There must be room for it. */
    public final int begin() {
        if (free == 0) {
            throw noRoom();
        }
        count = 0;
        writable = 0;
        table = null;
        return head();
    }

    /** A name for a chain that begins. */
    abstract int head();

    /** The chain goes on with a buffer that the device reads. */
    public final void readable(long address, long length) {
        append(address, length, false);
    }

    /** The chain goes on with a buffer that the device writes. */
    public final void writable(long address, long length) {
        append(address, length, true);
        writable += length;
    }

    /**
     * The rest of the chain goes into a table and takes one descriptor of the queue (2.7.5.3,
     * 2.8.7). In a packed ring all of the chain does.
     *
     * @param entries room for the buffers, 16 bytes each
     * @param address where the device sees them
     * @throws IllegalStateException in a packed ring, if the chain has a buffer already
     */
    public final void intoTable(MemorySegment entries, long address) {
        if (count > 0 && format == RingFormat.PACKED) {
            throw new IllegalStateException("a list is all in the ring or all in a table (2.8.5)");
        }
        extend();
        table = entries;
        tableCount = 0;
        tableAddress = address;
    }

    private void append(long address, long length, boolean isWritable) {
        MemorySegment entries = table;
        if (entries == null) {
            extend();
        } else {
            if (tableCount > 0) {
                writeEntry(entries, false);
            }
            tableCount++;
        }
        lastAddress = address;
        lastLength = length;
        isLastWritable = isWritable;
    }

    /** The chain takes one more descriptor of the ring; writes the one before. */
    abstract void extend();

    /** Writes the last buffer to entry {@link #tableCount} - 1 of the table. */
    abstract void writeEntry(MemorySegment entries, boolean isLast);

    static IllegalStateException noRoom() {
        return new IllegalStateException("no free descriptor");
    }

    /** The chain is complete: it is the next one that {@link #expose} shows. */
    public final void offer() {
        MemorySegment entries = table;
        if (count == 0 || (entries != null && tableCount == 0)) {
            throw new IllegalStateException("no buffer");
        }
        if (entries != null) {
            writeEntry(entries, true);
        }
        int head = finish();
        descriptors[head] = count;
        room[head] = writable;
        count = 0;
    }

    /**
     * What most requests are, in one step: a chain that has begun gets a buffer that the device
     * reads and one that it writes, and is offered. All of it in the ring.
     */
    public final void offer(
            long readAddress, long readLength, long writeAddress, long writeLength) {
        if (count != 0) {
            throw new IllegalStateException("the chain has buffers already");
        }
        if (free < 2) {
            throw noRoom();
        }
        free -= 2;
        int head = pair(readAddress, readLength, writeAddress, writeLength);
        descriptors[head] = 2;
        room[head] = writeLength;
    }

    /** Writes the descriptors of a whole chain of two, which are free. The chain's name. */
    abstract int pair(long readAddress, long readLength, long writeAddress, long writeLength);

    /** Writes the last descriptor of the ring, which may be that of a table. The chain's name. */
    abstract int finish();

    /** Shows the device all chains that were offered. */
    public abstract void expose();

    /** Whether the device wants to be told of what was exposed since the last call. */
    public abstract boolean shouldKick();

    // --- chains back

    /** Number of chains that the device has given back and that were not taken yet. */
    public abstract int usedCount();

    /**
     * Takes the next chain that came back; its descriptors are free again. Not while a chain is
     * built.
     *
     * @return its name, {@link #NONE} or {@link #BROKEN}
     */
    public final int take() {
        if (count != 0) {
            throw new IllegalStateException("a chain is being built");
        }
        if (brokenReason != null) {
            return BROKEN;
        }
        return takeNext();
    }

    /** As {@link #take}, while the device keeps to the rules. */
    abstract int takeNext();

    /**
     * The device says that it has used a chain and written so much. The chain's descriptors are
     * free if it can have done so.
     *
     * @return as {@link #take}
     */
    final int taken(int head, long length) {
        if (head >= size || head < 0 || descriptors[head] == 0) {
            brokenReason = BrokenReason.NOT_OUT;
            return BROKEN;
        }
        if (length > room[head]) {
            brokenReason = BrokenReason.WRITTEN_TOO_MUCH;
            return BROKEN;
        }
        written = length;
        release(head);
        free += descriptors[head];
        descriptors[head] = 0;
        return head;
    }

    /** The chain's descriptors and its name are free. */
    abstract void release(int head);

    /** Which rule the device has broken, one of {@link BrokenReason}, or null. */
    public final @Nullable String brokenReason() {
        return brokenReason;
    }

    /** Bytes that the device says it has written to the chain that was taken last. */
    public final long written() {
        return written;
    }

    /** Advises the device to send no interrupts. Some may still come. */
    public abstract void suppressInterrupts();

    /**
     * Asks the device for an interrupt for the next chain, and looks once more. A driver that waits
     * calls this first, and goes on taking if it is true.
     *
     * @return true if a chain is back already
     */
    public abstract boolean resumeInterrupts();

    // --- fields of the rings

    final int load(long at) {
        return Short.toUnsignedInt((short) U16.getOpaque(memory, at));
    }

    final void store(long at, int value) {
        U16.setOpaque(memory, at, (short) value);
    }
}
