// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Objects;

/**
 * Adds executable files to an initramfs: Linux unpacks archives that follow one another (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). Any thread.
 */
final class ExtraArchive {
    private ExtraArchive() {}

    /** Adds resources of this package under their own names. */
    static void append(Path initramfs, String... resources) throws IOException {
        for (String name : resources) {
            try (InputStream in = ExtraArchive.class.getResourceAsStream(name)) {
                append(initramfs, name, Objects.requireNonNull(in).readAllBytes());
            }
        }
    }

    static void append(Path initramfs, String name, byte[] content) throws IOException {
        ByteArrayOutputStream archive = new ByteArrayOutputStream();
        // Archives may be padded with zeroes; an uncompressed one begins at a multiple of four.
        archive.write(new byte[(int) (-Files.size(initramfs) & 3)]);
        entry(archive, name, 0100755, content);
        entry(archive, "TRAILER!!!", 0, new byte[0]);
        Files.write(initramfs, archive.toByteArray(), StandardOpenOption.APPEND);
    }

    private static void entry(ByteArrayOutputStream to, String name, int mode, byte[] content)
            throws IOException {
        byte[] bytes = (name + '\0').getBytes(StandardCharsets.US_ASCII);
        int[] fields = {721, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, bytes.length, 0};
        StringBuilder header = new StringBuilder("070701");
        for (int field : fields) {
            header.append("%08X".formatted(field));
        }
        to.write(header.toString().getBytes(StandardCharsets.US_ASCII));
        to.write(bytes);
        to.write(new byte[-(header.length() + bytes.length) & 3]);
        to.write(content);
        to.write(new byte[-content.length & 3]);
    }
}
