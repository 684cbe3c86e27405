// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.PackedRing.DESC_ADDR;
import static org.ioasis.spec.PackedRing.DESC_FLAGS;
import static org.ioasis.spec.PackedRing.DESC_LEN;
import static org.ioasis.spec.PackedRing.DESC_SIZE;
import static org.ioasis.spec.PackedRing.EVENT_DESC;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS;
import static org.ioasis.spec.PackedRing.EVENT_FLAGS_MASK;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_DESC;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_DISABLE;
import static org.ioasis.spec.PackedRing.RING_EVENT_FLAGS_ENABLE;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_INDIRECT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_NEXT;
import static org.ioasis.spec.PackedRing.VIRTQ_DESC_F_WRITE;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.ioasis.spec.PackedRing;

/**
 * The driver's side of a packed virtqueue (virtio 1.4, 2.8). One thread, as {@link DriverQueue}
 * says.
 */
final class PackedDriver extends DriverQueue {
    private static final VarHandle U64 = JAVA_LONG.withOrder(LITTLE_ENDIAN).varHandle();

    /** Names that no chain has, the next one last. */
    private final int[] freeIds;

    private int freeIdCount;

    // Positions: of the next descriptor to be written, of the first one that the device has not
    // been shown, and of the next one that it uses.
    private int nextAt;
    private int exposedAt;
    private int usedAt;

    /**
     * The second half of the first descriptor of those that were offered, whose flags make it
     * available, and them all.
     */
    private long firstFields;

    /** Descriptors that were exposed since it was last asked whether to kick. */
    private int unasked;

    PackedDriver(MemorySegment memory, long base, int size, boolean eventIdx) {
        super(memory, base, RingFormat.PACKED, size, eventIdx);
        freeIds = new int[size];
        for (int i = 0; i < size; i++) {
            freeIds[i] = size - 1 - i;
        }
        freeIdCount = size;
    }

    @Override
    int head() {
        return freeIds[freeIdCount - 1];
    }

    @Override
    void extend() {
        if (free == 0) {
            throw noRoom();
        }
        if (count > 0) {
            write(head(), lastAddress, lastLength, VIRTQ_DESC_F_NEXT | writeFlag());
        }
        free--;
        count++;
    }

    @Override
    int pair(long readAddress, long readLength, long writeAddress, long writeLength) {
        int id = head();
        write(id, readAddress, readLength, VIRTQ_DESC_F_NEXT);
        write(id, writeAddress, writeLength, VIRTQ_DESC_F_WRITE);
        freeIdCount--;
        return id;
    }

    private int writeFlag() {
        return isLastWritable ? VIRTQ_DESC_F_WRITE : 0;
    }

    @Override
    void writeEntry(MemorySegment entries, boolean isLast) {
        // Entries follow each other without NEXT, and have no id (2.8.7).
        long at = (long) DESC_SIZE * (tableCount - 1);
        entries.set(LE64, at + DESC_ADDR, lastAddress);
        entries.set(LE64, at + DESC_LEN, PackedFields.of(lastLength, 0, writeFlag()));
    }

    @Override
    int finish() {
        int id = head();
        if (table == null) {
            write(id, lastAddress, lastLength, writeFlag());
        } else {
            write(id, tableAddress, PackedRing.descBytes(tableCount), VIRTQ_DESC_F_INDIRECT);
        }
        freeIdCount--;
        return id;
    }

    /** Writes the next descriptor, for the device to see when the first one is available. */
    private void write(int id, long address, long length, int kind) {
        int flags = kind | RingPosition.available(nextAt, size);
        long at = place(nextAt);
        memory.set(LE64, at + DESC_ADDR, address);
        long fields = PackedFields.of(length, id, flags);
        if (nextAt == exposedAt) {
            firstFields = fields;
        } else {
            memory.set(LE64, at + DESC_LEN, fields);
        }
        nextAt = RingPosition.after(nextAt, 1, size);
    }

    @Override
    public void expose() {
        if (nextAt == exposedAt) {
            return;
        }
        // Release: all other descriptors before the flags that give them away (2.8.6, 2.8.21.1.1).
        U64.setRelease(memory, place(exposedAt) + DESC_LEN, firstFields);
        unasked = Math.min(unasked + RingPosition.distance(exposedAt, nextAt, size), 2 * size);
        exposedAt = nextAt;
    }

    @Override
    public boolean shouldKick() {
        int steps = unasked;
        if (steps == 0) {
            return false;
        }
        unasked = 0;
        // The flags must be visible before the device's wish is read, or both sides wait.
        VarHandle.fullFence();
        // Acquire: the device writes the flags behind the descriptor that they speak of.
        int flags = (short) U16.getAcquire(memory, deviceArea + EVENT_FLAGS) & EVENT_FLAGS_MASK;
        if (flags == RING_EVENT_FLAGS_DESC && eventIdx) {
            return RingPosition.crosses(load(deviceArea + EVENT_DESC), exposedAt, steps, size);
        }
        return flags != RING_EVENT_FLAGS_DISABLE;
    }

    private boolean isUsed(int at) {
        // Acquire: flags before id, length and buffers that they give away.
        return RingPosition.isUsed(
                (short) U16.getAcquire(memory, place(at) + DESC_FLAGS), at, size);
    }

    @Override
    public int usedCount() {
        int found = 0;
        int at = usedAt;
        int out = size - free;
        while (out > 0 && isUsed(at)) {
            found++;
            int id = PackedFields.id(memory.get(LE64, place(at) + DESC_LEN));
            if (id >= size || descriptors[id] == 0) {
                break;
            }
            at = RingPosition.after(at, descriptors[id], size);
            out -= descriptors[id];
        }
        return found;
    }

    @Override
    int takeNext() {
        // What nobody has is not given back; without this a ring that nobody has used yet would
        // look used to whoever has written zeros into it.
        if (free == size) {
            return NONE;
        }
        // Flags, id and length in one. Acquire: before the buffers that they give away.
        long fields = (long) U64.getAcquire(memory, place(usedAt) + DESC_LEN);
        if (!RingPosition.isUsed(PackedFields.flags(fields), usedAt, size)) {
            return NONE;
        }
        // The length means nothing without WRITE (2.8.4).
        boolean hasWritten = (PackedFields.flags(fields) & VIRTQ_DESC_F_WRITE) != 0;
        return taken(PackedFields.id(fields), hasWritten ? PackedFields.length(fields) : 0);
    }

    @Override
    void release(int id) {
        usedAt = RingPosition.after(usedAt, descriptors[id], size);
        freeIds[freeIdCount++] = id;
    }

    @Override
    public void suppressInterrupts() {
        store(driverArea + EVENT_FLAGS, RING_EVENT_FLAGS_DISABLE);
    }

    @Override
    public boolean resumeInterrupts() {
        if (eventIdx) {
            store(driverArea + EVENT_DESC, RingPosition.toBits(usedAt, size));
            // Release: the descriptor before the flags that speak of it.
            U16.setRelease(memory, driverArea + EVENT_FLAGS, (short) RING_EVENT_FLAGS_DESC);
        } else {
            store(driverArea + EVENT_FLAGS, RING_EVENT_FLAGS_ENABLE);
        }
        // The device marks used and then looks whether to interrupt; we the other way round.
        VarHandle.fullFence();
        return free < size && isUsed(usedAt);
    }

    private long place(int at) {
        return (long) DESC_SIZE * RingPosition.slot(at, size);
    }
}
