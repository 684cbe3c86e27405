package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A Linux kernel as a distribution's package lays it out: release ("6.12.107+deb13-cloud-amd64"),
 * boot image, and the folder with its modules. Any thread.
 */
public record Kernel(String release, Path image, Path modules) {
    /** The one kernel below {@code root}, the folder that packages were unpacked into. */
    static Kernel below(Path root) throws IOException {
        Path parent = root.resolve("usr/lib/modules");
        if (!Files.isDirectory(parent)) {
            parent = root.resolve("lib/modules");
        }
        List<Path> folders;
        try (Stream<Path> entries = Files.list(parent)) {
            folders = entries.filter(Files::isDirectory).toList();
        }
        if (folders.size() != 1) {
            throw new IOException("expected one kernel in " + parent + ", found " + folders.size());
        }
        Path modules = folders.getFirst();
        String release = modules.getFileName().toString();
        // Debian's newer packages keep the image beside the modules.
        Optional<Path> image =
                Stream.of(root.resolve("boot/vmlinuz-" + release), modules.resolve("vmlinuz"))
                        .filter(Files::isRegularFile)
                        .findFirst();
        return new Kernel(
                release,
                image.orElseThrow(() -> new IOException("no image of kernel " + release)),
                modules);
    }
}
