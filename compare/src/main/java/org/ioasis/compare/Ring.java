// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.ioasis.spec.SplitRing.*;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.List;

/**
 * The driver's side of a split ring in a machine's memory (virtio 1.4, 2.7). The device is told of
 * each batch, and no interrupt is asked for. Which descriptors are free is the caller's business.
 * One thread.
 */
final class Ring {
    static final int SIZE = 256;

    /** Bytes of guest memory for the three parts, each on a page of its own. */
    static final long BYTES = 0x4000;

    private static final VarHandle INDEX = JAVA_SHORT.varHandle();
    private static final long AVAIL = 0x1000;
    private static final long USED = 0x2000;

    /** A buffer of a chain. */
    record Buffer(long address, int length, boolean isWritable) {}

    private final MemorySegment ram;
    private final long base;
    private short available;
    private short seen;

    /** Lies at {@code base} in guest memory, page-aligned. */
    Ring(MemorySegment ram, long base) {
        this.ram = ram;
        this.base = base;
    }

    /** Empty, for a device that was reset. */
    void clear() {
        ram.asSlice(base, BYTES).fill((byte) 0);
        available = 0;
        seen = 0;
        ram.set(JAVA_SHORT, base + AVAIL + AVAIL_FLAGS, (short) VIRTQ_AVAIL_F_NO_INTERRUPT);
    }

    long descAddress() {
        return base;
    }

    long availAddress() {
        return base + AVAIL;
    }

    long usedAddress() {
        return base + USED;
    }

    /** Puts a chain at descriptors {@code head} and following; hidden until {@link #expose}. */
    void add(int head, List<Buffer> buffers) {
        write(base, head, buffers);
        offer(head);
    }

    /**
     * Puts a chain into a table of its own at {@code table}, and one descriptor at {@code head}.
     */
    void addIndirect(int head, long table, List<Buffer> buffers) {
        write(table, 0, buffers);
        int bytes = (int) descBytes(buffers.size());
        descriptor(base, head, table, bytes, VIRTQ_DESC_F_INDIRECT, 0);
        offer(head);
    }

    private void write(long table, int first, List<Buffer> buffers) {
        for (int i = 0; i < buffers.size(); i++) {
            Buffer buffer = buffers.get(i);
            int flags =
                    (buffer.isWritable() ? VIRTQ_DESC_F_WRITE : 0)
                            | (i + 1 < buffers.size() ? VIRTQ_DESC_F_NEXT : 0);
            descriptor(table, first + i, buffer.address(), buffer.length(), flags, first + i + 1);
        }
    }

    private void descriptor(long table, int index, long address, int length, int flags, int next) {
        long at = table + descBytes(index);
        ram.set(JAVA_LONG_UNALIGNED, at + DESC_ADDR, address);
        ram.set(JAVA_INT_UNALIGNED, at + DESC_LEN, length);
        ram.set(JAVA_SHORT, at + DESC_FLAGS, (short) flags);
        ram.set(JAVA_SHORT, at + DESC_NEXT, (short) next);
    }

    private void offer(int head) {
        long slot = (long) AVAIL_ELEM_SIZE * (Short.toUnsignedInt(available) % SIZE);
        ram.set(JAVA_SHORT, base + AVAIL + AVAIL_RING + slot, (short) head);
        available++;
    }

    /** Shows the device what was added. */
    void expose() {
        INDEX.setRelease(ram, base + AVAIL + AVAIL_IDX, available);
    }

    /** Chains that the device has given back and that were not taken yet. */
    int usedCount() {
        short used = (short) INDEX.getAcquire(ram, base + USED + USED_IDX);
        return Short.toUnsignedInt((short) (used - seen));
    }

    /** Takes the next chain back: its head in the upper half, its used length in the lower. */
    long take() {
        long slot = (long) USED_ELEM_SIZE * (Short.toUnsignedInt(seen) % SIZE);
        long at = base + USED + USED_RING + slot;
        seen++;
        return ((long) ram.get(JAVA_INT_UNALIGNED, at + USED_ELEM_ID) << 32)
                | Integer.toUnsignedLong(ram.get(JAVA_INT_UNALIGNED, at + USED_ELEM_LEN));
    }
}
