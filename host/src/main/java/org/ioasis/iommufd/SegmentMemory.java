// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Memory of this process as an embedder maps it: one segment at addresses of its own choice. Whose
 * memory it is must outlive its mappings. Any thread.
 */
public final class SegmentMemory implements ProgramMemory {
    private final long first;
    private final MemorySegment bytes;
    private final LockedMemory locked;
    private final PageSource source = new Source();

    /** As {@link #SegmentMemory(long, MemorySegment, LockedMemory)}; may hold all of it. */
    public SegmentMemory(long first, MemorySegment bytes) {
        this(first, bytes, new LockedMemory(new AtomicLong(), -1));
    }

    /**
     * @param first the address of its first byte
     * @param bytes whole pages
     * @param locked charged for what is held
     */
    public SegmentMemory(long first, MemorySegment bytes, LockedMemory locked) {
        if (((first | bytes.byteSize()) & (PhysicalMemory.PAGE - 1)) != 0
                || Long.compareUnsigned(first + bytes.byteSize(), first) <= 0) {
            throw new IllegalArgumentException(
                    "0x%x bytes at 0x%x are no whole pages".formatted(bytes.byteSize(), first));
        }
        this.first = first;
        this.bytes = bytes;
        this.locked = locked;
    }

    @Override
    public boolean isGone() {
        return !bytes.scope().isAlive();
    }

    @Override
    public LockedMemory locked() {
        return locked;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return contains(address, length)
                ? source.read(address - first, to, offset, length)
                : -Errno.EFAULT.number();
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        return contains(address, length)
                ? source.write(address - first, from, offset, length)
                : -Errno.EFAULT.number();
    }

    private boolean contains(long address, long length) {
        long at = address - first;
        return Long.compareUnsigned(at, bytes.byteSize()) <= 0
                && Long.compareUnsigned(length, bytes.byteSize() - at) <= 0;
    }

    @Override
    public @Nullable PageRun pages(long address, long length, boolean isWrite) {
        if (isGone() || !contains(address, 1) || (isWrite && bytes.isReadOnly())) {
            return null;
        }
        long rest = bytes.byteSize() - (address - first);
        return new PageRun(
                source, address - first, Long.compareUnsigned(length, rest) < 0 ? length : rest);
    }

    private final class Source implements PageSource {
        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            if (isGone()) {
                return -Errno.EFAULT.number();
            }
            MemorySegment.copy(bytes, offset, to, at, length);
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            if (isGone() || bytes.isReadOnly()) {
                return -Errno.EFAULT.number();
            }
            MemorySegment.copy(from, at, bytes, offset, length);
            return 0;
        }

        @Override
        public MemorySegment memory() {
            return bytes;
        }
    }
}
