// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * A range that a device reads again and again, such as a part of a queue's rings: looked up once in
 * each guarded section, in which nothing that was found can go away. One that does not lie in one
 * piece, or not at all, is not found here, and each access to it is looked up for itself, with all
 * consequences. For reading only: what a device writes goes through its {@link Dma}.
 *
 * <p>The thread of the sections, inside one. Bounded: holds nothing but one region of guest memory.
 */
public final class ReadRange {
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfShort LE16 = JAVA_SHORT.withOrder(LITTLE_ENDIAN);
    private static final VarHandle U16 = LE16.varHandle();
    private static final VarHandle U64 = JAVA_LONG.withOrder(LITTLE_ENDIAN).varHandle();
    private static final MemorySegment NOWHERE = MemorySegment.ofArray(new byte[0]);

    /** No section has this number. */
    private static final long NEVER = 0;

    private final Dma dma;
    private long address;
    private long bytes;

    /** The section in which it was looked up. */
    private long section = NEVER;

    private boolean isFound;
    private boolean isInWords;
    private MemorySegment segment = NOWHERE;
    private long offset;

    /**
     * A range of nothing.
     *
     * @param dma by which it is looked up
     */
    public ReadRange(Dma dma) {
        this.dma = dma;
    }

    /** Lies there from now on. */
    public void begin(long newAddress, long newBytes) {
        address = newAddress;
        bytes = newBytes;
        section = NEVER;
        segment = NOWHERE;
    }

    /** Where a byte of it lies for the device. */
    public long address(long at) {
        return address + at;
    }

    /** True if all of it lies in one piece, where numbers of 16 bits can be read in one access. */
    public boolean isFound() {
        return section == dma.section() ? isFound : find();
    }

    /** True if it {@link #isFound}, where numbers of 64 bits can be read in one access, too. */
    public boolean isInWords() {
        return isFound() && isInWords;
    }

    private boolean find() {
        section = dma.section();
        isFound = dma.resolveWhole(address, bytes) && dma.isShort();
        isInWords = isFound && dma.isLong();
        segment = isFound ? dma.segment() : NOWHERE;
        offset = isFound ? dma.offset() : 0;
        return isFound;
    }

    /** The number at an even byte. Only where it {@link #isFound}. */
    public int u16(long at) {
        return Short.toUnsignedInt(segment.get(LE16, offset + at));
    }

    /** As {@link #u16}; later accesses stay behind it. */
    public int u16Acquire(long at) {
        return Short.toUnsignedInt((short) U16.getAcquire(segment, offset + at));
    }

    /**
     * The number of eight bytes at a multiple of eight; later accesses stay behind it. Only where
     * it {@link #isInWords}.
     */
    public long u64Acquire(long at) {
        return (long) U64.getAcquire(segment, offset + at);
    }

    /** The eight bytes from there on. Only where it {@link #isFound}. */
    public long u64(long at) {
        return segment.get(LE64, offset + at);
    }
}
