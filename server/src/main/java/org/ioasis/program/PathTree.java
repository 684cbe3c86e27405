// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.jspecify.annotations.Nullable;

/**
 * Folders of ours in the place of the kernel's: kept in a temporary folder under the same paths, so
 * that what a program opens there is a folder or file of the kernel's, and needs nothing of us any
 * more. Supervisor's thread.
 */
final class PathTree implements AutoCloseable {
    private final List<String> folders;
    private final @Nullable Path root;

    PathTree(ProgramFiles files) throws IOException {
        folders = files.folders();
        if (folders.isEmpty()) {
            root = null;
            return;
        }
        Path made = Files.createTempDirectory("ioasis-sys");
        root = made;
        boolean isComplete = false;
        try {
            for (String folder : folders) {
                Files.createDirectories(below(made, folder));
            }
            for (Map.Entry<String, String> text : files.texts().entrySet()) {
                Path file = below(made, text.getKey());
                Files.createDirectories(file.getParent());
                Files.writeString(file, text.getValue(), ISO_8859_1);
            }
            for (Map.Entry<String, String> link : files.links().entrySet()) {
                Path file = below(made, link.getKey());
                Files.createDirectories(file.getParent());
                Files.createSymbolicLink(file, Path.of(link.getValue()));
            }
            isComplete = true;
        } finally {
            if (!isComplete) {
                close();
            }
        }
    }

    private static Path below(Path root, String path) {
        return root.resolve(path.substring(1));
    }

    /** Where the path is kept; null if it is not ours. */
    private @Nullable Path kept(String path) {
        Path all = root;
        if (all != null) {
            for (String folder : folders) {
                if (path.startsWith(folder)
                        && (path.length() == folder.length()
                                || path.charAt(folder.length()) == '/')) {
                    return below(all, path);
                }
            }
        }
        return null;
    }

    /** Whether the path is below a folder of ours, be something there or not. */
    boolean isOurs(String path) {
        return kept(path) != null;
    }

    /** What stands there; null: nothing, or it is not ours. */
    @Nullable PathStatus status(String path, boolean followsLinks) {
        Path file = kept(path);
        if (file == null) {
            return null;
        }
        LinkOption[] options =
                followsLinks ? new LinkOption[0] : new LinkOption[] {LinkOption.NOFOLLOW_LINKS};
        try {
            BasicFileAttributes found =
                    Files.readAttributes(file, BasicFileAttributes.class, options);
            if (found.isSymbolicLink()) {
                return PathStatus.link(found.size());
            }
            return found.isDirectory() ? PathStatus.folder() : PathStatus.file(found.size());
        } catch (IOException e) {
            return null;
        }
    }

    /** The target of a link; null if there is none. */
    byte @Nullable [] linkAt(String path) {
        Path file = kept(path);
        try {
            return file == null || !Files.isSymbolicLink(file)
                    ? null
                    : Files.readSymbolicLink(file).toString().getBytes(ISO_8859_1);
        } catch (IOException e) {
            return null;
        }
    }

    /** Opens for reading. */
    Fd open(String path, boolean isFolder) throws ErrnoException {
        return FileBytes.open(
                String.valueOf(kept(path)),
                FileBytes.O_RDONLY | (isFolder ? FileBytes.O_DIRECTORY : 0));
    }

    @Override
    public void close() {
        Path made = root;
        if (made == null) {
            return;
        }
        try (Stream<Path> all = Files.walk(made)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        } catch (IOException e) {
            System.err.println("ioasis: cannot remove " + made + ": " + e.getMessage());
        }
    }
}
