package org.ioasis.stress;

import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommu.mapping.TableMemory;
import org.ioasis.sys.EngineMemory;
import org.ioasis.sys.ErrnoException;

/**
 * A few tables of the engine's own memory for one test out of millions. All share one reservation:
 * a slice is used again when {@link #SLICES} others have been handed out, which is long after the
 * test that had it is over, since jcstress keeps far fewer alive (see the strides in {@link
 * Strides}). Any thread.
 */
class Tables implements TableMemory {
    private static final int TABLE_BYTES = 4096;
    private static final int TABLES = 8;
    private static final int SLICES = 3 * Strides.SIZE * Strides.COUNT;
    private static final long SLICE_BYTES = (long) TABLES * TABLE_BYTES;
    private static final EngineMemory ALL = reserve();
    private static final AtomicInteger NEXT = new AtomicInteger();

    private final long first;

    Tables() {
        int slice = Math.floorMod(NEXT.getAndIncrement(), SLICES);
        first = ALL.first() + slice * SLICE_BYTES;
        EngineMemory.clear(first, SLICE_BYTES);
    }

    private static EngineMemory reserve() {
        try {
            return EngineMemory.reserve(SLICES * SLICE_BYTES);
        } catch (ErrnoException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public final long first() {
        return first;
    }

    @Override
    public final long size() {
        return SLICE_BYTES;
    }

    @Override
    public final long get(long address) {
        return EngineMemory.get(address);
    }

    @Override
    public long getAcquire(long address) {
        return EngineMemory.getAcquire(address);
    }

    @Override
    public final void setRelease(long address, long value) {
        EngineMemory.setRelease(address, value);
    }

    @Override
    public final void clear(long address, long bytes) {
        EngineMemory.clear(address, bytes);
    }
}
