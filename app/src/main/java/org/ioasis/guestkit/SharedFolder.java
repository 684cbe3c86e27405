// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * A folder of the host's that a guest finds at {@code /share}, as it is when the guest starts: part
 * of its first file system, so that it needs no driver and what the guest changes is the guest's
 * alone. Any thread.
 *
 * @param folder of the host's
 */
public record SharedFolder(Path folder) {
    /** Bytes of all files: a guest has them in its memory. */
    static final long BYTES_MAX = 256L << 20;

    private static final String PLACE = "share";

    /**
     * Adds it to an initramfs that is complete: Linux unpacks archives that follow one another.
     *
     * @throws IOException it cannot be read, or is too large
     */
    void appendTo(Path initramfs) throws IOException {
        List<Path> entries;
        try (Stream<Path> all = Files.walk(folder)) {
            entries = all.sorted().toList();
        }
        try (BufferedOutputStream out =
                new BufferedOutputStream(
                        Files.newOutputStream(initramfs, StandardOpenOption.APPEND))) {
            // Archives may be padded with zeroes; an uncompressed one begins at a multiple of four.
            out.write(new byte[(int) (-Files.size(initramfs) & 3)]);
            try (CpioWriter archive = new CpioWriter(out)) {
                long bytes = 0;
                for (Path entry : entries) {
                    bytes += Files.isRegularFile(entry) ? Files.size(entry) : 0;
                    if (bytes > BYTES_MAX) {
                        throw new IOException(
                                "%s has more than %d MiB, which a guest would have in its memory"
                                        .formatted(folder, BYTES_MAX >> 20));
                    }
                    write(archive, entry);
                }
            }
        }
    }

    private void write(CpioWriter archive, Path entry) throws IOException {
        String below = folder.relativize(entry).toString();
        String name = below.isEmpty() ? PLACE : PLACE + "/" + below;
        if (Files.isSymbolicLink(entry) && !below.isEmpty()) {
            archive.link(name, Files.readSymbolicLink(entry).toString());
        } else if (Files.isDirectory(entry)) {
            archive.folder(name);
        } else if (Files.isRegularFile(entry)) {
            archive.file(name, Files.isExecutable(entry), Files.readAllBytes(entry));
        }
        // Sockets, pipes and devices have no content that could go along.
    }
}
