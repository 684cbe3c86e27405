// SPDX-License-Identifier: Apache-2.0
package org.ioasis.output;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.LockedFile;
import org.jspecify.annotations.Nullable;

/**
 * A file where the user wants something written, held until it is closed. It is made anew; or it
 * takes the place of one that is empty or of the same kind, or goes on behind it, which an earlier
 * command has written and nobody is writing now. Everything else that is there stays: a mistyped
 * name must not cost anybody a file. What is no regular file (a terminal, a pipe, /dev/null) has
 * nothing to lose.
 *
 * <p>One thread.
 */
public final class OutputFile implements AutoCloseable {
    private static final int LOOKED_AT = 64 << 10;
    private static final int BUFFER = 1 << 16;

    private final Path path;

    /** Null if it is no regular file. */
    private final @Nullable LockedFile held;

    private OutputFile(Path path, @Nullable LockedFile held) {
        this.path = path;
        this.held = held;
    }

    /**
     * Why the file could not be opened now, for people; null if it could. Changes nothing.
     *
     * @throws IOException its folder or itself cannot be looked at
     */
    public static @Nullable String refusal(Path path, OutputKind kind) throws IOException {
        Path folder = path.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            return "there is no folder for " + path;
        }
        if (Files.isDirectory(path)) {
            return path + " is a folder";
        }
        boolean exists = Files.exists(path);
        if (!Files.isWritable(exists ? path : folder)) {
            return "no permission to write " + path;
        }
        return exists && Files.isRegularFile(path) ? foreign(path, path, kind) : null;
    }

    /** Why the content at {@code readable} is not ours to replace, or null. */
    private static @Nullable String foreign(Path path, Path readable, OutputKind kind)
            throws IOException {
        byte[] beginning;
        try (InputStream in = Files.newInputStream(readable)) {
            beginning = in.readNBytes(LOOKED_AT);
        }
        return beginning.length == 0
                        || kind.matches(new String(beginning, StandardCharsets.ISO_8859_1))
                ? null
                : "%s is there and is not %s: it is not replaced; remove it or name another"
                        .formatted(path, kind.description());
    }

    /**
     * Opens the file, as it is.
     *
     * @throws IOException it is somebody else's, somebody is writing it, or it cannot be made
     */
    public static OutputFile open(Path path, OutputKind kind) throws IOException {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            if (Files.isDirectory(path)) {
                throw new IOException(path + " is a folder");
            }
            return new OutputFile(path, null);
        }
        try {
            Files.createFile(path);
        } catch (FileAlreadyExistsException e) {
            // Whose it is, is looked at below and under the lock.
        }
        LockedFile held = LockedFile.open(path, true);
        boolean isOpen = false;
        try {
            if (!lock(held)) {
                throw new IOException(
                        "%s is being written by %s".formatted(path, held.holder(0, 0)));
            }
            String foreign = foreign(path, held.path(), kind);
            if (foreign != null) {
                throw new IOException(foreign);
            }
            OutputFile file = new OutputFile(path, held);
            if (!file.isInPlace()) {
                throw new IOException(path + " has been replaced meanwhile");
            }
            isOpen = true;
            return file;
        } finally {
            if (!isOpen) {
                held.close();
            }
        }
    }

    private static boolean lock(LockedFile file) {
        try {
            return file.tryLock(0, 0, true);
        } catch (ErrnoException e) {
            // A file system without locks: two writers are not told apart there.
            return true;
        }
    }

    /** Where what is written goes; begins with the empty file. Closed by the caller. */
    public OutputStream stream() throws IOException {
        LockedFile file = held;
        return new BufferedOutputStream(
                file == null
                        ? Files.newOutputStream(path, StandardOpenOption.WRITE)
                        : Files.newOutputStream(
                                file.path(),
                                StandardOpenOption.WRITE,
                                StandardOpenOption.TRUNCATE_EXISTING),
                BUFFER);
    }

    /** The same behind what is there, in a new line. Closed by the caller. */
    public OutputStream appending() throws IOException {
        LockedFile file = held;
        if (file == null) {
            return stream();
        }
        OutputStream out =
                new BufferedOutputStream(
                        Files.newOutputStream(file.path(), StandardOpenOption.APPEND), BUFFER);
        // Whoever was killed may have left a part of one.
        if (isMidLine(file.path())) {
            out.write('\n');
        }
        return out;
    }

    private static boolean isMidLine(Path file) throws IOException {
        try (SeekableByteChannel channel = Files.newByteChannel(file)) {
            long size = channel.size();
            ByteBuffer last = ByteBuffer.allocate(1);
            return size > 0 && channel.position(size - 1).read(last) == 1 && last.get(0) != '\n';
        }
    }

    /**
     * The empty file, to be written in any place. Closed by the caller.
     *
     * @throws IOException it has no places, because it is no regular file
     */
    public FileChannel channel() throws IOException {
        LockedFile file = held;
        if (file == null) {
            throw new IOException(path + " is no regular file");
        }
        return FileChannel.open(
                file.path(), StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING);
    }

    /** Bytes that are there already; 0 if it is no regular file. */
    public long size() throws IOException {
        return held == null ? 0 : Files.size(held.path());
    }

    /** Writes all of it. */
    public void write(byte[] content) throws IOException {
        try (OutputStream out = stream()) {
            out.write(content);
        } catch (IOException e) {
            // What write(2) says names no file.
            throw new IOException(path + " cannot be written: " + e.getMessage(), e);
        }
    }

    /** Opens the file, writes all of it and closes it. */
    public static void write(Path path, OutputKind kind, byte[] content) throws IOException {
        try (OutputFile file = open(path, kind)) {
            file.write(content);
        }
    }

    /** Removes the file, unless another has come into its place. */
    public void remove() throws IOException {
        if (held != null && isInPlace()) {
            Files.deleteIfExists(path);
        }
    }

    private boolean isInPlace() throws IOException {
        LockedFile file = held;
        if (file == null || !Files.exists(path)) {
            return false;
        }
        // While it is held open, its number is not given to another file.
        Object here = Files.readAttributes(path, BasicFileAttributes.class).fileKey();
        Object ours = Files.readAttributes(file.path(), BasicFileAttributes.class).fileKey();
        return ours != null && ours.equals(here);
    }

    @Override
    public void close() {
        if (held != null) {
            held.close();
        }
    }
}
