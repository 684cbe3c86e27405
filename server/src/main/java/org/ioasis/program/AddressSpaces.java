// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.ProcessMemory;
import org.ioasis.sys.TaskDescriptor;
import org.jspecify.annotations.Nullable;

/** The memories of a program's processes, each known once. Supervisor's thread. */
final class AddressSpaces implements AutoCloseable {
    /** Processes whose memory is known at a time: each costs us a descriptor. */
    static final int LIMIT = 1024;

    private static final String TGID = "Tgid:";

    private final Map<Integer, AddressSpace> byProcess = new HashMap<>();

    /**
     * The memory of the process that a thread belongs to; null: gone, closed to us, or too many.
     */
    @Nullable AddressSpace of(int thread) {
        int process = processOf(thread);
        if (process < 0) {
            return null;
        }
        AddressSpace known = byProcess.get(process);
        if (known != null && !known.isGone()) {
            return known;
        }
        byProcess.remove(process);
        if (byProcess.size() >= LIMIT) {
            byProcess.values().removeIf(AddressSpace::isGone);
            if (byProcess.size() >= LIMIT) {
                return null;
            }
        }
        try {
            AddressSpace opened = new AddressSpace(ProcessMemory.open(process));
            byProcess.put(process, opened);
            return opened;
        } catch (ErrnoException e) {
            return null;
        }
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

    @Override
    public void close() {
        byProcess.values().forEach(AddressSpace::close);
        byProcess.clear();
    }

    private static int processOf(int thread) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/" + thread + "/status"))) {
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
