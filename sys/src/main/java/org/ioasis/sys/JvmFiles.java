// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.io.File;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Files that the JVM has open for itself without close-on-exec: its modules and our jars. A program
 * that is not started by Java's own means would inherit them, and they are none of its business;
 * descriptors that our user has given us for the program stay. Any thread.
 */
final class JvmFiles {
    private static final int F_SETFD = 2;
    private static final int FD_CLOEXEC = 1;
    private static final int STANDARD = 2;

    private JvmFiles() {}

    /** Keeps them from programs that are started from now on. */
    static void keepFromPrograms() throws ErrnoException {
        List<String> ours = new ArrayList<>();
        ours.add(System.getProperty("java.home"));
        for (String paths : List.of("jdk.module.path", "java.class.path")) {
            for (String path : System.getProperty(paths, "").split(File.pathSeparator, -1)) {
                if (!path.isEmpty()) {
                    ours.add(Path.of(path).toAbsolutePath().normalize().toString());
                }
            }
        }
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path entry : all) {
                int number = Integer.parseInt(entry.getFileName().toString());
                if (number > STANDARD && isBelow(entry, ours)) {
                    int _ = Fd.Fcntl.fcntl(number, F_SETFD, FD_CLOEXEC);
                }
            }
        } catch (IOException e) {
            ErrnoException refusal = new ErrnoException("readlink", "/proc/self/fd", Errno.ENOENT);
            refusal.initCause(e);
            throw refusal;
        }
    }

    private static boolean isBelow(Path entry, List<String> folders) throws IOException {
        try {
            Path file = Files.readSymbolicLink(entry);
            return folders.stream().anyMatch(folder -> file.startsWith(folder));
        } catch (NoSuchFileException e) {
            return false; // closed since the folder was listed
        }
    }
}
