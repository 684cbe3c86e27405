// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * A piece of one of our files that programs may map: memory of a device, which other devices reach
 * where an address space shows it, and software does not. What is held outlives the file that it
 * was a piece of. Supervisor's thread.
 */
final class DeviceWindow implements PageSource {
    private final long offset;
    private final Mapping mapping;

    /** As devices reach it. */
    private @Nullable MemorySegment reached;

    private @Nullable Arena held;

    /**
     * @param offset where in the file
     */
    DeviceWindow(long offset, Mapping mapping) {
        this.offset = offset;
        this.mapping = mapping;
    }

    MemorySegment bytes() {
        return mapping.segment();
    }

    /** The run from a place of the file on; null: it does not begin in here. */
    @Nullable PageRun pages(long at, long length) {
        long within = at - offset;
        long size = bytes().byteSize();
        return within < 0 || within >= size
                ? null
                : new PageRun(this, within, Math.min(length, size - within));
    }

    @Override
    public boolean isDevice() {
        return true;
    }

    @Override
    public void hold() {
        Arena arena = Arena.ofShared();
        held = arena;
        reached = mapping.lend(0, bytes().byteSize(), arena);
    }

    @Override
    public void release() {
        Arena arena = held;
        held = null;
        reached = null;
        if (arena != null) {
            arena.close();
        }
    }

    @Override
    public @Nullable MemorySegment memory() {
        return reached;
    }

    /** Only page tables hold pages of a device. */
    @Override
    public int read(long from, MemorySegment to, long at, long length) {
        return -Errno.EFAULT.number();
    }

    @Override
    public int write(long to, MemorySegment from, long at, long length) {
        return -Errno.EFAULT.number();
    }

    /** Nobody finds it any more. */
    void close() {
        mapping.close();
    }

    @Override
    public String toString() {
        return "window of a device at 0x%x".formatted(offset);
    }
}
