// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * How many {@linkplain Mapping mappings} there may be at a time. Linux allows a process a number of
 * them (vm.max_map_count, 65,530 unless somebody has changed it), and a JVM that gets no more when
 * its heap or the code of its methods has to grow ends the process, with everything that it serves.
 * So what peers and programs can make us map stops before that. Any thread.
 */
final class MappingRoom extends Room {
    /** What is left for the JVM, its threads and libraries; it begins with some 200. */
    static final int RESERVE = 4096;

    /** What Linux allows unless it was told otherwise (Documentation/admin-guide/sysctl/vm.rst). */
    private static final int MAX_MAP_COUNT = 65_530;

    private static final int DIGITS_MAX = 32;

    MappingRoom(int limit) {
        super(limit);
    }

    static MappingRoom ofProcess() {
        return new MappingRoom(limit(allowed(Path.of("/proc/sys/vm/max_map_count"))));
    }

    /** At least half of what is allowed, where that is little. */
    static int limit(int allowed) {
        return Math.max(allowed - RESERVE, allowed / 2);
    }

    static int allowed(Path setting) {
        // In one read, which readString does not do: behind it such a file is at its end.
        try (InputStream in = Files.newInputStream(setting)) {
            return Integer.parseInt(
                    new String(in.readNBytes(DIGITS_MAX), StandardCharsets.US_ASCII).strip());
        } catch (IOException | NumberFormatException e) {
            return MAX_MAP_COUNT;
        }
    }
}
