// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.ioasis.sys.Fd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a program, which runs as our user, makes of folders of ours; without a program. */
class PathTreeTest {
    private static final String DEVICE = "/sys/bus/pci/devices/10a5:00:00.0";
    private static final String VENDOR = DEVICE + "/vendor";
    private static final String CONTENT = "0x1af4\n";

    @TempDir Path folder;

    private static PathTree tree() throws Exception {
        return new PathTree(
                ProgramFiles.builder()
                        .folder(DEVICE)
                        .text(VENDOR, CONTENT)
                        .link(DEVICE + "/driver", "../../drivers/vfio-pci")
                        .link(DEVICE + "/same", "vendor")
                        .link(DEVICE + "/round", "round")
                        .build());
    }

    /** Where the tree keeps it: as a program finds out. */
    private static Path kept(PathTree tree, String path) throws Exception {
        try (Fd opened = requireNonNull(tree.open(path))) {
            return Files.readSymbolicLink(link(opened));
        }
    }

    private static Path link(Fd opened) {
        return Path.of("/proc/self/fd/" + opened.number());
    }

    private static String content(PathTree tree, String path) throws Exception {
        try (Fd opened = requireNonNull(tree.open(path))) {
            return Files.readString(link(opened));
        }
    }

    @Test
    void whatStandsThereIsWhatWasPutThere() throws Exception {
        try (PathTree tree = tree()) {
            assertThat(tree.status(VENDOR, false)).isEqualTo(PathStatus.file(CONTENT.length()));
            assertThat(tree.status(DEVICE, true)).isEqualTo(PathStatus.folder());
            assertThat(tree.status(DEVICE + "/driver", false)).isEqualTo(PathStatus.link(22));
            assertThat(tree.status(DEVICE + "/driver", true)).isNull();
            assertThat(tree.status(DEVICE + "/same", true)).isEqualTo(PathStatus.file(7));
            assertThat(content(tree, DEVICE + "/same")).isEqualTo(CONTENT);
            assertThat(tree.open(DEVICE + "/round")).isNull();
            assertThat(tree.linkAt(VENDOR)).isNull();
        }
    }

    @Test
    void whatAProgramPutsThereIsNotOpened() throws Exception {
        Path secret = Files.writeString(folder.resolve("secret"), "secret");
        try (PathTree tree = tree()) {
            Path vendor = kept(tree, VENDOR);
            Files.delete(vendor);
            Files.createSymbolicLink(vendor, secret);

            assertThat(content(tree, VENDOR)).isEqualTo(CONTENT);
            assertThat(tree.status(VENDOR, true)).isEqualTo(PathStatus.file(CONTENT.length()));

            // Whoever opens it waits for its other end.
            assertThat(shell("mkfifo pipe", Objects.requireNonNull(vendor.getParent()))).isZero();
            String pipe = DEVICE + "/pipe";
            assertThat(tree.status(pipe, true)).isNull();
            assertThat(tree.open(pipe)).isNull();
        }
    }

    @Test
    void aFolderGoesWithWhatIsInIt() throws Exception {
        PathTree tree = tree();
        Path made = kept(tree, DEVICE);
        Files.writeString(Files.createDirectories(made.resolve("a/b")).resolve("c"), "N");

        tree.close();

        assertThat(made).doesNotExist();
    }

    /** Paths in it are longer than the kernel takes; a folder without permissions does the same. */
    @Test
    void aFolderThatCannotBeWalkedDoesNotKeepTheRestOfTheEndFromItsTurn() throws Exception {
        PathTree tree = tree();
        Path made = kept(tree, DEVICE);
        String name = "d".repeat(250);
        try {
            assertThat(
                            shell(
                                    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do mkdir "
                                            + name
                                            + " && cd -P "
                                            + name
                                            + " 2>/dev/null; done",
                                    made))
                    .isZero();

            assertThatCode(tree::close).doesNotThrowAnyException();

            assertThat(made).exists();
        } finally {
            Path root = made.getRoot().resolve(made.subpath(0, made.getNameCount() - 5));
            assertThat(shell("rm -rf '" + root + "'", folder)).isZero();
        }
    }

    private static int shell(String script, Path in) throws Exception {
        return new ProcessBuilder("sh", "-c", script).directory(in.toFile()).start().waitFor();
    }
}
