// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.ProgramFile;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.program.CallerDescriptors;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/** A program without a process: its memory is a segment, its descriptors are a map. */
final class ProgramStub implements Caller, CallerDescriptors {
    private final SegmentMemory memory;
    private final Map<Integer, OpenFile> files = new HashMap<>();
    private final Map<Integer, Supplier<Fd>> others = new HashMap<>();
    private final FailureInjector failures = new FailureInjector();
    private final Map<Long, MemorySegment> windows = new HashMap<>();
    private Arena windowArena = Arena.ofShared();
    private int next = 3;

    /** As many files are mapped as can be. */
    boolean isWithoutWindows;

    /** It takes no descriptor any more. */
    boolean isFull;

    /** Nothing can be written to its memory. */
    boolean isReadOnly;

    String refusal = "";

    ProgramStub(SegmentMemory memory) {
        this.memory = memory;
    }

    /** It has a file of ours open; closing is the test's. */
    int opened(OpenFile file) {
        files.put(next, file);
        return next++;
    }

    /** It has something else open, a descriptor of which can be made. */
    int opened(Supplier<Fd> other) {
        others.put(next, other);
        return next++;
    }

    OpenFile file(long number) {
        OpenFile found = files.get((int) number);
        if (found == null) {
            throw new AssertionError("no descriptor " + number);
        }
        return found;
    }

    @Override
    public ProgramMemory memory() {
        return memory;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return memory.read(address, to, offset, length);
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        return isReadOnly ? -Errno.EFAULT.number() : memory.write(address, from, offset, length);
    }

    @Override
    public @Nullable OpenFile served(int descriptor) {
        return files.get(descriptor);
    }

    @Override
    public @Nullable Fd descriptor(int number) {
        Supplier<Fd> found = others.get(number);
        return found == null ? null : found.get();
    }

    @Override
    public @Nullable ProgramFile file(int descriptor) {
        return null;
    }

    @Override
    public int install(OpenFile file, boolean isCloseOnExec) {
        if (isFull) {
            file.release();
            return -Errno.EMFILE.number();
        }
        return opened(file);
    }

    @Override
    public @Nullable MemorySegment window(OpenFile file, long offset, long length) {
        if (isWithoutWindows) {
            return null;
        }
        MemorySegment made = windowArena.allocate(length, Long.BYTES);
        windows.put(offset, made);
        return made;
    }

    /** What it sees where it maps its file at an offset. */
    MemorySegment mapped(long offset) {
        MemorySegment found = windows.get(offset);
        if (found == null) {
            throw new AssertionError("there is nothing to map at 0x%x".formatted(offset));
        }
        return found;
    }

    /** Its files are closed, and whoever still reaches what it had mapped of them fails. */
    void unmapAll() {
        windows.clear();
        windowArena.close();
        windowArena = Arena.ofShared();
    }

    @Override
    public boolean hasMapped(OpenFile file, long offset, long length) {
        return false;
    }

    @Override
    public boolean mayLock() {
        return false;
    }

    @Override
    public boolean mayRaiseLimits() {
        return false;
    }

    @Override
    public FailureInjector failures() {
        return failures;
    }

    @Override
    public void refuses(String rule) {
        refusal = rule;
    }
}
