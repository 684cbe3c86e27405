// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.lang.foreign.MemorySegment;
import org.ioasis.memory.Dma;
import org.ioasis.spec.InflightLog;
import org.ioasis.spec.PackedRing;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;

/**
 * How driver and device lay out a virtqueue in memory (virtio 1.4, 2.6), as they have agreed with
 * the features. Any thread.
 */
public enum RingFormat {
    /** A table of descriptors, a ring of available chains and one of used ones. 2.7. */
    SPLIT {
        @Override
        public boolean isSize(int size, int max) {
            return size >= 1 && size <= max && Integer.bitCount(size) == 1;
        }

        @Override
        public boolean isLayout(int size, long desc, long driver, long device) {
            return isPlace(desc, SplitRing.descBytes(size), SplitRing.DESC_SIZE)
                    && isPlace(driver, SplitRing.availBytes(size), SplitRing.AVAIL_ALIGN)
                    && isPlace(device, SplitRing.usedBytes(size), SplitRing.USED_ALIGN);
        }

        @Override
        public DeviceQueue newQueue(Dma dma, int sizeMax) {
            return new SplitQueue(dma, sizeMax);
        }

        @Override
        public long logBytes(int entries) {
            return aligned(SplitLog.bytes(entries));
        }

        @Override
        public ChainLog newLog(MemorySegment region, int entries) {
            return new SplitLog(region, entries);
        }

        @Override
        long descBytes(int size) {
            return SplitRing.descBytes(size);
        }

        @Override
        long driverAreaBytes(int size) {
            return SplitRing.availBytes(size);
        }

        @Override
        long deviceAreaBytes(int size) {
            return SplitRing.usedBytes(size);
        }

        @Override
        DriverQueue driver(MemorySegment memory, long base, int size, boolean eventIdx) {
            return new SplitDriver(memory, base, size, eventIdx);
        }
    },

    /** One ring of descriptors that both sides write. 2.8. */
    PACKED {
        @Override
        public boolean isSize(int size, int max) {
            return size >= 1 && size <= max;
        }

        @Override
        public boolean isLayout(int size, long desc, long driver, long device) {
            return isPlace(desc, PackedRing.descBytes(size), PackedRing.DESC_SIZE)
                    && isPlace(driver, PackedRing.EVENT_SIZE, PackedRing.EVENT_SIZE)
                    && isPlace(device, PackedRing.EVENT_SIZE, PackedRing.EVENT_SIZE);
        }

        @Override
        public DeviceQueue newQueue(Dma dma, int sizeMax) {
            return new PackedQueue(dma, sizeMax);
        }

        @Override
        public long logBytes(int entries) {
            return aligned(PackedLog.bytes(entries));
        }

        @Override
        public ChainLog newLog(MemorySegment region, int entries) {
            return new PackedLog(region, entries);
        }

        @Override
        long descBytes(int size) {
            return PackedRing.descBytes(size);
        }

        @Override
        long driverAreaBytes(int size) {
            return PackedRing.EVENT_SIZE;
        }

        @Override
        long deviceAreaBytes(int size) {
            return PackedRing.EVENT_SIZE;
        }

        @Override
        DriverQueue driver(MemorySegment memory, long base, int size, boolean eventIdx) {
            return new PackedDriver(memory, base, size, eventIdx);
        }
    };

    /** As negotiated: packed with RING_PACKED, and otherwise split. */
    public static RingFormat of(long features) {
        return (features & Virtio.F_RING_PACKED) != 0 ? PACKED : SPLIT;
    }

    /** True if a queue may have {@code size} entries, {@code max} at most. */
    public abstract boolean isSize(int size, int max);

    /**
     * True if the three parts of a queue with {@code size} entries are aligned and none runs over
     * the end of the address space.
     *
     * @param desc address of the descriptor area
     * @param driver address of the driver area
     * @param device address of the device area
     */
    public abstract boolean isLayout(int size, long desc, long driver, long device);

    /**
     * The device's side of a queue, stopped.
     *
     * @param sizeMax the largest size that {@link DeviceQueue#start} may ask for
     * @throws IllegalArgumentException if that is no size
     */
    public abstract DeviceQueue newQueue(Dma dma, int sizeMax);

    /** Bytes of the log of a queue of no more than so many entries. */
    public abstract long logBytes(int entries);

    /**
     * A log for {@link DeviceQueue#log}.
     *
     * @param region {@link #logBytes}, aligned to 8; zeros, or what somebody has left there
     */
    public abstract ChainLog newLog(MemorySegment region, int entries);

    private static long aligned(long bytes) {
        return (bytes + InflightLog.ALIGN - 1) & -InflightLog.ALIGN;
    }

    /** Bytes of memory for the three parts of a queue of this size, as its driver lays them out. */
    public final long driverBytes(int size) {
        return DriverQueue.deviceArea(this, size) + deviceAreaBytes(size);
    }

    /**
     * The driver's side of an empty queue. Its memory is overwritten with zeros.
     *
     * @param memory {@link #driverBytes} for the rings, as the driver sees them; aligned to 16
     * @param base where the device sees {@code memory}; a multiple of 16
     * @param eventIdx EVENT_IDX is negotiated
     * @throws IllegalArgumentException if {@code size} is none
     */
    public final DriverQueue newDriver(
            MemorySegment memory, long base, int size, boolean eventIdx) {
        if (!isSize(size, SplitRing.QUEUE_SIZE_MAX)) {
            throw new IllegalArgumentException("queue size " + size);
        }
        return driver(memory, base, size, eventIdx);
    }

    abstract DriverQueue driver(MemorySegment memory, long base, int size, boolean eventIdx);

    /** Bytes of the descriptor area. */
    abstract long descBytes(int size);

    /** Bytes of the driver area. */
    abstract long driverAreaBytes(int size);

    /** Bytes of the device area. */
    abstract long deviceAreaBytes(int size);

    private static boolean isPlace(long address, long length, int alignment) {
        return (address & (alignment - 1)) == 0
                && Long.compareUnsigned(address, address + length - 1) <= 0;
    }
}
