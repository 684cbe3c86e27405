// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.BareCaller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.ProgramMemory;
import org.jspecify.annotations.Nullable;

/**
 * A process with memory at one place, page by page where it was told: contiguous, or scattered, or
 * not there. One thread.
 */
final class StubProcess extends BareCaller implements ProgramMemory {
    static final long PAGE = 4096;
    static final long AT = 1L << 40;
    static final long BYTES = 64L << 20;

    private final MemorySegment bytes = Arena.ofAuto().allocate(BYTES, PAGE);
    private final LockedMemory locked;
    private final Map<Long, Long> moved = new HashMap<>();
    final PageSource source = new Source();
    boolean isDeaf;
    long reads;

    StubProcess() {
        this(-1);
    }

    StubProcess(long limitPages) {
        locked = new LockedMemory(new AtomicLong(), limitPages);
    }

    private final class Source implements PageSource {
        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            MemorySegment.copy(bytes, offset, to, at, length);
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            MemorySegment.copy(from, at, bytes, offset, length);
            return 0;
        }
    }

    /** The page at a user address lies elsewhere in the memory behind; -1: nowhere. */
    void move(long address, long offset) {
        moved.put(address, offset);
    }

    MemorySegment bytes() {
        return bytes;
    }

    Task task() {
        return new Task(this, mayLock, failures());
    }

    @Override
    public @Nullable PageRun pages(long address, long length, boolean isWrite) {
        if (Long.compareUnsigned(address - AT, BYTES) >= 0) {
            return null;
        }
        Long offset = moved.get(address);
        if (offset != null) {
            return offset < 0 ? null : new PageRun(source, offset, PAGE);
        }
        long end = Math.min(AT + BYTES, length > BYTES ? AT + BYTES : address + length);
        long at = address + PAGE;
        while (at < end && !moved.containsKey(at)) {
            at += PAGE;
        }
        return new PageRun(source, address - AT, at - address);
    }

    @Override
    public boolean isGone() {
        return false;
    }

    @Override
    public LockedMemory locked() {
        return locked;
    }

    @Override
    public ProgramMemory memory() {
        return this;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        reads++;
        long at = address - AT;
        if (Long.compareUnsigned(at, BYTES) >= 0 || length > BYTES - at) {
            return -Errno.EFAULT.number();
        }
        MemorySegment.copy(bytes, at, to, offset, length);
        return 0;
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        long at = address - AT;
        if (isDeaf || Long.compareUnsigned(at, BYTES) >= 0 || length > BYTES - at) {
            return -Errno.EFAULT.number();
        }
        MemorySegment.copy(from, offset, bytes, at, length);
        return 0;
    }
}
