// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/**
 * Writes a cpio archive in the "newc" format, the one that Linux unpacks as initramfs (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst): per file a header of 110 hexadecimal
 * ASCII characters, name and data, each padded to four bytes. Owner is root, time is zero, so equal
 * input gives equal bytes. One thread.
 */
final class CpioWriter implements AutoCloseable {
    private static final String MAGIC = "070701";
    private static final String TRAILER = "TRAILER!!!";
    private static final int S_IFDIR = 0040000;
    private static final int S_IFREG = 0100000;
    private static final int S_IFLNK = 0120000;
    private static final HexFormat HEX = HexFormat.of().withUpperCase();

    private final OutputStream out;
    private long written;
    private int inode;

    CpioWriter(OutputStream out) {
        this.out = out;
    }

    /** A folder; its parent must have been written before. No slash at either end. */
    void folder(String path) throws IOException {
        entry(path, S_IFDIR | 0755, new byte[0]);
    }

    /** A regular file. */
    void file(String path, boolean isExecutable, byte[] data) throws IOException {
        entry(path, S_IFREG | (isExecutable ? 0755 : 0644), data);
    }

    /** A symbolic link. */
    void link(String path, String target) throws IOException {
        entry(path, S_IFLNK | 0777, target.getBytes(StandardCharsets.UTF_8));
    }

    private void entry(String path, int mode, byte[] data) throws IOException {
        byte[] name = (path + '\0').getBytes(StandardCharsets.UTF_8);
        StringBuilder header = new StringBuilder(MAGIC);
        int links = (mode & S_IFDIR) == S_IFDIR ? 2 : 1;
        int number = mode == 0 ? 0 : ++inode;
        // ino mode uid gid nlink mtime filesize maj min rmaj rmin namesize chksum
        int[] fields = {number, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0};
        for (int field : fields) {
            header.append(HEX.toHexDigits(field));
        }
        write(header.toString().getBytes(StandardCharsets.US_ASCII));
        write(name);
        pad();
        write(data);
        pad();
    }

    private void write(byte[] bytes) throws IOException {
        out.write(bytes);
        written += bytes.length;
    }

    private void pad() throws IOException {
        while (written % 4 != 0) {
            out.write(0);
            written++;
        }
    }

    /** Writes the end of the archive and closes the stream. */
    @Override
    public void close() throws IOException {
        try (out) {
            entry(TRAILER, 0, new byte[0]);
        }
    }
}
