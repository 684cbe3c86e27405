// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.util.Objects.requireNonNull;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * A {@link Dma} over plain memory at fixed addresses, with ranges that tests declare absent,
 * faulting or refusing. Insists on the rules that callers must keep: accesses inside a section
 * only, sections not nested. One thread.
 */
public final class FlatDma implements Dma {
    private record Region(long first, MemorySegment memory) {
        boolean contains(long address) {
            return address - first >= 0 && address - first < memory.byteSize();
        }
    }

    private record Trap(long first, long last, @Nullable Access access, Outcome outcome) {}

    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle U16 = JAVA_SHORT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    /** One word on its way to memory. */
    private final MemorySegment word = Arena.ofAuto().allocate(Long.BYTES, Long.BYTES);

    private final List<Region> regions = new ArrayList<>();
    private final List<Trap> traps = new ArrayList<>();
    private long reachLimit;
    private LongConsumer watcher = _ -> {};
    private final List<String> deviceCalls = new ArrayList<>();
    private boolean inSection;
    private int sections;
    private int faults;
    private long sectionBytes;
    private long longestSection;
    private long longestWrite;
    private @Nullable MemorySegment segment;
    private long offset;
    private long reach;

    /** Memory of {@code size} bytes at {@code first}. */
    public FlatDma(long first, long size) {
        this(first, size, Long.MAX_VALUE);
    }

    /**
     * @param reachLimit power of two: no access reaches over a multiple of it, as with an IOMMU of
     *     that granule
     */
    public FlatDma(long first, long size, long reachLimit) {
        this.reachLimit = reachLimit;
        addRegion(first, size);
    }

    /** More memory. */
    public void addRegion(long first, long size) {
        regions.add(new Region(first, Arena.ofAuto().allocate(size, 4096)));
    }

    /** From now on an access that touches {@code first..last} ends so. */
    public void trap(long first, long last, Outcome outcome) {
        traps.add(new Trap(first, last, null, outcome));
    }

    /** From now on an access of this kind that touches {@code first..last} ends so. */
    public void trap(long first, long last, Access access, Outcome outcome) {
        traps.add(new Trap(first, last, access, outcome));
    }

    /** Is told each address that is resolved, before anything is done about it. */
    public void watch(LongConsumer told) {
        watcher = told;
    }

    /** From now on no access reaches over a multiple of this power of two. */
    public void inPieces(long bytes) {
        reachLimit = bytes;
    }

    /** All memory is there and allowed again. */
    public void clearTraps() {
        traps.clear();
    }

    /** The driver's view of memory: no traps. */
    public MemorySegment memory(long address, long length) {
        for (Region r : regions) {
            if (r.contains(address)) {
                return r.memory.asSlice(address - r.first, length);
            }
        }
        throw new IllegalArgumentException("no memory at 0x" + Long.toHexString(address));
    }

    @Override
    public void deviceStarted() {
        deviceCalls.add("started");
    }

    @Override
    public void deviceReset() {
        deviceCalls.add("reset");
    }

    /** What it was told of the device, in order. */
    public List<String> deviceCalls() {
        return deviceCalls;
    }

    /** Number of sections that were closed. */
    public int sections() {
        return sections;
    }

    /** Most bytes copied in one section. */
    public long longestSection() {
        return longestSection;
    }

    /** Most bytes that were looked up to be written at once. */
    public long longestWrite() {
        return longestWrite;
    }

    /** Number of accesses that faulted. */
    public int faults() {
        return faults;
    }

    /** True inside a section. */
    public boolean isInSection() {
        return inSection;
    }

    @Override
    public void enter() {
        if (inSection) {
            throw new IllegalStateException("nested section");
        }
        inSection = true;
        sectionBytes = 0;
    }

    @Override
    public void leave() {
        requireSection();
        inSection = false;
        segment = null;
        sections++;
        longestSection = Math.max(longestSection, sectionBytes);
    }

    @Override
    public long section() {
        requireSection();
        return sections + 1L;
    }

