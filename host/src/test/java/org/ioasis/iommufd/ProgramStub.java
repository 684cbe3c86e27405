// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A program with memory and descriptors, as a supervisor shows one: its memory is made of files
 * that it has mapped. One thread.
 */
public final class ProgramStub extends BareCaller implements ProgramMemory {
    public static final long PAGE = 4096;

    /** A file whose pages are what they hold, in any process. */
    public static final class Memory implements PageSource {
        private final MemorySegment bytes;
        private final boolean isDevice;
        private int holds;

        public Memory(long length) {
            this(length, false);
        }

        /**
         * @param isDevice a BAR, and no memory of the program's
         */
        public Memory(long length, boolean isDevice) {
            bytes = Arena.ofAuto().allocate(length, 8);
            this.isDevice = isDevice;
        }

        @Override
        public boolean isDevice() {
            return isDevice;
        }

        public MemorySegment bytes() {
            return bytes;
        }

        /** Whether somebody has asked that it stays. */
        public boolean isHeld() {
            return holds > 0;
        }

        @Override
        public void hold() {
            holds++;
        }

        @Override
        public void release() {
            holds--;
        }

        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            MemorySegment.copy(bytes, offset, to, at, length);
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            MemorySegment.copy(from, at, bytes, offset, length);
            return 0;
        }
    }

    private record Mapping(long last, Memory memory, long offset, boolean isWritable) {}

    private final TreeMap<Long, Mapping> mappings = new TreeMap<>();
    private final Map<Integer, OpenFile> served = new HashMap<>();
    private final Map<Integer, Memory> files = new HashMap<>();
    private final LockedMemory locked;
    private final long scratch;
    private long nextAddress = 1L << 30;
    private int nextDescriptor = 3;
    private int openFiles;
    public boolean isGone;
    boolean mayRaiseLimits = true;

    /** Nothing can be written to it. */
    public boolean isDeaf;

    public ProgramStub() {
        this(-1);
    }

    public ProgramStub(long limitPages) {
        locked = new LockedMemory(new AtomicLong(), limitPages);
        scratch = mmap(new Memory(PAGE), 0, PAGE, true);
    }

    /** Maps a file somewhere, aligned to 2 MiB. */
    public long mmap(Memory memory, long offset, long length, boolean isWritable) {
        long address = nextAddress;
        nextAddress += (length + (1L << 22) - 1) & -(1L << 22);
        mappings.put(address, new Mapping(address + length - 1, memory, offset, isWritable));
        return address;
    }

    /** Fresh memory, writable. */
    public long mmap(long length) {
        return mmap(new Memory(length), 0, length, true);
    }

    /** Maps every second page of a file, side by side. */
    public long mmapScattered(Memory memory, int pages) {
        long address = nextAddress;
        nextAddress += ((long) pages * PAGE + (1L << 22) - 1) & -(1L << 22);
        for (int i = 0; i < pages; i++) {
            long at = address + i * PAGE;
            mappings.put(at, new Mapping(at + PAGE - 1, memory, 2L * i * PAGE, true));
        }
        return address;
    }

    /** Maps two files side by side. */
    public long mmap(Memory first, Memory second) {
        long at = mmap(first, 0, first.bytes.byteSize(), true);
        long behind = at + first.bytes.byteSize();
        mappings.put(behind, new Mapping(behind + second.bytes.byteSize() - 1, second, 0, true));
        return at;
    }

    /** Where structures of calls are. */
    public long scratch() {
        return scratch;
    }

    /** A field of the structure of the last call. */
    public int peek(int offset) {
        return memoryAt(scratch).bytes.get(JAVA_INT, offset);
    }

    /** Closes all descriptors of files of ours. */
    public void closeAll() {
        for (int descriptor : List.copyOf(served.keySet())) {
            close(descriptor);
        }
    }

    /** Takes away the end of a mapping that begins here, or all of it. */
    public void munmapFrom(long address, long from) {
        Mapping old = mappings.remove(address);
        if (old != null && from > address) {
            mappings.put(address, new Mapping(from - 1, old.memory, old.offset, old.isWritable));
        }
    }

    /** The memory that an address is in. */
    public Memory memoryAt(long address) {
        return mapping(address).memory;
    }

    /** A descriptor of a file. */
    int open(Memory memory) {
        files.put(nextDescriptor, memory);
        return nextDescriptor++;
    }

    public int open(OpenFile file) {
        served.put(nextDescriptor, file);
        return nextDescriptor++;
    }

    /** The file of ours behind a descriptor. */
    OpenFile ours(int descriptor) {
        OpenFile found = served.get(descriptor);
        if (found == null) {
            throw new AssertionError(descriptor + " is not open");
        }
        return found;
    }

    public void close(int descriptor) {
        OpenFile file = served.remove(descriptor);
        if (file != null) {
            file.release();
        }
    }

    /** Descriptors of files of ours. */
    int descriptors() {
        return served.size();
    }

    /** Files that are kept open for mappings. */
    int openFiles() {
        return openFiles;
    }

    /** A structure in the program's memory, to be given to an ioctl. */
    public Struct struct(int size) {
        Memory memory = memoryAt(scratch);
        memory.bytes.fill((byte) 0);
        memory.bytes.set(JAVA_INT, 0, size);
        return new Struct(memory.bytes);
    }

    public final class Struct {
        private final MemorySegment bytes;

        Struct(MemorySegment bytes) {
            this.bytes = bytes;
        }

        public Struct with(int offset, int value) {
            bytes.set(JAVA_INT, offset, value);
            return this;
        }

        public Struct with(int offset, long value) {
            bytes.set(JAVA_LONG, offset, value);
            return this;
        }

        public int getInt(int offset) {
            return bytes.get(JAVA_INT, offset);
        }

        public long getLong(int offset) {
            return bytes.get(JAVA_LONG, offset);
        }

        /** What the ioctl returns. */
        public long call(OpenFile file, int number) {
            return file.ioctl(ProgramStub.this, ';' << 8 | number, scratch);
        }
    }

    private @Nullable Mapping find(long address) {
        Map.Entry<Long, Mapping> entry = mappings.floorEntry(address);
        return entry == null || entry.getValue().last < address ? null : entry.getValue();
    }

    private Mapping mapping(long address) {
        Mapping found = find(address);
        if (found == null) {
            throw new AssertionError("nothing is mapped at 0x%x".formatted(address));
        }
        return found;
    }

    private long offset(long address) {
        return mapping(address).offset + address - mappings.floorKey(address);
    }

    @Override
    public ProgramMemory memory() {
        return this;
    }

    @Override
    public int read(long address, MemorySegment to, long offset, long length) {
        return transfer(address, to, offset, length, false);
    }

    @Override
    public int write(long address, MemorySegment from, long offset, long length) {
        return isDeaf ? -Errno.EFAULT.number() : transfer(address, from, offset, length, true);
    }

    private int transfer(
            long address, MemorySegment buffer, long at, long length, boolean isWrite) {
        for (long done = 0; done < length; ) {
            Mapping mapping = find(address + done);
            if (mapping == null) {
                return -Errno.EFAULT.number();
            }
            long bytes = Math.min(length - done, mapping.last - (address + done) + 1);
            if (isWrite) {
                mapping.memory.write(offset(address + done), buffer, at + done, bytes);
            } else {
                mapping.memory.read(offset(address + done), buffer, at + done, bytes);
            }
            done += bytes;
        }
        return 0;
    }

    @Override
    public @Nullable PageRun pages(long address, long length, boolean isWrite) {
        Mapping mapping = find(address);
        if (isGone || mapping == null || (isWrite && !mapping.isWritable)) {
            return null;
        }
        long rest = mapping.last - address;
        long run = Long.compareUnsigned(length - 1, rest) <= 0 ? length : rest + 1;
        return new PageRun(mapping.memory, offset(address), run);
    }

    @Override
    public boolean isGone() {
        return isGone;
    }

    @Override
    public LockedMemory locked() {
        return locked;
    }

    @Override
    public @Nullable OpenFile served(int descriptor) {
        return served.get(descriptor);
    }

    @Override
    public @Nullable ProgramFile file(int descriptor) {
        Memory memory = files.get(descriptor);
        if (memory == null) {
            return null;
        }
        openFiles++;
        return new ProgramFile() {
            @Override
            public PageSource source() {
                return memory;
            }

            @Override
            public long size() {
                return memory.bytes.byteSize();
            }

            @Override
            public boolean isWritable() {
                return true;
            }

            @Override
            public void close() {
                openFiles--;
            }
        };
    }

    @Override
    public int install(OpenFile file, boolean isCloseOnExec) {
        return open(file);
    }

    @Override
    public MemorySegment window(OpenFile file, long offset, long length) {
        return windows.computeIfAbsent(offset, _ -> Arena.ofAuto().allocate(length, 8));
    }

    private final Map<Long, MemorySegment> windows = new HashMap<>();

    /** Windows that some process maps. */
    final Set<Long> mapped = new HashSet<>();

    @Override
    public boolean hasMapped(OpenFile file, long offset, long length) {
        return mapped.contains(offset);
    }

    @Override
    public boolean mayRaiseLimits() {
        return mayRaiseLimits;
    }
}
