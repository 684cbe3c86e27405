// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.ioasis.sys.ProcessMemory;
import org.jspecify.annotations.Nullable;

/**
 * The memory of one process, or of several that share it, from the first call that named it until
 * it is gone. Supervisor's thread.
 */
final class AddressSpace implements ProgramMemory {
    private final ProcessMemory memory;
    private final AddressSpaces spaces;
    private final LockedMemory locked;
    private final PageSource own = new PrivatePages();
    private boolean isGone;

    AddressSpace(ProcessMemory memory, AddressSpaces spaces, LockedMemory locked) {
        this.memory = memory;
        this.spaces = spaces;
        this.locked = locked;
    }

    /** Number of the process. */
    int process() {
        return memory.process();
    }

    @Override
    public boolean isGone() {
        if (!isGone && memory.isGone()) {
            close();
        }
        return isGone;
    }

    @Override
    public LockedMemory locked() {
        return locked;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return !isGone() && memory.read(address, to, offset, length) == 0 ? 0 : -Errno.EFAULT;
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        return !isGone() && memory.write(address, from, offset, length) == 0 ? 0 : -Errno.EFAULT;
    }

    @Override
    public @Nullable PageRun pages(long address, long length, boolean isWrite) {
        MappedRange range = isGone() ? null : spaces.ranges().at(process(), address);
        if (range == null
                || !range.isReadable()
                || (isWrite && !range.isWritable())
                || range.isSpecial()) {
            return null;
        }
        long rest = range.last() - address;
        long run = Long.compareUnsigned(length - 1, rest) <= 0 ? length : rest + 1;
        if (!range.isShared()) {
            spaces.notePrivate();
            return new PageRun(own, address, run);
        }
        if (spaces.standIns().isOurs(range.key())) {
            return spaces.standIns().windowPages(range.key(), range.offsetOf(address), run);
        }
        SharedPages pages = spaces.shared(range.key());
        pages.seen(this, range);
        return new PageRun(pages, range.offsetOf(address), run);
    }

    /** A descriptor of the file that is mapped at a range; null if there is no way to it. */
    @Nullable Fd openMapped(MappedRange range) {
        // The kernel shows every mapping as a file, to those with CAP_CHECKPOINT_RESTORE.
        String path =
                "/proc/%d/map_files/%x-%x".formatted(process(), range.first(), range.last() + 1);
        for (int flags : new int[] {FileBytes.O_RDWR, FileBytes.O_RDONLY}) {
            try {
                return FileBytes.open(path, flags | FileBytes.O_NONBLOCK);
            } catch (ErrnoException e) {
                // Not writable, or not for us.
            }
        }
        return spaces.descriptorOf(process(), range.key());
    }

    void close() {
        isGone = true;
        memory.close();
    }

    /** Pages that only this process has, told by their addresses. */
    private final class PrivatePages implements PageSource {
        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            return AddressSpace.this.read(offset, to, at, length);
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            return AddressSpace.this.write(offset, from, at, length);
        }

        @Override
        public String toString() {
            return "private pages of process " + process();
        }
    }
}
