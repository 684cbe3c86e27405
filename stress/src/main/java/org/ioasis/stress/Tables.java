// SPDX-License-Identifier: Apache-2.0
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
class Tables extends TableMemory {
    private static final int TABLES = 8;
    private static final long SLICE_WORDS = TABLES * 512;
    private static final int SLICES = 3 * Strides.SIZE * Strides.COUNT;
    private static final EngineMemory ALL = reserve();
    private static final AtomicInteger NEXT = new AtomicInteger();

    private final long first;

    Tables() {
        int slice = Math.floorMod(NEXT.getAndIncrement(), SLICES);
        first = ALL.first() + slice * SLICE_WORDS;
        EngineMemory.clear(first, SLICE_WORDS);
    }

    private static EngineMemory reserve() {
        try {
            return EngineMemory.reserve(SLICES * SLICE_WORDS * Long.BYTES);
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
        return SLICE_WORDS;
    }

    @Override
    public final long get(long word) {
        return EngineMemory.get(word);
    }

    @Override
    public long getAcquire(long word) {
        return EngineMemory.getAcquire(word);
    }

    @Override
    public final void setRelease(long word, long value) {
        EngineMemory.setRelease(word, value);
    }

    @Override
    public final void clear(long word, long count) {
        EngineMemory.clear(word, count);
    }
}
