// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Copies from and to the memory of other processes: process_vm_readv(2) and process_vm_writev(2),
 * which honour the protection of pages as the process's own accesses do. One thread; allocates
 * nothing.
 *
 * <p>Those calls name a process by its number, or by that of one of its threads. Somebody else may
 * have the number later, and after an execve(2) the memory is another one: the caller of this knows
 * that neither can be, or asks {@link ProcessMemory}.
 */
public final class RemoteMemory {
    /** Every page size that we meet is a multiple. */
    private static final int PAGE = 4096;

    private static final int SIZEOF_IOVEC = 16;

    private static final MethodHandle READ = Linux.link("process_vm_readv", vector());
    private static final MethodHandle WRITE = Linux.link("process_vm_writev", vector());

    private final MemorySegment errno;
    private final MemorySegment local;
    private final MemorySegment remote;

    public RemoteMemory() {
        Arena scratch = Arena.ofAuto();
        errno = scratch.allocate(Linux.ERRNO);
        local = scratch.allocate(SIZEOF_IOVEC, 8);
        remote = scratch.allocate(SIZEOF_IOVEC, 8);
    }

    private static FunctionDescriptor vector() {
        return FunctionDescriptor.of(
                JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG);
    }

    /**
     * Reads.
     *
     * @param to memory outside the heap
     * @return 0; -EFAULT: not all of it is readable, and then {@code to} may hold a part; -EPERM or
     *     -ESRCH: we may not look into that process, or there is none
     */
    public int read(int process, long address, MemorySegment to, long offset, long length) {
        return copy(process, address, to.asSlice(offset, length), false);
    }

    /**
     * Writes.
     *
     * @param from memory outside the heap
     * @return 0; -EFAULT: not all of it is writable, and then a part may be written; -EPERM or
     *     -ESRCH as above
     */
    public int write(int process, long address, MemorySegment from, long offset, long length) {
        return copy(process, address, from.asSlice(offset, length), true);
    }

    private int copy(int process, long address, MemorySegment part, boolean isWrite) {
        long length = part.byteSize();
        if (length == 0) {
            return 0;
        }
        if (FailureInjection.strikes()) {
            return -Errno.EFAULT;
        }
        local.set(ADDRESS, 0, part);
        local.set(JAVA_LONG, 8, length);
        remote.set(JAVA_LONG, 0, address);
        remote.set(JAVA_LONG, 8, length);
        try {
            // SAFETY: local names a slice of ours, which the caller keeps alive; remote names
            // addresses of the other process, which only the kernel looks at.
            long done =
                    isWrite
                            ? (long) WRITE.invokeExact(errno, process, local, 1L, remote, 1L, 0L)
                            : (long) READ.invokeExact(errno, process, local, 1L, remote, 1L, 0L);
            if (done < 0) {
                return (int) Linux.result(done, errno);
            }
            // A part is a failure: the kernel's copy_from_user knows no half.
            return done == length ? 0 : -Errno.EFAULT;
        } catch (Throwable e) {
            throw Linux.rethrow(e);
        }
    }

    /**
     * Reads a string up to its zero byte, page by page: what follows in the next page may not be
     * there.
     *
     * @param to gets the bytes, as many as it holds
     * @return their number without the zero byte; -ENAMETOOLONG: it does not end in time; what
     *     {@link #read} returns
     */
    public int readString(int process, long address, MemorySegment to) {
        long done = 0;
        while (done < to.byteSize()) {
            long piece = Math.min(PAGE - ((address + done) & (PAGE - 1)), to.byteSize() - done);
            int result = read(process, address + done, to, done, piece);
            if (result < 0) {
                return result;
            }
            for (long i = done; i < done + piece; i++) {
                if (to.get(JAVA_BYTE, i) == 0) {
                    return (int) i;
                }
            }
            done += piece;
        }
        return -Errno.ENAMETOOLONG;
    }
}
