// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Linux says of this process's memory: status of proc(5). Any thread. */
final class ProcessMemory {
    private ProcessMemory() {}

    /** Bytes in memory. */
    static long resident() throws IOException {
        return bytes("VmRSS");
    }

    /** Bytes of addresses that are taken, used or not. */
    static long addresses() throws IOException {
        return bytes("VmSize");
    }

    private static long bytes(String field) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith(field + ":")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        throw new IOException("no %s in /proc/self/status".formatted(field));
    }
}
