// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import org.ioasis.iommu.mapping.TableMemory;
import org.ioasis.sys.EngineMemory;

/**
 * Puts the engine's tables into the engine's memory: the two modules do not know each other. Any
 * thread.
 */
public final class EngineTables extends TableMemory {
    private final EngineMemory memory;

    public EngineTables(EngineMemory memory) {
        this.memory = memory;
    }

    @Override
    public long first() {
        return memory.first();
    }

    @Override
    public long size() {
        return memory.size();
    }

    @Override
    public long get(long word) {
        return EngineMemory.get(word);
    }

    @Override
    public long getAcquire(long word) {
        return EngineMemory.getAcquire(word);
    }

    @Override
    public void setRelease(long word, long value) {
        EngineMemory.setRelease(word, value);
    }

    @Override
    public void clear(long word, long count) {
        EngineMemory.clear(word, count);
    }
}
