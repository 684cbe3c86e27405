// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The address space that a process has now, for as long as it lasts: not the one that it has after
 * an execve(2), nor that of a process which gets its number later. A descriptor of {@code
 * /proc/PID/mem} stands for exactly that, and says when it is gone; it is asked before each
 * transfer. (Between the two the number could only become another's if a parent collected the dead
 * process and all other numbers were used up meanwhile.) One thread; transfers allocate nothing.
 */
public final class ProcessMemory implements AutoCloseable {
    private final int process;
    private final Fd memory;
    private final RemoteMemory remote = new RemoteMemory();
    private final MemorySegment errno;
    private final MemorySegment probe;

    private ProcessMemory(int process, Fd memory) {
        this.process = process;
        this.memory = memory;
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        probe = scratch.allocate(JAVA_INT);
    }

    /**
     * The memory of a process, or of the process that a thread belongs to.
     *
     * @throws ErrnoException EACCES, EPERM: we may not look into it; ENOENT, ESRCH: there is none
     */
    public static ProcessMemory open(int process) throws ErrnoException {
        return new ProcessMemory(
                process, FileBytes.open("/proc/" + process + "/mem", FileBytes.O_RDONLY));
    }

    /** The number it was opened by. */
    public int process() {
        return process;
    }

    /** Whether the last process that had this memory has ended or executes another program. */
    public boolean isGone() {
        // At an address that is not mapped the answer is EIO, in memory that is gone it is the end.
        return FileBytes.read(memory, 0, probe, 0, 1, errno) == 0;
    }

    /** As {@link RemoteMemory#read}; -EFAULT too when the memory is gone. */
    public int read(long address, MemorySegment to, long offset, long length) {
        return isGone() ? -Errno.EFAULT : remote.read(process, address, to, offset, length);
    }

    /** As {@link RemoteMemory#write}; -EFAULT too when the memory is gone. */
    public int write(long address, MemorySegment from, long offset, long length) {
        return isGone() ? -Errno.EFAULT : remote.write(process, address, from, offset, length);
    }

    /** Never fails; does nothing the second time. */
    @Override
    public void close() {
        memory.close();
    }
}
