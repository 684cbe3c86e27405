// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * Where the pages of a mapping come from when nobody holds them yet. Indices count pages from the
 * mapping's first. Under the lock of a context.
 */
sealed interface PageOrigin {
    /**
     * The pages at an index and on, as far as they lie side by side.
     *
     * @return null if the first of them is not there
     */
    @Nullable PageRun run(long index, long pages, boolean isWrite);

    /** Address or offset of the first page. */
    long first();

    /** Whether pages may be held for an access that is not a page table. */
    default boolean mayBePinned() {
        return true;
    }

    /** Whether it may be charged to another process later. */
    default boolean isFile() {
        return true;
    }

    /** The mapping is gone. */
    default void close() {}

    /**
     * Addresses of a process; that process can be gone when they are first used.
     *
     * @param isDevice all of them are a device's, which the process has mapped; or else none is
     */
    record Addresses(ProgramMemory memory, long first, boolean isDevice) implements PageOrigin {
        @Override
        public @Nullable PageRun run(long index, long pages, boolean isWrite) {
            PageRun found =
                    memory.isGone()
                            ? null
                            : memory.pages(
                                    first + (index << PhysicalMemory.PAGE_LG2),
                                    pages << PhysicalMemory.PAGE_LG2,
                                    isWrite);
            return found == null || found.source().isDevice() != isDevice ? null : found;
        }

        @Override
        public boolean mayBePinned() {
            return !isDevice;
        }

        @Override
        public boolean isFile() {
            return false;
        }
    }

    /** An open file, which this keeps open. */
    record File(ProgramFile file, long first) implements PageOrigin {
        @Override
        public @Nullable PageRun run(long index, long pages, boolean isWrite) {
            long offset = first + (index << PhysicalMemory.PAGE_LG2);
            long size = (file.size() + PhysicalMemory.PAGE - 1) & -PhysicalMemory.PAGE;
            if (Long.compareUnsigned(offset, size) >= 0) {
                return null;
            }
            return new PageRun(
                    file.source(),
                    offset,
                    Math.min(pages << PhysicalMemory.PAGE_LG2, size - offset));
        }

        @Override
        public void close() {
            file.close();
        }
    }

    /** A buffer of a device, which can be revoked. */
    record Buffer(RevocableBuffer buffer, long first) implements PageOrigin {
        @Override
        public @Nullable PageRun run(long index, long pages, boolean isWrite) {
            return buffer.isRevoked()
                    ? null
                    : new PageRun(
                            buffer.source(),
                            first + (index << PhysicalMemory.PAGE_LG2),
                            pages << PhysicalMemory.PAGE_LG2);
        }

        @Override
        public boolean mayBePinned() {
            return false;
        }

        @Override
        public boolean isFile() {
            return false;
        }
    }
}