    @Override
    public Outcome resolve(long address, long length, Access access) {
        requireSection();
        if (length < 1) {
            throw new IllegalArgumentException("length " + length);
        }
        watcher.accept(address);
        if (access == Access.WRITE) {
            longestWrite = Math.max(longestWrite, length);
        }
        // By index: iterators would be counted by tests of allocation.
        for (int i = 0; i < traps.size(); i++) {
            Trap t = traps.get(i);
            if ((t.access == null || t.access == access)
                    && Long.compareUnsigned(address, t.first) >= 0
                    && Long.compareUnsigned(address, t.last) <= 0) {
                if (t.outcome == Outcome.FAULT) {
                    faults++;
                }
                return t.outcome;
            }
        }
        for (int i = 0; i < regions.size(); i++) {
            Region r = regions.get(i);
            if (r.contains(address)) {
                segment = r.memory;
                offset = address - r.first;
                reach = Math.min(length, r.memory.byteSize() - offset);
                reach = Math.min(reach, reachLimit - (address & (reachLimit - 1)));
                for (int k = 0; k < traps.size(); k++) {
                    Trap t = traps.get(k);
                    if ((t.access == null || t.access == access)
                            && Long.compareUnsigned(t.first, address) > 0) {
                        long before = t.first - address;
                        reach = Long.compareUnsigned(before, reach) < 0 ? before : reach;
                    }
                }
                return Outcome.OK;
            }
        }
        faults++;
        return Outcome.FAULT;
    }

    @Override
    public Outcome peek(long address, long length) {
        int before = faults;
        Outcome outcome = resolve(address, length, Access.READ);
        faults = before;
        return outcome;
    }

    @Override
    public MemorySegment segment() {
        return requireNonNull(segment);
    }

    @Override
    public long offset() {
        return offset;
    }

    @Override
    public long reach() {
        return reach;
    }

    @Override
    public boolean isShort() {
        return reach >= Short.BYTES && ((segment().address() + offset) & 1) == 0;
    }

    @Override
    public int loadShort(boolean acquire) {
        return Short.toUnsignedInt((short) U16.getAcquire(segment(), offset));
    }

    @Override
    public void storeShort(int value, boolean release) {
        U16.setRelease(segment(), offset, (short) value);
    }

    @Override
    public long loadLong(long from) {
        return segment().get(LE64, offset + from);
    }

    @Override
    public boolean isLong() {
        return reach >= Long.BYTES && ((segment().address() + offset) & 7) == 0;
    }

    @Override
    public void storeLong(long from, long value, boolean release) {
        if (from < 0 || from + Long.BYTES > reach) {
            throw new IllegalArgumentException("behind what was resolved: " + from);
        }
        VarHandle.releaseFence();
        segment().set(LE64, offset + from, value);
    }

    @Override
    public Outcome readWords(long address, long[] words, int at, int length) {
        // Byte by byte, as if all of them lay apart.
        MemorySegment bytes = MemorySegment.ofArray(words);
        for (int i = 0; i < length; i++) {
            Outcome outcome = read(address + i, bytes, at + i, 1);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
        return Outcome.OK;
    }

    @Override
    public Outcome writeWords(long address, long[] words, int from, int count) {
        for (int i = 0; i < count; i++) {
            word.set(LE64, 0, words[from + i]);
            Outcome outcome = write(address + (long) Long.BYTES * i, word, 0, Long.BYTES);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
        return Outcome.OK;
    }

    @Override
    public Outcome writeInt(long address, int value) {
        return write(address, MemorySegment.ofArray(new int[] {value}), 0, Integer.BYTES);
    }

    @Override
    public Outcome read(long address, MemorySegment target, long targetOffset, long length) {
        requireSection();
        long done = 0;
        while (done < length) {
            Outcome outcome = resolve(address + done, length - done, Access.READ);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            MemorySegment.copy(segment(), offset, target, targetOffset + done, reach);
            done += reach;
            sectionBytes += reach;
        }
        return Outcome.OK;
    }

    @Override
    public Outcome write(long address, MemorySegment source, long sourceOffset, long length) {
        requireSection();
        long done = 0;
        while (done < length) {
            Outcome outcome = resolve(address + done, length - done, Access.WRITE);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            MemorySegment.copy(source, sourceOffset + done, segment(), offset, reach);
            done += reach;
            sectionBytes += reach;
        }
        return Outcome.OK;
    }

    @Override
    public @Nullable Lease pin(long address, long length, Access access, long deadlineNanos) {
        return null;
    }

    private void requireSection() {
        if (!inSection) {
            throw new IllegalStateException("outside a section");
        }
    }
}
