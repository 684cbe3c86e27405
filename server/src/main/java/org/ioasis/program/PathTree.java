// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
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
 *
 * <p>The program runs as the same user and can do with that folder what it likes. So nothing is
 * looked up in it once it is made: a pipe that a program leaves there would have us wait for its
 * other end, and a link would lead anywhere.
 */
final class PathTree implements AutoCloseable {
    /** Links of ours that lead to each other lead nowhere. */
    private static final int LINKS_MAX = 8;

    private final List<String> folders;
    private final Map<String, String> links;
    private final Map<String, PathStatus> statuses = new HashMap<>();

    /** Of folders and texts, as they were made. */
    private final Map<String, Fd> opened = new HashMap<>();

    private final @Nullable Path root;

    PathTree(ProgramFiles files) throws IOException {
        folders = files.folders();
        links = files.links();
        if (folders.isEmpty()) {
            root = null;
            return;
        }
        Path place = files.place();
        Path made =
                place == null
                        ? Files.createTempDirectory("ioasis-sys")
                        : Files.createDirectory(place);
        root = made;
        boolean isComplete = false;
        try {
            for (String folder : folders) {
                make(made, folder);
            }
            for (Map.Entry<String, String> text : files.texts().entrySet()) {
                Path file = below(made, text.getKey());
                make(made, parent(text.getKey()));
                Files.writeString(file, text.getValue(), ISO_8859_1);
                add(text.getKey(), PathStatus.file(text.getValue().length()), file);
            }
            for (Map.Entry<String, String> link : links.entrySet()) {
                make(made, parent(link.getKey()));
                Files.createSymbolicLink(below(made, link.getKey()), Path.of(link.getValue()));
                statuses.put(link.getKey(), PathStatus.link(link.getValue().length()));
            }
            isComplete = true;
        } finally {
            if (!isComplete) {
                close();
            }
        }
    }

    /** A folder of ours, with those of ours that it is in. */
    private void make(Path made, String folder) throws IOException {
        Files.createDirectories(below(made, folder));
        for (String at = folder; isOurs(at) && !statuses.containsKey(at); at = parent(at)) {
            add(at, PathStatus.folder(), below(made, at));
        }
    }

    private void add(String path, PathStatus status, Path file) throws ErrnoException {
        opened.put(path, FileBytes.open(file.toString(), FileBytes.O_RDONLY));
        statuses.put(path, status);
    }

    private static String parent(String path) {
        return path.substring(0, path.lastIndexOf('/'));
    }

    private static Path below(Path root, String path) {
        return root.resolve(path.substring(1));
    }

    /** Whether the path is below a folder of ours, be something there or not. */
    boolean isOurs(String path) {
        for (String folder : folders) {
            if (path.startsWith(folder)
                    && (path.length() == folder.length() || path.charAt(folder.length()) == '/')) {
                return true;
            }
        }
        return false;
    }

    /** What stands there; null: nothing, or it is not ours. */
    @Nullable PathStatus status(String path, boolean followsLinks) {
        return statuses.get(followsLinks ? target(path) : path);
    }

    /** Where links of ours lead from there, if they stay with us. */
    private String target(String path) {
        String at = path;
        for (int i = 0; i < LINKS_MAX; i++) {
            String link = links.get(at);
            if (link == null) {
                break;
            }
            at = Path.of(at).resolveSibling(link).normalize().toString();
        }
        return at;
    }

    /** The target of a link; null if there is none. */
    byte @Nullable [] linkAt(String path) {
        String link = links.get(path);
        return link == null ? null : link.getBytes(ISO_8859_1);
    }

    /** Opens for reading; null: nothing stands there. */
    @Nullable Fd open(String path) throws ErrnoException {
        Fd known = opened.get(target(path));
        return known == null ? null : FileBytes.reopen(known, FileBytes.O_RDONLY);
    }

    @Override
    public void close() {
        opened.values().forEach(Fd::close);
        opened.clear();
        Path made = root;
        if (made != null) {
            remove(made);
        }
    }

    /** What a program has made of a folder that it may write to may be beyond removal. */
    static void remove(Path folder) {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        } catch (IOException | UncheckedIOException e) {
            System.err.println("ioasis: cannot remove " + folder + ": " + e.getMessage());
        }
    }
}
