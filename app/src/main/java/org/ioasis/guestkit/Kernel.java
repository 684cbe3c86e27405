// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A Linux kernel: release ("6.12.107+deb13-cloud-amd64"), boot image, and the folder with its
 * modules, which is null if every driver is built in. Any thread.
 */
public record Kernel(String release, Path image, @Nullable Path modules) {
    /** Says which drivers are part of the image; the kernel's build makes it beside the modules. */
    static final String BUILT_IN = "modules.builtin";

    // Boot protocol of x86 (Linux, Documentation/arch/x86/boot.rst): offsets in a bzImage.
    private static final int HEADER_MAGIC = 0x202;
    private static final int KERNEL_VERSION = 0x20e;
    private static final int KERNEL_VERSION_BASE = 0x200;
    private static final int SETUP_LIMIT = 64 << 10;

    private static final String ELF = "\u007fELF";
    private static final String BANNER = "Linux version ";
    private static final int RELEASE_LIMIT = 64;

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

    /**
     * A kernel of somebody's own.
     *
     * @param image a bzImage or vmlinux; its release is read from it
     * @param folder the kernel's modules: the folder named like the release, one with {@code
     *     lib/modules} below it (INSTALL_MOD_PATH of {@code make modules_install}), or a tree that
     *     the kernel was built in; null if it needs none
     * @throws IOException when the image or folder is none of these; the message says what is wrong
     */
    public static Kernel at(Path image, @Nullable Path folder) throws IOException {
        String release = releaseOf(image);
        if (folder == null) {
            return new Kernel(release, image, null);
        }
        for (Path candidate :
                List.of(
                        folder.resolve("lib/modules").resolve(release),
                        folder.resolve("usr/lib/modules").resolve(release),
                        folder.resolve(release),
                        folder)) {
            if (Files.isRegularFile(candidate.resolve(BUILT_IN))) {
                return new Kernel(release, image, candidate);
            }
        }
        throw new IOException(
                "no modules of kernel %s in %s: neither it nor lib/modules/%s below it has a file %s"
                        .formatted(release, folder, release, BUILT_IN));
    }

    /**
     * Of these drivers those that this kernel has as modules, as far as its configuration is found:
     * in the tree that it was built in, or beside it as distributions put it.
     */
    public List<String> modular(List<String> drivers) throws IOException {
        Optional<Path> configuration = configuration();
        if (configuration.isEmpty()) {
            return List.of();
        }
        List<String> lines;
        try (Stream<String> all = Files.lines(configuration.get(), StandardCharsets.ISO_8859_1)) {
            lines = all.filter(line -> line.endsWith("=m")).toList();
        }
        return drivers.stream()
                .filter(driver ->
                        lines.contains(
                                "CONFIG_%s=m"
                                        .formatted(
                                                driver.equals("ext4")
                                                        ? "EXT4_FS"
                                                        : driver.toUpperCase(Locale.ROOT))))
                .toList();
    }

    private Optional<Path> configuration() {
        Path folder = image.toAbsolutePath().getParent();
        if (folder == null) {
            return Optional.empty();
        }
        // A bzImage is three folders below its tree, a vmlinux in it.
        return Stream.of(
                        folder.resolve("config-" + release),
                        folder.resolve(".config"),
                        folder.resolve("../../../.config"))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    private static String releaseOf(Path image) throws IOException {
        if (!Files.isRegularFile(image)) {
            throw new IOException("there is no file " + image);
        }
        try (InputStream in = new BufferedInputStream(Files.newInputStream(image), 1 << 16)) {
            in.mark(SETUP_LIMIT);
            String setup = new String(in.readNBytes(SETUP_LIMIT - 1), StandardCharsets.ISO_8859_1);
            if (setup.startsWith("HdrS", HEADER_MAGIC)) {
                int at =
                        KERNEL_VERSION_BASE
                                + setup.charAt(KERNEL_VERSION)
                                + (setup.charAt(KERNEL_VERSION + 1) << 8);
                return word(setup, at, image);
            }
            if (setup.startsWith(ELF)) {
                in.reset();
                return word(afterBanner(in, image), 0, image);
            }
        }
        throw new IOException(image + " is neither a bzImage nor a vmlinux of Linux for x86");
    }

    /** What follows the first "Linux version " of a file. */
    private static String afterBanner(InputStream in, Path image) throws IOException {
        int matched = 0;
        for (int b = in.read(); b >= 0; b = in.read()) {
            if (b != BANNER.charAt(matched)) {
                // Its first letter occurs in it only once: a new match can begin here at most.
                matched = b == BANNER.charAt(0) ? 1 : 0;
            } else if (++matched == BANNER.length()) {
                in.mark(RELEASE_LIMIT);
                String text = new String(in.readNBytes(RELEASE_LIMIT), StandardCharsets.ISO_8859_1);
                // The banner's format stands in the file too.
                if (!text.startsWith("%")) {
                    return text;
                }
                in.reset();
                matched = 0;
            }
        }
        throw new IOException(image + " does not tell which version of Linux it is");
    }

    private static String word(String text, int at, Path image) throws IOException {
        int end = at;
        while (end < text.length() && end - at <= RELEASE_LIMIT && text.charAt(end) > ' ') {
            end++;
        }
        if (end <= at || end - at > RELEASE_LIMIT) {
            throw new IOException(image + " does not tell which version of Linux it is");
        }
        return text.substring(at, end);
    }
}
