// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.ProgramMachine;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is left of a program that we serve when the run is cut short: nothing. */
@Timeout(60)
class ServedProgramTest {
    private static final String FOLDER = "/dev/vfio";

    /** Says where the folder really is that it finds. */
    private static final String WHERE = "exec 3<" + FOLDER + "; readlink /proc/self/fd/3; ";

    private ProgramMachine machine;
    private final Cleanup cleanup = Cleanup.atExit();

    @BeforeEach
    void begin() throws IOException {
        machine = new ProgramMachine("served", IommufdNode.builder().build(), IdlePolicy.EVENT_DRIVEN);
        machine.start();
    }

    @AfterEach
    void end() throws IOException {
        cleanup.close();
        machine.close();
    }

    private Process start(String script) throws IOException {
        return cleanup.start(
                () ->
                        ServedProgram.start(
                                machine,
                                List.of("/bin/sh", "-c", WHERE + script),
                                Map.of("PATH", Objects.requireNonNull(System.getenv("PATH")))));
    }

    private static BufferedReader output(Process process) {
        return new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /** Of all folders of ours together. */
    private static Path root(BufferedReader output) throws IOException {
        String folder = Objects.requireNonNull(output.readLine());
        assertThat(folder).endsWith(FOLDER);
        return Path.of(folder.substring(0, folder.length() - FOLDER.length()));
    }

    @Test
    void theEndOfTheRunWaitsUntilItsFoldersAreGone() throws IOException {
        Path root = root(output(start("exec sleep 1000")));
        assertThat(root).isDirectory();

        cleanup.close();

        assertThat(root).doesNotExist();
    }

    /** What it has started goes on, and is answered. */
    @Test
    void aProgramThatHasEndedBeforeWhatItStartedHasNoProcessAnyMore() throws Exception {
        Process process = start("sleep 1000 & echo $!");
        BufferedReader output = output(process);
        Path root = root(output);
        ProcessHandle started =
                ProcessHandle.of(Long.parseLong(Objects.requireNonNull(output.readLine())))
                        .orElseThrow();
        Path itself = Path.of("/proc", Long.toString(process.pid()));
        while (itself.toFile().exists()) {
            Thread.sleep(1);
        }

        assertThat(process.isAlive()).isTrue();
        assertThat(process.toHandle().isAlive()).isFalse();
        assertThat(process.descendants()).isEmpty();

        assertThat(started.destroyForcibly()).isTrue();
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(root).doesNotExist();
    }
}
