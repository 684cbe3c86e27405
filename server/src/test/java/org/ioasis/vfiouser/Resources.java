// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * How many sockets, eventfds and memfds this process has open, and how many mappings of memfds.
 * What the JVM opens for itself is none of these.
 */
record Resources(long descriptors, long mappings) {
    static Resources now() {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"));
                Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return new Resources(
                    fds.filter(Resources::isOurs).count(),
                    maps.filter(line -> line.contains("/memfd:ioasis")).count());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean isOurs(Path fd) {
        try {
            String target = Files.readSymbolicLink(fd).toString();
            return target.startsWith("socket:")
                    || target.startsWith("anon_inode:[event")
                    || target.startsWith("/memfd:ioasis");
        } catch (IOException e) {
            return false; // closed in between: the listing's own descriptor
        }
    }
}
