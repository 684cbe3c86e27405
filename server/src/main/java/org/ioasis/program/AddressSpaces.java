// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.ProcessMemory;
import org.ioasis.sys.RemoteMemory;
import org.ioasis.sys.SharedFile;
import org.ioasis.sys.TaskDescriptor;
import org.ioasis.sys.TaskFiles;
import org.jspecify.annotations.Nullable;

/**
 * The memories of a program's processes, each known once, and what they share. Supervisor's thread.
 */
final class AddressSpaces implements AutoCloseable {
    /** Processes whose memory is known at a time: each costs us a descriptor. */
    static final int LIMIT = 1024;

    /** Shared pages that are remembered though nobody needs them. */
    static final int SHARED_LIMIT = 1024;

    private static final String TGID = "Tgid:";
    private static final String LOCKED_LIMIT = "Max locked memory";
    private static final long PAGE = 4096;

    private final TaskFiles files;
    private final StandIns standIns;
    private final Map<Integer, AddressSpace> byProcess = new HashMap<>();
    private final Map<MappedRange.FileKey, SharedPages> shared = new HashMap<>();

    /** Pages charged to the user: all of a program's processes are one user's. */
    private final AtomicLong user = new AtomicLong();

    private final RemoteMemory remote = new RemoteMemory();
    private final MappedRanges ranges = new MappedRanges();
    private final boolean isForTests;
    private final int limit;
    private final int sharedLimit;
    private final LongAdder privateRuns = new LongAdder();

    /**
     * @param isForTests the kernel's tests want to be root: processes may lock what they like. It
     *     is charged all the same.
     */
    AddressSpaces(TaskFiles files, StandIns standIns, boolean isForTests) {
        this(files, standIns, isForTests, LIMIT, SHARED_LIMIT);
    }

    AddressSpaces(
            TaskFiles files, StandIns standIns, boolean isForTests, int limit, int sharedLimit) {
        this.files = files;
        this.standIns = standIns;
        this.isForTests = isForTests;
        this.limit = limit;
        this.sharedLimit = sharedLimit;
    }

    /**
     * The memory of the process that a thread belongs to; null: gone, closed to us, or too many.
     */
    @Nullable AddressSpace of(int thread) {
        int process = processOf(thread);
        return process < 0 ? null : ofProcess(process);
    }

    private @Nullable AddressSpace ofProcess(int process) {
        AddressSpace known = byProcess.get(process);
        if (known != null && !known.isGone()) {
            return known;
        }
        byProcess.remove(process);
        if (byProcess.size() >= limit) {
            byProcess.values().removeIf(AddressSpace::isGone);
            if (byProcess.size() >= limit) {
                return null;
            }
        }
        try {
            AddressSpace opened =
                    new AddressSpace(
                            ProcessMemory.open(process),
                            this,
                            new LockedMemory(user, isForTests ? -1 : limitPages(process)));
            byProcess.put(process, opened);
            return opened;
        } catch (ErrnoException e) {
            return null;
        }
    }

    /** What a process that we know is charged for; null if it has never called. */
    @Nullable AddressSpace known(int process) {
        return byProcess.get(process);
    }

    /** Pages were asked for that a program has for itself: no device's DMA reaches them. */
    void notePrivate() {
        privateRuns.increment();
    }

    /** How often they were. */
    long privateRuns() {
        return privateRuns.sum();
    }

    /** The pages of a file or of anonymous shared memory. */
    SharedPages shared(MappedRange.FileKey key) {
        if (shared.size() >= sharedLimit && !shared.containsKey(key)) {
            // Whoever still has one of these finds it equal to the next that is made.
            shared.values().removeIf(pages -> !pages.isNeeded());
        }
        return shared.computeIfAbsent(key, k -> new SharedPages(this, k));
    }

    /** Tells shared pages of one of the processes that we know which maps some bytes of them. */
    boolean seek(SharedPages pages, MappedRange.FileKey key, long offset, long length) {
        for (AddressSpace space : byProcess.values()) {
            MappedRange range =
                    space.isGone() ? null : ranges.holding(space.process(), key, offset, length);
            if (range != null) {
                pages.seen(space, range);
                return true;
            }
        }
        return false;
    }

    /** Files of ours that processes have mapped. */
    StandIns standIns() {
        return standIns;
    }

    /** What processes have at their addresses; {@linkplain MappedRanges#open for a call}. */
    MappedRanges ranges() {
        return ranges;
    }

    /** What reads and writes memory by the numbers of processes. */
    RemoteMemory remote() {
        return remote;
    }

    /** The pages behind a descriptor, which becomes ours, until {@link SharedPages#unname}. */
    SharedPages shared(Fd descriptor) throws ErrnoException {
        files.look(descriptor);
        SharedPages pages = shared(MappedRange.FileKey.of(files.device(), files.inode()));
        pages.name(descriptor);
        return pages;
    }

    /** A descriptor of our own for a task's open file; null: it has none, or we may not. */
    @Nullable Fd duplicate(int thread, int descriptor) {
        int process = processOf(thread);
        if (process < 0) {
            return null;
        }
        try {
            return TaskDescriptor.duplicate(process, descriptor);
        } catch (ErrnoException e) {
            return null;
        }
    }

    /** One of a process's own descriptors of a file; null if it has none any more. */
    @Nullable Fd descriptorOf(int process, MappedRange.FileKey key) {
        try (DirectoryStream<Path> all =
                Files.newDirectoryStream(Path.of("/proc/" + process + "/fd"))) {
            for (Path entry : all) {
                int number = Integer.parseInt(entry.getFileName().toString());
                if (files.look(process, number) == 0 && files.inode() == key.inode()) {
                    Fd found = TaskDescriptor.duplicate(process, number);
                    if (SharedFile.isMemory(found)) {
                        return found;
                    }
                    found.close();
                }
            }
        } catch (IOException e) {
            // Gone, or closed to us.
        }
        return null;
    }

    @Override
    public void close() {
        ranges.close();
        byProcess.values().forEach(AddressSpace::close);
        byProcess.clear();
        shared.values().forEach(SharedPages::close);
        shared.clear();
    }

    private static long limitPages(int process) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/" + process + "/limits"))) {
                if (line.startsWith(LOCKED_LIMIT)) {
                    String soft = line.substring(LOCKED_LIMIT.length()).strip();
                    int end = soft.indexOf(' ');
                    return soft.startsWith("unlimited")
                            ? -1
                            : Long.parseUnsignedLong(soft, 0, end, 10) / PAGE;
                }
            }
        } catch (IOException e) {
            // Gone; it is charged for nothing any more.
        }
        return 0;
    }

    private int processOf(int thread) {
        // The first thread of a process has its number, and nobody else while it lives.
        AddressSpace known = byProcess.get(thread);
        if (known != null && !known.isGone()) {
            return thread;
        }
        try (ProcessLines lines = ProcessLines.open(thread, "status")) {
            for (String line = lines.next(); line != null; line = lines.next()) {
                if (line.startsWith(TGID)) {
                    return Integer.parseInt(line.substring(TGID.length()).strip());
                }
            }
        } catch (IOException e) {
            // The task is gone; whoever asks finds that there is no memory.
        }
        return -1;
    }
}
