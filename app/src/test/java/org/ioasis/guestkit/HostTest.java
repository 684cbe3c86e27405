// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostTest {
    @TempDir Path folder;

    private static List<String> lines(String text) throws IOException {
        List<String> lines = new ArrayList<>();
        BoundedLines.read(
                new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1)), lines::add);
        return lines;
    }

    @Test
    void programsAreFoundInAbsoluteFoldersOfThePathOnly() throws IOException {
        HostFixture.executable(folder.resolve("tool"), "");
        Files.createFile(folder.resolve("data"));

        Host host = new Host(Map.of("PATH", ":.:nowhere:" + folder), "amd64");

        assertThat(host.program("tool")).contains(folder.resolve("tool"));
        assertThat(host.program("data")).isEmpty();
        assertThat(host.program("absent")).isEmpty();
        assertThat(new Host(Map.of(), "amd64").program("tool")).isEmpty();
    }

    @Test
    void childGetsNothingThatCouldChangeWhatItRuns() {
        Host host =
                new Host(
                        Map.of(
                                "PATH",
                                "/bin",
                                "LD_PRELOAD",
                                "x",
                                "QEMU_AUDIO_DRV",
                                "y",
                                "HOME",
                                ""),
                        "amd64");

        assertThat(host.childEnvironment())
                .containsExactlyInAnyOrderEntriesOf(Map.of("PATH", "/bin", "LC_ALL", "C.UTF-8"));
    }

    @Test
    void lineThatIsTooLongIsCutAndTheNextOneIsWhole() throws IOException {
        List<String> lines = lines("a".repeat(BoundedLines.LIMIT + 5) + "\nnext\n");

        assertThat(lines).containsExactly("a".repeat(BoundedLines.LIMIT), "next");
    }

    @Test
    void bytesThatCouldSteerATerminalAreReplaced() throws IOException {
        assertThat(lines("a\u001b[2J\u0000\u00e9\tb\r\n\r\nend"))
                .containsExactly("a?[2J??\tb", "", "end");
    }
}
