// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/** What is left of a process that has ended before anybody knew its memory. Any thread. */
final class GoneMemory implements ProgramMemory {
    static final GoneMemory INSTANCE = new GoneMemory();

    private final LockedMemory locked = new LockedMemory(new AtomicLong(), 0);

    private GoneMemory() {}

    @Override
    public boolean isGone() {
        return true;
    }

    @Override
    public LockedMemory locked() {
        return locked;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return -Errno.EFAULT;
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        return -Errno.EFAULT;
    }

    @Override
    public @Nullable PageRun pages(long address, long length, boolean isWrite) {
        return null;
    }
}
