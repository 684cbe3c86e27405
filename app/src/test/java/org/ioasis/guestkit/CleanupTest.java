// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CleanupTest {
    @TempDir Path folder;

    private static ProcessBuilder sleeper() {
        return new ProcessBuilder("/bin/sh", "-c", "sleep 1000 & echo $!; wait");
    }

    private static long firstLine(Process process) throws IOException {
        BufferedReader reader =
                new BufferedReader(
                        new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
        return Long.parseLong(reader.readLine());
    }

    private static boolean isAlive(long pid) {
        return ProcessHandle.of(pid).map(Cleanup::isRunning).orElse(false);
    }

    private List<Path> entries() throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.toList();
        }
    }

    @Test
    void nothingStartsAfterTheEnd() {
        Cleanup cleanup = Cleanup.atExit();
        cleanup.close();

        assertThat(cleanup.isEnding()).isTrue();
        assertThatThrownBy(() -> cleanup.start(sleeper())).isInstanceOf(IOException.class);
        assertThatThrownBy(() -> cleanup.folder(() -> Files.createDirectory(folder.resolve("a"))))
                .isInstanceOf(IOException.class);
        assertThatThrownBy(() -> cleanup.add(() -> {})).isInstanceOf(IOException.class);
        assertThat(folder.resolve("a")).doesNotExist();
    }

    @Test
    void closeKillsChildrenAndTheirChildrenAndRemovesFolders() throws IOException {
        Cleanup cleanup = Cleanup.atExit();
        Process child = cleanup.start(sleeper());
        long grandchild = firstLine(child);
        Path made = cleanup.folder(() -> Files.createDirectory(folder.resolve("made")));
        Files.writeString(made.resolve("file"), "x");
        Files.createSymbolicLink(made.resolve("link"), folder);

        cleanup.close();
        cleanup.close();

        assertThat(child.isAlive()).isFalse();
        assertThat(isAlive(grandchild)).isFalse();
        assertThat(entries()).isEmpty();
    }

    @Test
    void actionsRunLatestFirstAfterTheChildrenAndOneThatFailsStopsNone() throws IOException {
        Cleanup cleanup = Cleanup.atExit();
        Process child = cleanup.start(sleeper());
        firstLine(child);
        List<String> order = new ArrayList<>();
        cleanup.add(() -> order.add("first"));
        cleanup.add(() -> {
            throw new IllegalStateException("planted");
        });
        cleanup.add(() -> order.add("last, child alive: " + child.isAlive()));

        cleanup.close();

        assertThat(order).containsExactly("last, child alive: false", "first");
    }

    @Test
    void folderThatWasKeptStays() throws IOException {
        Cleanup cleanup = Cleanup.atExit();
        Path made = cleanup.folder(() -> Files.createDirectory(folder.resolve("made")));
        cleanup.keep(made, folder.resolve("kept"));

        cleanup.close();

        assertThat(entries()).containsExactly(folder.resolve("kept"));
    }

    /** The program of the next test: a run that would take a long time. */
    static final class LongRun {
        private LongRun() {}

        public static void main(String[] arguments) throws Exception {
            Cleanup cleanup = Cleanup.atExit();
            Path parent = Path.of(arguments[0]);
            Path made = cleanup.folder(() -> Files.createTempDirectory(parent, "run-"));
            Files.writeString(made.resolve("socket"), "x");
            Process child = cleanup.start(sleeper());
            System.out.println(child.pid());
            System.out.println(firstLine(child));
            Thread.sleep(TimeUnit.MINUTES.toMillis(10));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"INT", "TERM"})
    void jvmThatGetsASignalLeavesNoChildAndNoFile(String signal) throws Exception {
        // env: a shell that runs us in the background may have made SIGINT ignored.
        Process run =
                new ProcessBuilder(
                                "env",
                                "--default-signal=" + signal,
                                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                                "-cp",
                                location(Cleanup.class) + ":" + location(CleanupTest.class),
                                LongRun.class.getName(),
                                folder.toString())
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        try (BufferedReader reader =
                new BufferedReader(
                        new InputStreamReader(run.getInputStream(), StandardCharsets.US_ASCII))) {
            long child = Long.parseLong(reader.readLine());
            long grandchild = Long.parseLong(reader.readLine());
            assertThat(isAlive(child)).isTrue();
            assertThat(isAlive(grandchild)).isTrue();
            assertThat(entries()).hasSize(1);

            new ProcessBuilder("kill", "-" + signal, Long.toString(run.pid())).start().waitFor();

            assertThat(run.waitFor(60, TimeUnit.SECONDS)).isTrue();
            assertThat(run.exitValue()).isGreaterThan(128);
            assertThat(isAlive(child)).isFalse();
            assertThat(isAlive(grandchild)).isFalse();
            assertThat(entries()).isEmpty();
        } finally {
            run.destroyForcibly();
        }
    }

    private static Path location(Class<?> type) throws Exception {
        return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
    }
}
