// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.regex.Pattern;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.jspecify.annotations.Nullable;

/**
 * The private folder of one run, for sockets, disks and the initramfs. Only its owner can enter it
 * (mode 0700), and it is gone when the run is, unless the user keeps it. Any thread.
 */
public final class Workspace implements AutoCloseable {
    private static final String PREFIX = "ioasis-";
    private static final Path DEFAULT_PARENT = Path.of("/tmp");
    private static final long MIB = 1L << 20;

    /** sun_path of unix(7) has 108 bytes with the final zero; the folder's share of them. */
    private static final int PARENT_LIMIT = 64;

    private static final int SOCKET_LIMIT = 107;

    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9.-]{0,31}");

    private final Cleanup cleanup;
    private final Path folder;
    private final boolean isKept;

    private Workspace(Cleanup cleanup, Path folder, boolean isKept) {
        this.cleanup = cleanup;
        this.folder = folder;
        this.isKept = isKept;
    }

    /**
     * Makes a folder of the user's choice, which stays.
     *
     * @param folder not there yet; short enough for sockets in it
     */
    public static Workspace keeping(Cleanup cleanup, Path folder) throws IOException {
        Path made = folder.toAbsolutePath().normalize();
        if (made.toString().length() > PARENT_LIMIT) {
            throw new IOException(
                    "%s is longer than %d letters: the sockets in it would have no room for their paths"
                            .formatted(made, PARENT_LIMIT));
        }
        return new Workspace(
                cleanup,
                Files.createDirectory(
                        made,
                        PosixFilePermissions.asFileAttribute(
                                PosixFilePermissions.fromString("rwx------"))),
                true);
    }

    /**
     * Makes a folder in TMPDIR, or in /tmp when that is unset or too long for sockets.
     *
     * @param bytes what the run will write at most
     * @throws UnavailableException when there is less space than that
     */
    public static Workspace create(Host host, Cleanup cleanup, long bytes)
            throws UnavailableException, IOException {
        Path parent = parent(host.variable("TMPDIR"));
        long space = Files.getFileStore(parent).getUsableSpace();
        if (space < bytes) {
            throw new UnavailableException(
                    "%s has %d MiB of free space, but the disks of the guest need %d MiB; set TMPDIR to another folder"
                            .formatted(parent, space / MIB, (bytes + MIB - 1) / MIB));
        }
        return new Workspace(
                cleanup, cleanup.folder(() -> Files.createTempDirectory(parent, PREFIX)), false);
    }

    private static Path parent(@Nullable String chosen) {
        boolean fits =
                chosen != null
                        && chosen.startsWith("/")
                        && chosen.length() <= PARENT_LIMIT
                        && Files.isDirectory(Path.of(chosen));
        return fits ? Path.of(chosen) : DEFAULT_PARENT;
    }

    /** The path of a file or socket in this folder; nothing is made. */
    public Path file(String name) {
        Path file = folder.resolve(name);
        if (!NAME.matcher(name).matches() || file.toString().length() > SOCKET_LIMIT) {
            throw new IllegalArgumentException("not a short name for a file: " + name);
        }
        return file;
    }

    /** Makes an empty disk: a file full of zeros that takes no space yet. */
    public Path emptyDisk(String name, long bytes) throws IOException {
        Path file = file(name);
        try (FileChannel out =
                FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            out.write(ByteBuffer.allocate(1), bytes - 1);
        }
        return file;
    }

    /** Removes the folder and all that is in it, if it is not to stay. */
    @Override
    public void close() {
        if (!isKept) {
            cleanup.delete(folder);
        }
    }
}
