// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The task whose call is being answered, as a driver sees it. Valid until the answer, on the thread
 * that answers. The program can change or unmap its memory at any time: each byte is read once.
 */
public interface Caller {
    /** The caller's address space; outlives the call. */
    ProgramMemory memory();

    /**
     * Reads the caller's memory.
     *
     * @return 0 or -EFAULT
     */
    int read(long address, MemorySegment to, long offset, long length);

    /** As {@link #read}, the other way. */
    int write(long address, MemorySegment from, long offset, long length);

    /** Which of our files a descriptor of the caller's is, if any. */
    @Nullable OpenFile served(int descriptor);

    /**
     * The open file of the caller's whose pages can be held.
     *
     * @return null if there is no such descriptor
     * @throws IommufdException EINVAL if its file is none whose pages could be held
     */
    @Nullable ProgramFile file(int descriptor) throws IommufdException;

    /**
     * Puts a file of ours into the caller's table. It cannot be taken back: what else can fail
     * comes first.
     *
     * @return its number or a negative errno; the file is released then
     */
    int install(OpenFile file, boolean isCloseOnExec);

    /**
     * The bytes that a mapping of one of our files at this offset shows.
     *
     * @return zeroed; null: this caller's files cannot be mapped, or have as many windows as they
     *     may
     */
    @Nullable MemorySegment window(OpenFile file, long offset, long length);

    /**
     * Whether some process still maps of one of our files what {@link OpenFile#map} allowed:
     * nothing is said when a mapping ends.
     */
    boolean hasMapped(OpenFile file, long offset, long length);

    /** CAP_IPC_LOCK: pages that are held are charged to nobody. */
    boolean mayLock();

    /** CAP_SYS_RESOURCE. */
    boolean mayRaiseLimits();

    /** Of the calling task. */
    FailureInjector failures();

    /** Says which rule refuses the call, for a trace. */
    void refuses(String rule);
}
