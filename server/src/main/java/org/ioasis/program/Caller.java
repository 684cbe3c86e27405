// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import org.ioasis.sys.CallListener;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.ioasis.sys.RemoteMemory;
import org.jspecify.annotations.Nullable;

/**
 * The task whose system call is being answered, as a driver in the kernel sees {@code current}: its
 * memory, its descriptors. Valid until the answer. Supervisor's thread.
 *
 * <p>The task can be killed at any moment, and its number can then be another's. Reading that
 * other's memory harms nobody, since the answer goes nowhere; before anything is written the kernel
 * is asked whether the task still waits.
 */
public final class Caller {
    private final CallListener call;
    private final StandIns standIns;
    private final RemoteMemory memory = new RemoteMemory();
    private final AddressSpaces spaces;
    private String reason = "";

    Caller(CallListener call, StandIns standIns, AddressSpaces spaces) {
        this.call = call;
        this.standIns = standIns;
        this.spaces = spaces;
    }

    /** The calling thread's number, as this process sees it. */
    public int thread() {
        return call.thread();
    }

    /** An argument of the call as a number without sign. */
    long argument(int index) {
        return call.argument(index);
    }

    /** Whether it still waits for the answer. */
    boolean isWaiting() {
        return call.isPending();
    }

    /**
     * Reads the caller's memory.
     *
     * @return 0 or -EFAULT
     */
    public int read(long address, MemorySegment to, long offset, long length) {
        return memory.read(thread(), address, to, offset, length) < 0 ? -Errno.EFAULT : 0;
    }

    /**
     * Writes the caller's memory.
     *
     * @return 0 or -EFAULT
     */
    public int write(long address, MemorySegment from, long offset, long length) {
        if (length == 0) {
            return 0;
        }
        return call.isPending() && memory.write(thread(), address, from, offset, length) == 0
                ? 0
                : -Errno.EFAULT;
    }

    /** As {@link RemoteMemory#readString}. */
    int readString(long address, MemorySegment to) {
        return memory.readString(thread(), address, to);
    }

    /** Says which rule refuses the call, for the trace. */
    public void refuses(String rule) {
        reason = rule;
    }

    void forgetReason() {
        reason = "";
    }

    /** What {@link #refuses} was told last. */
    String reason() {
        return reason;
    }

    /**
     * The memory that addresses of this call mean, also after it. Null: it is gone or closed to us.
     */
    public @Nullable AddressSpace space() {
        return spaces.of(thread());
    }

    /** Which of our files a descriptor of the caller's is, if it is one. */
    public @Nullable ServedFile file(int descriptor) {
        StandIns.StandIn found = standIns.find(thread(), descriptor);
        return found == null ? null : found.file();
    }

    /**
     * A descriptor of our own for an open file of the caller's.
     *
     * @return null if it has none of this number, or it is gone
     */
    public @Nullable Fd duplicate(int descriptor) {
        Fd found = spaces.duplicate(thread(), descriptor);
        if (found != null && !call.isPending()) {
            found.close();
            return null;
        }
        return found;
    }

    /**
     * Puts a file of ours into the caller's table, before the call is answered. It cannot be taken
     * back: what else can fail comes first.
     *
     * @return its number or the negative errno; the file is released then
     */
    public int install(ServedFile file, boolean isCloseOnExec) {
        return standIns.handOut(file, fd -> give(fd, isCloseOnExec, false));
    }

    /** The same as the answer to the call itself. */
    int installAsAnswer(ServedFile file, boolean isCloseOnExec) {
        return standIns.handOut(file, fd -> give(fd, isCloseOnExec, true));
    }

    /**
     * Gives the caller another descriptor of an open file of its own, as the answer.
     *
     * @return the number, or a negative errno, and then the call has no answer yet
     */
    int copy(int descriptor, int number, boolean isCloseOnExec) {
        try (Fd ours = duplicate(descriptor)) {
            return ours == null ? -Errno.EBADF : put(ours, number, isCloseOnExec, true);
        }
    }

    private int give(Fd fd, boolean isCloseOnExec, boolean asAnswer) {
        int number = standIns.freeNumber(thread(), 0);
        if (number < 0) {
            return number;
        }
        int result = put(fd, number, isCloseOnExec, asAnswer);
        // The caller's limit of descriptors is lower than our numbers: any number must do, and
        // what the filter tells by the number (read, write, mmap) stays the stand-in's own.
        return result == -Errno.EBADF ? put(fd, -1, isCloseOnExec, asAnswer) : result;
    }

    private int put(Fd fd, int number, boolean isCloseOnExec, boolean asAnswer) {
        return asAnswer
                ? call.giveAsAnswer(fd, number, isCloseOnExec)
                : call.give(fd, number, isCloseOnExec);
    }
}
