// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static org.ioasis.spec.SplitRing.AVAIL_ELEM_SIZE;
import static org.ioasis.spec.SplitRing.AVAIL_FLAGS;
import static org.ioasis.spec.SplitRing.AVAIL_IDX;
import static org.ioasis.spec.SplitRing.AVAIL_RING;
import static org.ioasis.spec.SplitRing.DESC_ADDR;
import static org.ioasis.spec.SplitRing.DESC_LEN;
import static org.ioasis.spec.SplitRing.DESC_SIZE;
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
import java.lang.invoke.VarHandle;
import org.ioasis.spec.SplitRing;

/**
 * The driver's side of a split virtqueue (virtio 1.4, 2.7). One thread, as {@link DriverQueue}
 * says.
 */
final class SplitDriver extends DriverQueue {
    /** Which descriptor comes after one, of those that are free and of a chain that is out. */
    private final int[] following;

    private int firstFree;

    private int offeredIdx;
    private int exposedIdx;
    private int askedIdx;
    private int takenIdx;

    /** How far the device was seen to be. */
    private int usedIdx;

    // Of the chain that is being built.
    private int head;
    private int last;

    SplitDriver(MemorySegment memory, long base, int size, boolean eventIdx) {
        super(memory, base, RingFormat.SPLIT, size, eventIdx);
        following = new int[size];
        for (int i = 0; i < size; i++) {
            following[i] = i + 1;
        }
    }

    @Override
    int head() {
        head = firstFree;
        return head;
    }

    @Override
    void extend() {
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

    @Override
    void writeEntry(MemorySegment entries, boolean isLast) {
        int index = tableCount - 1;
        write(entries, index, isLast ? 0 : VIRTQ_DESC_F_NEXT, isLast ? 0 : tableCount);
    }

    /** Writes the last buffer's descriptor, with {@code NEXT} and the next one if there is one. */
    private void write(MemorySegment entries, int index, int isLinked, int next) {
        int flags = isLinked | (isLastWritable ? VIRTQ_DESC_F_WRITE : 0);
        write(entries, index, lastAddress, lastLength, flags, next);
    }

    private static void write(
            MemorySegment entries, int index, long address, long length, int flags, int next) {
        long at = (long) DESC_SIZE * index;
        entries.set(LE64, at + DESC_ADDR, address);
        entries.set(LE64, at + DESC_LEN, DescriptorFields.of(length, flags, next));
    }

    @Override
    int finish() {
        if (table == null) {
            write(memory, last, 0, 0);
        } else {
            long bytes = SplitRing.descBytes(tableCount);
            write(memory, last, tableAddress, bytes, VIRTQ_DESC_F_INDIRECT, 0);
        }
        return enter(head);
    }

    @Override
    int pair(long readAddress, long readLength, long writeAddress, long writeLength) {
        int first = firstFree;
        int second = following[first];
        firstFree = following[second];
        write(memory, first, readAddress, readLength, VIRTQ_DESC_F_NEXT, second);
        write(memory, second, writeAddress, writeLength, VIRTQ_DESC_F_WRITE, 0);
        return enter(first);
    }

    /** Enters a chain that is complete in the available ring. */
    private int enter(int name) {
        // Plain, as descriptors are: it counts when the index has moved.
        memory.set(
                LE16,
                driverArea + AVAIL_RING + (long) AVAIL_ELEM_SIZE * slot(offeredIdx),
                (short) name);
        offeredIdx = RingIndex.after(offeredIdx);
        return name;
    }

    @Override
    public void expose() {
        exposedIdx = offeredIdx;
        // Release: entries and descriptors before the index that gives them away (2.7.13.3.1).
        U16.setRelease(memory, driverArea + AVAIL_IDX, (short) exposedIdx);
    }

    @Override
    public boolean shouldKick() {
        int from = askedIdx;
        if (from == exposedIdx) {
            return false;
        }
        askedIdx = exposedIdx;
        // avail.idx must be visible before avail_event or flags are read, or both sides wait.
        VarHandle.fullFence();
        if (eventIdx) {
            int event = load(deviceArea + SplitRing.availEvent(size));
            return RingIndex.crosses(event, from, exposedIdx);
        }
        return (load(deviceArea + USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
    }

    @Override
    public int usedCount() {
        // Acquire: the index before the elements and buffers that it gives away (2.7.14).
        usedIdx = Short.toUnsignedInt((short) U16.getAcquire(memory, deviceArea + USED_IDX));
        return RingIndex.distance(takenIdx, usedIdx);
    }

    @Override
    int takeNext() {
        if (usedIdx == takenIdx && usedCount() == 0) {
            return NONE;
        }
        long element = deviceArea + USED_RING + (long) USED_ELEM_SIZE * slot(takenIdx);
        // Name and length in one.
        long idAndLength = memory.get(LE64, element + USED_ELEM_ID);
        int id = taken((int) idAndLength, idAndLength >>> Integer.SIZE);
        if (id != BROKEN) {
            takenIdx = RingIndex.after(takenIdx);
        }
        return id;
    }

    @Override
    void release(int id) {
        int end = id;
        for (int left = descriptors[id]; left > 1; left--) {
            end = following[end];
        }
        following[end] = firstFree;
        firstFree = id;
    }

    @Override
    public void suppressInterrupts() {
        if (eventIdx) {
            store(driverArea + SplitRing.usedEvent(size), RingIndex.before(takenIdx));
        } else {
            store(driverArea + AVAIL_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
        }
    }

    @Override
    public boolean resumeInterrupts() {
        if (eventIdx) {
            store(driverArea + SplitRing.usedEvent(size), takenIdx);
        } else {
            store(driverArea + AVAIL_FLAGS, 0);
        }
        // The device writes used.idx and then looks whether to interrupt; we the other way round.
        VarHandle.fullFence();
        return usedCount() > 0;
    }

    private int slot(int index) {
        return index & (size - 1);
    }
}
