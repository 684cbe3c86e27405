// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ProcessMemory;

/**
 * The memory of one process, or of several that share it, from the first call that named it until
 * it is gone. Supervisor's thread.
 */
public final class AddressSpace {
    private final ProcessMemory memory;
    private boolean isGone;

    AddressSpace(ProcessMemory memory) {
        this.memory = memory;
    }

    /** Number of the process. */
    public int process() {
        return memory.process();
    }

    /** Whether it has ended or executes another program. */
    public boolean isGone() {
        if (!isGone && memory.isGone()) {
            close();
        }
        return isGone;
    }

    /** 0 or -EFAULT. */
    public int read(long address, MemorySegment to, long offset, long length) {
        return !isGone() && memory.read(address, to, offset, length) == 0 ? 0 : -Errno.EFAULT;
    }

    /** 0 or -EFAULT. */
    public int write(long address, MemorySegment from, long offset, long length) {
        return !isGone() && memory.write(address, from, offset, length) == 0 ? 0 : -Errno.EFAULT;
    }

    void close() {
        isGone = true;
        memory.close();
    }
}
