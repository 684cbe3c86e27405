// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FioCellTest {
    @TempDir private Path folder;

    @Test
    void linesOfTheGuestAreUnderstood() {
        assertThat(FioCell.understand("cell=rr1")).isEqualTo(new FioCell.Said.Begun("rr1"));
        assertThat(FioCell.understand("0;0;0;0;8192;1024;2000"))
                .isEqualTo(new FioCell.Said.Measured(8192L << 10, 1024));
        assertThat(FioCell.understand("0;4;7;2000;8;3;2000"))
                .isEqualTo(new FioCell.Said.Measured(12L << 10, 10));
        assertThat(FioCell.understand("hash=ab")).isEqualTo(new FioCell.Said.Hash("ab"));
        assertThat(FioCell.understand("verified=0")).isEqualTo(new FioCell.Said.Verified(true));
        assertThat(FioCell.understand("verified=1")).isEqualTo(new FioCell.Said.Verified(false));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "5;0;0;0;8192;1024;2000",
                "0;0;0;0;8192;1024",
                "0;99999999999999999999;0;0;0;0;0",
                "fio: io_u error on file /dev/vda",
            })
    void whatFioDoesNotSayWhenAllIsWellIsNoFigure(String line) {
        assertThat(FioCell.understand(line)).isEqualTo(new FioCell.Said.Other(line));
    }

    @Test
    void writesLeaveAloneWhatTheHostKnows() {
        String script = FioCell.script(FioCell.ALL, 2);

        assertThat(script.lines().filter(line -> line.contains("--offset=")))
                .isNotEmpty()
                .allSatisfy(line -> assertThat(line).contains("--offset=32m"));
        assertThat(FioCell.ALL)
                .filteredOn(FioCell::writes)
                .isNotEmpty()
                .allSatisfy(cell ->
                        assertThat(script)
                                .contains("\ncell " + cell.name() + " --rw=" + cell.pattern()));
    }

    @Test
    void scriptHasNoSyntaxErrors() throws Exception {
        Path script = folder.resolve("command");
        Files.writeString(script, FioCell.script(FioCell.ALL, 2));

        Process shell =
                new ProcessBuilder("sh", "-n", script.toString()).redirectErrorStream(true).start();
        String said = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

        assertThat(said).isEmpty();
        assertThat(shell.waitFor()).isZero();
    }
}
