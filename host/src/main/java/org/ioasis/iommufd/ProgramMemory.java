// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The address space of a process, which can outlive the call that named it and the process can end
 * before it is used. The same object for the same process, as long as it executes one program.
 * Called with the lock of a context, on any thread.
 */
public interface ProgramMemory {
    /** The process has ended, or executes another program. */
    boolean isGone();

    /** What it is charged for. */
    LockedMemory locked();

    /**
     * Reads by address.
     *
     * @return 0 or -EFAULT
     */
    int read(long address, MemorySegment to, long offset, long length);

    /** As {@link #read}, the other way. */
    int write(long address, MemorySegment from, long offset, long length);

    /**
     * The pages at an address and on, as far as they belong together: addresses and offsets of a
     * run differ by whole pages.
     *
     * @param isWrite whether the program itself may write there is asked too
     * @return null if the address is not mapped, or not for writing, or the process is gone
     */
    @Nullable PageRun pages(long address, long length, boolean isWrite);
}
