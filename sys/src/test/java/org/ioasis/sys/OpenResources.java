// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;

/**
 * What this process has open of the kinds that this module opens: sockets, eventfds, epolls, memfds
 * and mappings of memfds. The JVM opens and closes files of other kinds when it likes.
 *
 * <p>Entries name the object itself (inode, address), so that an old one that goes away meanwhile
 * does not hide a new one.
 */
record OpenResources(Set<String> names) {
    static OpenResources now() {
        Set<String> names = new TreeSet<>();
        try {
            try (DirectoryStream<Path> links = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
                for (Path link : links) {
                    addDescriptor(link, names);
                }
            }
            for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
                if (line.contains("/memfd:")) {
                    names.add("mapping " + line);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new OpenResources(names);
    }

    private static void addDescriptor(Path link, Set<String> names) throws IOException {
        try {
            String target = Files.readSymbolicLink(link).toString();
            if (target.startsWith("socket:")
                    || target.startsWith("anon_inode:[event")
                    || target.startsWith("/memfd:")) {
                names.add("fd " + link.getFileName() + " " + target);
            }
        } catch (NoSuchFileException e) {
            // Closed since the folder was listed: the listing's own descriptor, for one.
        }
    }

    /** What is open now and was not then. */
    Set<String> openedSince(OpenResources then) {
        Set<String> opened = new TreeSet<>(names);
        opened.removeAll(then.names);
        return opened;
    }
}
