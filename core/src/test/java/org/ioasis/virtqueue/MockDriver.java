// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
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

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.List;
import org.ioasis.spec.PackedRing;
import org.ioasis.spec.SplitRing;
import org.jspecify.annotations.Nullable;

/**
 * A driver of a virtqueue for tests: {@link DriverQueue} with chains given as lists and in any
 * layout, and raw access to every field for tests that break the rules. One thread.
 *
 * <p>Its memory: {@link #footprint} bytes for the rings and one indirect table per descriptor, from
 * a base address on that is a multiple of 16.
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
        /** The first descriptor in the ring, the rest in a table; all of it in a packed ring. */
        MIXED
    }

    private static final VarHandle U16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN).varHandle();
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final DriverQueue driver;
    private final RingFormat format;
    private final long base;
    private final long desc;
    private final long avail;
    private final long used;
    private final long tables;
    private final MemorySegment memory;
    private int nextSlot;
    private int lastSlot;

    /** Of a split queue. */
    public MockDriver(MemorySegment memory, long base, int size, boolean eventIdx) {
        this(RingFormat.SPLIT, memory, base, size, eventIdx);
    }

    /**
     * @param memory the driver's own view, {@link #footprint} bytes
     * @param base where the device sees {@code memory}
     */
    public MockDriver(
            RingFormat format, MemorySegment memory, long base, int size, boolean eventIdx) {
        this.memory = memory;
        this.base = base;
        this.format = format;
        driver = format.newDriver(memory, base, size, eventIdx);
        desc = driver.descAddress();
        avail = driver.driverAddress();
        used = driver.deviceAddress();
        tables = base + tables(size);
    }

    private static long tables(int size) {
        // A split ring is the larger one.
        return (RingFormat.SPLIT.driverBytes(size) + 15) & -16;
    }

    /** Bytes of memory for a queue of this size, whatever its format. */
    public static long footprint(int size) {
        return tables(size) + SplitRing.descBytes(tableEntries(size)) * size;
    }

    private static int tableEntries(int size) {
        // Large queues have short tables, because the memory of tests is small.
        return Math.min(size, size > 256 ? 32 : 128);
    }

    public int size() {
        return driver.size();
    }

    /** Address of the descriptor area, for the device. */
    public long descAddress() {
        return desc;
    }

    /** Address of the driver area, for the device. */
    public long driverAddress() {
        return avail;
    }

    /** Address of the device area, for the device. */
    public long deviceAddress() {
        return used;
    }

    /** Address of the indirect table that belongs to a descriptor, for the device. */
    public long tableAddress(int head) {
        return tables + SplitRing.descBytes(tableEntries(size())) * head;
    }

    // --- the well-behaved driver

    /** True if {@link #add} has room for a chain of so many descriptors in the ring. */
    public boolean hasRoom(int descriptors) {
        return driver.hasRoom(descriptors);
    }

    /** Puts a chain into the ring; the device sees it after {@link #expose}. Returns its head. */
    public int add(Layout layout, List<Buffer> buffers) {
        int direct =
                switch (layout) {
                    case DIRECT -> buffers.size();
                    case INDIRECT -> 0;
                    case MIXED -> format == RingFormat.SPLIT ? 1 : 0;
                };
        int head = driver.begin();
        lastSlot = nextSlot;
        nextSlot = (nextSlot + Math.min(buffers.size(), direct + 1)) % driver.size();
        for (int i = 0; i < buffers.size(); i++) {
            if (i == direct) {
                driver.intoTable(table(head, buffers.size() - direct), tableAddress(head));
            }
            Buffer b = buffers.get(i);
            if (b.writable) {
                driver.writable(b.address, b.length);
            } else {
                driver.readable(b.address, b.length);
            }
        }
        driver.offer();
        return head;
    }

    private MemorySegment table(int head, int entries) {
        if (entries > tableEntries(size())) {
            throw new IllegalArgumentException("table for " + entries + " buffers");
        }
        return memory.asSlice(tableAddress(head) - base, SplitRing.descBytes(entries));
    }

    /** Shows the device all added chains. Returns whether it wants a kick. */
    public boolean expose() {
        driver.expose();
        return driver.shouldKick();
    }

    /** Takes the next chain that came back, or null. */
    public @Nullable Used poll() {
        int head = driver.take();
        if (head == DriverQueue.BROKEN) {
            throw new IllegalStateException(driver.brokenReason());
        }
        return head == DriverQueue.NONE ? null : new Used(head, driver.written());
    }

    /** Wants an interrupt for the next chain that comes back, or none. True if one is back. */
    public boolean wantInterrupt(boolean wanted) {
        if (wanted) {
            return driver.resumeInterrupts();
        }
        driver.suppressInterrupts();
        return false;
    }

    // --- raw access to any ring

    /** 16 bits of the driver's memory, where the device sees them. */
    public int peek(long address) {
        return u16(address);
    }

    /** Writes 16 bits of the driver's memory, where the device sees them. */
    public void poke(long address, int value) {
        u16(address, value);
    }

    // --- raw access to a packed ring

    /** Writes a descriptor of a packed ring. */
    public void packed(int slot, long address, long length, int id, int flags) {
        packedAt(desc + (long) DESC_SIZE * slot, address, length, id, flags);
    }

    /** Writes a packed descriptor anywhere in the driver's memory. */
    public void packedAt(long at, long address, long length, int id, int flags) {
        long o = at - base;
        memory.set(LE64, o + PackedRing.DESC_ADDR, address);
        memory.set(LE32, o + PackedRing.DESC_LEN, (int) length);
        u16(at + PackedRing.DESC_ID, id);
        u16(at + PackedRing.DESC_FLAGS, flags);
    }

    /** Where in a packed ring the chain begins that was added last. */
    public int lastSlot() {
        return lastSlot;
    }

    /** Flags of a descriptor of a packed ring. */
    public int packedFlags(int slot) {
        return u16(desc + (long) DESC_SIZE * slot + PackedRing.DESC_FLAGS);
    }

    /** What a descriptor of a packed ring says. */
    public String packedText(int slot) {
        long at = desc + (long) DESC_SIZE * slot;
        return "0x%x+%d id %d flags 0x%x"
                .formatted(
                        memory.get(LE64, at - base + PackedRing.DESC_ADDR),
                        Integer.toUnsignedLong(memory.get(LE32, at - base + PackedRing.DESC_LEN)),
                        u16(at + PackedRing.DESC_ID),
                        u16(at + PackedRing.DESC_FLAGS));
    }

    // --- raw access to a split ring

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
        return u16(used + SplitRing.availEvent(size()));
    }

    public void usedEvent(int idx) {
        u16(avail + SplitRing.usedEvent(size()), idx);
    }

    private int u16(long address) {
        return Short.toUnsignedInt((short) U16.getOpaque(memory, address - base));
    }

    private void u16(long address, int value) {
        U16.setOpaque(memory, address - base, (short) value);
    }
}
