// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.ProgramFile;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.sys.CallListener;
import org.ioasis.sys.Capabilities;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.RemoteMemory;
import org.ioasis.sys.SharedFile;
import org.jspecify.annotations.Nullable;

/**
 * The task whose system call is being answered. One object for all calls, valid for the one that
 * was received last. Supervisor's thread.
 *
 * <p>The task can be killed at any moment, and its number can then be another's. Reading that
 * other's memory harms nobody, since the answer goes nowhere; before anything is written the kernel
 * is asked whether the task still waits.
 */
final class TaskCaller implements Caller, CallerDescriptors {
    private final CallListener call;
    private final StandIns standIns;
    private final RemoteMemory memory = new RemoteMemory();
    private final AddressSpaces spaces;
    private final FailNth failNth;
    private final boolean isForTests;
    private String reason = "";

    TaskCaller(
            CallListener call,
            StandIns standIns,
            AddressSpaces spaces,
            FailNth failNth,
            boolean isForTests) {
        this.isForTests = isForTests;
        this.call = call;
        this.standIns = standIns;
        this.spaces = spaces;
        this.failNth = failNth;
    }

    /** The calling thread's number, as this process sees it. */
    int thread() {
        return call.thread();
    }

    /** Whether it still waits for the answer. */
    boolean isWaiting() {
        return call.isPending();
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return memory.read(thread(), address, to, offset, length) < 0 ? -Errno.EFAULT : 0;
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        if (length == 0) {
            return 0;
        }
        return call.isPending() && memory.write(thread(), address, from, offset, length) == 0
                ? 0
                : -Errno.EFAULT;
    }

    /**
     * Writes as much of some bytes as there is room for, as readlink(2) does.
     *
     * @return how many, or a negative errno
     */
    int writeBytes(long address, long room, byte[] bytes) {
        if (room <= 0) {
            return -Errno.EINVAL;
        }
        int length = (int) Math.min(room, bytes.length);
        try (Arena arena = Arena.ofConfined()) {
            // The kernel takes it from there, so it must not be the heap's.
            MemorySegment copy = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            int result = write(address, copy, 0, length);
            return result < 0 ? result : length;
        }
    }

    @Override
    public @Nullable Fd descriptor(int number) {
        return duplicate(number);
    }

    /** As {@link RemoteMemory#readString}. */
    int readString(long address, MemorySegment to) {
        return memory.readString(thread(), address, to);
    }

    @Override
    public ProgramMemory memory() {
        AddressSpace space = spaces.of(thread());
        // Beyond the limit of processes too: nothing of it can be held.
        return space == null ? GoneMemory.INSTANCE : space;
    }

    @Override
    public @Nullable OpenFile served(int descriptor) {
        StandIns.StandIn found = standIns.find(thread(), descriptor);
        return found == null ? null : found.file();
    }

    @Override
    public @Nullable ProgramFile file(int descriptor) throws IommufdException {
        Fd found = duplicate(descriptor);
        if (found == null) {
            return null;
        }
        try {
            if (served(descriptor) == null && SharedFile.isMemory(found)) {
                return new MemoryFile(found, spaces.shared(found.duplicate()));
            }
        } catch (ErrnoException e) {
            // As for a file of another kind: we cannot hold its pages.
        }
        found.close();
        throw new IommufdException(
                org.ioasis.iommufd.Errno.EINVAL, "the file is not memory (memfd, tmpfs)");
    }

    @Override
    public int install(OpenFile file, boolean isCloseOnExec) {
        return standIns.handOut(file, "", fd -> give(fd, isCloseOnExec, false));
    }

    /** The same as the answer to the call itself. */
    int installAsAnswer(OpenFile file, boolean isCloseOnExec) {
        return standIns.handOut(file, "", fd -> give(fd, isCloseOnExec, true));
    }

    /**
     * The same for a file that has contents and needs nothing of us but to hear of its end: the
     * kernel serves it, under the number that the program would get from it.
     */
    int installContents(OpenFile file, String contents, boolean isCloseOnExec) {
        return standIns.handOut(file, contents, fd -> call.giveAsAnswer(fd, -1, isCloseOnExec));
    }

    /** Hands out the file by which a task asks for failures, as the answer. */
    int openFailNth(int task, boolean isCloseOnExec) {
        OpenFile file = failNth.file(task);
        int result = installContents(file, "0\n", isCloseOnExec);
        failNth.handedOut(file, standIns);
        return result;
    }

    /** What a process is charged for; null if it never had pages held. */
    @Nullable LockedMemory accountOf(int process) {
        AddressSpace known = spaces.known(process);
        return known == null ? null : known.locked();
    }

    /** Gives a descriptor of ours away as the answer, under the lowest number. */
    int giveAsAnswer(Fd fd, boolean isCloseOnExec) {
        return call.giveAsAnswer(fd, -1, isCloseOnExec);
    }

    @Override
    public @Nullable MemorySegment window(OpenFile file, long offset, long length) {
        return standIns.window(file, offset, length);
    }

    @Override
    public boolean hasMapped(OpenFile file, long offset, long length) {
        return standIns.isMapped(file, offset, length);
    }

    @Override
    public boolean mayLock() {
        return Capabilities.has(thread(), Capabilities.CAP_IPC_LOCK);
    }

    /**
     * The kernel's tests want to be root for this. The limits are counters of ours, so that nothing
     * real is raised.
     */
    @Override
    public boolean mayRaiseLimits() {
        return isForTests || Capabilities.has(thread(), Capabilities.CAP_SYS_RESOURCE);
    }

    @Override
    public FailureInjector failures() {
        return failNth.of(thread());
    }

    @Override
    public void refuses(String rule) {
        reason = rule;
    }

    /** How often pages were asked for that a program has for itself. */
    long privateRuns() {
        return spaces.privateRuns();
    }

    void forgetReason() {
        reason = "";
    }

    /** What {@link #refuses} was told last. */
    String reason() {
        return reason;
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

    /** A descriptor of our own for an open file of the caller's; null: it has none, or is gone. */
    private @Nullable Fd duplicate(int descriptor) {
        Fd found = spaces.duplicate(thread(), descriptor);
        if (found != null && !call.isPending()) {
            found.close();
            return null;
        }
        return found;
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

    /** A file of the caller's whose pages can be held. */
    private record MemoryFile(Fd fd, SharedPages source) implements ProgramFile {
        @Override
        public long size() {
            try {
                return fd.size();
            } catch (ErrnoException e) {
                return 0;
            }
        }

        @Override
        public boolean isWritable() {
            return SharedFile.isWritable(fd);
        }

        @Override
        public void close() {
            fd.close();
            source.unname();
        }
    }
}
