// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The folder of the user in which downloaded parts are kept between runs. A part is a folder that
 * appears under its name only when it is complete, with a marker that says what is in it. What has
 * no marker is somebody else's, since the user may name any folder, and stays. One run at a time
 * changes the folder, by a file lock; readers need none. Any thread.
 */
final class CacheFolder {
    /** Parts of another layout are made anew. */
    private static final String FORMAT = "1";

    private static final String MARKER = "ioasis-part";
    private static final String TEMPORARY = ".ioasis-tmp-";

    /** A file lock is the JVM's, not the thread's. */
    private static final ReentrantLock IN_THIS_JVM = new ReentrantLock();

    /** A complete part: where it is, and what its maker noted about it. */
    record Part(Path folder, Map<String, String> notes) {
        Part {
            notes = Map.copyOf(notes);
        }
    }

    /** Held while the cache is changed. */
    interface Lock extends AutoCloseable {
        @Override
        void close() throws IOException;
    }

    private final Path root;

    private CacheFolder(Path root) {
        this.root = root;
    }

    /**
     * Opens the folder, making it if necessary: IOASIS_CACHE, else the folder {@code ioasis} of
     * XDG_CACHE_HOME, else of {@code .cache} in the user's home.
     */
    static CacheFolder open(Host host) throws UnavailableException {
        Path root = locate(host);
        try {
            Files.createDirectories(
                    root,
                    PosixFilePermissions.asFileAttribute(
                            PosixFilePermissions.fromString("rwx------")));
        } catch (IOException e) {
            throw new UnavailableException(
                    "cannot make the cache folder "
                            + root
                            + " ("
                            + e
                            + "); set IOASIS_CACHE to a folder that you can write to",
                    e);
        }
        return new CacheFolder(root);
    }

    private static Path locate(Host host) throws UnavailableException {
        String own = host.variable("IOASIS_CACHE");
        if (own != null) {
            return Path.of(own).toAbsolutePath().normalize();
        }
        String base = host.variable("XDG_CACHE_HOME");
        // A relative path is to be ignored (XDG Base Directory Specification).
        if (base != null && base.startsWith("/")) {
            return Path.of(base, "ioasis");
        }
        String home = host.variable("HOME");
        if (home != null && home.startsWith("/")) {
            return Path.of(home, ".cache", "ioasis");
        }
        throw new UnavailableException(
                "there is no home folder to keep QEMU and the guest's kernel in;"
                        + " set IOASIS_CACHE to a folder that you can write to");
    }

    Path root() {
        return root;
    }

    /** Waits for another run that is changing the cache, telling the user so. */
    Lock lock(Consumer<String> progress) throws IOException, InterruptedException {
        IN_THIS_JVM.lockInterruptibly();
        try {
            FileChannel channel = openLockFile();
            try {
                if (channel.tryLock() == null) {
                    progress.accept("another run is filling " + root + "; waiting for it");
                    // Held, as the first try would be, until the channel is closed.
                    channel.lock();
                }
            } catch (IOException | RuntimeException e) {
                channel.close();
                throw e;
            }
            return () -> {
                // In reverse order: the JVM refuses a second lock on the same file.
                try {
                    channel.close();
                } finally {
                    IN_THIS_JVM.unlock();
                }
            };
        } catch (IOException | RuntimeException e) {
            IN_THIS_JVM.unlock();
            throw e;
        }
    }

    /** Removes what a run that was killed left behind, unless another run is at work. */
    void sweep(Cleanup cleanup) throws IOException {
        if (leftovers().isEmpty() || !IN_THIS_JVM.tryLock()) {
            return;
        }
        try (FileChannel channel = openLockFile()) {
            if (channel.tryLock() != null) {
                leftovers().forEach(cleanup::delete);
            }
        } finally {
            IN_THIS_JVM.unlock();
        }
    }

    private FileChannel openLockFile() throws IOException {
        return FileChannel.open(
                root.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    }

    private List<Path> leftovers() throws IOException {
        List<Path> found = new ArrayList<>();
        try (Stream<Path> entries = Files.list(root)) {
            entries.filter(e -> e.getFileName().toString().startsWith(TEMPORARY))
                    .forEach(found::add);
        }
        return found;
    }

    /** A folder to prepare a part in; the caller holds the lock. */
    Path newTemporary(Cleanup cleanup) throws IOException {
        return cleanup.folder(() -> Files.createTempDirectory(root, TEMPORARY));
    }

    /**
     * The part of this name, if it is complete and of this layout.
     *
     * @throws IOException something else has its name
     */
    Optional<Part> part(String name) throws IOException {
        Path folder = root.resolve(name);
        Map<String, String> notes = new LinkedHashMap<>();
        try {
            for (String line : Files.readAllLines(folder.resolve(MARKER))) {
                int equals = line.indexOf('=');
                if (equals > 0) {
                    notes.put(line.substring(0, equals), line.substring(equals + 1));
                }
            }
        } catch (NoSuchFileException absent) {
            if (Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
                throw new IOException(
                        "%s is there and Ioasis has not made it; set IOASIS_CACHE to another folder"
                                .formatted(folder),
                        absent);
            }
            return Optional.empty();
        }
        return FORMAT.equals(notes.get("format"))
                ? Optional.of(new Part(folder, notes))
                : Optional.empty();
    }

    /** Makes {@code folder}, from {@link #newTemporary}, the part {@code name}; lock held. */
    Part publish(Path folder, String name, Map<String, String> notes, Cleanup cleanup)
            throws IOException {
        List<String> lines = new ArrayList<>();
        lines.add("format=" + FORMAT);
        notes.forEach((key, value) -> lines.add(key + "=" + value));
        Files.write(folder.resolve(MARKER), lines);
        Path target = root.resolve(name);
        // Refused if it is somebody else's.
        Optional<Part> earlier = part(name);
        if (earlier.isPresent() || Files.exists(target)) {
            // Moved aside first: nobody sees a half removed part.
            Path old = newTemporary(cleanup);
            Files.move(target, old.resolve("old"), StandardCopyOption.ATOMIC_MOVE);
            cleanup.delete(old);
        }
        cleanup.keep(folder, target);
        return part(name).orElseThrow();
    }
}
