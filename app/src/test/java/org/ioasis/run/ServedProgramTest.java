// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A served program in the hands of who starts and ends processes. */
@Timeout(60)
class ServedProgramTest {
    @TempDir Path temporary;
    private ProgramMachine machine;

    @BeforeEach
    void start() throws Exception {
        machine =
                new ProgramMachine(
                        "test",
                        IommufdNode.builder().build(),
                        IdlePolicy.EVENT_DRIVEN,
                        RingFormat.SPLIT);
        machine.start();
    }

    @AfterEach
    void close() throws Exception {
        machine.close();
    }

    private ServedProgram run(String script) throws Exception {
        return ServedProgram.start(
                machine,
                temporary.resolve("files"),
                List.of("/bin/sh", "-c", script),
                Map.of("WORD", "a word"));
    }

    @Test
    void outputEnvironmentAndStatusAreThePrograms() throws Exception {
        ServedProgram program = run("echo $WORD; echo wrong >&2; exit 7");

        assertThat(new String(program.getInputStream().readAllBytes(), UTF_8))
                .isEqualTo("a word\n");
        assertThat(new String(program.getErrorStream().readAllBytes(), UTF_8)).isEqualTo("wrong\n");
        assertThat(program.waitFor()).isEqualTo(7);
        assertThat(program.exitValue()).isEqualTo(7);
    }

    @Test
    void oneThatHasEndedCanStillBeAskedForItsHandle() throws Exception {
        ServedProgram program = run("exit 0");
        assertThat(program.waitFor()).isZero();

        assertThat(program.toHandle().isAlive()).isFalse();
        assertThat(program.descendants()).isEmpty();
    }

    @Test
    void whatItFindsIsKeptWhereItIsTold() throws Exception {
        ServedProgram program = run("echo there; exec sleep 60");
        try (var lines = program.inputReader(UTF_8)) {
            assertThat(lines.readLine()).isEqualTo("there");
            assertThat(temporary.resolve("files/dev/vfio/vfio")).exists();
        } finally {
            program.destroyForcibly();
        }

        assertThat(program.waitFor()).isEqualTo(128 + 9);
        assertThat(temporary.resolve("files")).doesNotExist();
    }
}
