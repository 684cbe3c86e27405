// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a program leaves in the folder of fault injection, without a program. */
class MockFilesTest {
    @TempDir Path folder;

    @Test
    void theFolderGoesWithWhatIsInIt() throws Exception {
        Path made = Files.createDirectories(folder.resolve("made"));
        Files.writeString(Files.createDirectories(made.resolve("a/b")).resolve("c"), "N");

        MockFiles.remove(made);

        assertThat(made).doesNotExist();
    }

    /** Paths in it are longer than the kernel takes; a folder without permissions does the same. */
    @Test
    void aFolderThatCannotBeWalkedDoesNotKeepTheRestOfTheEndFromItsTurn() throws Exception {
        Path made = Files.createDirectories(folder.resolve("made"));
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

            assertThatCode(() -> MockFiles.remove(made)).doesNotThrowAnyException();

            assertThat(made).exists();
        } finally {
            assertThat(shell("rm -rf made", folder)).isZero();
        }
    }

    private static int shell(String script, Path in) throws Exception {
        return new ProcessBuilder("sh", "-c", script).directory(in.toFile()).start().waitFor();
    }
}
