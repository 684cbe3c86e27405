// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Reports as JSON: where they are not written. */
class JsonOptionTest {
    @TempDir private Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"vm", "selftests"})
    void aFileThatIsNotAReportOfOursStaysAndNothingIsRun(String command) throws IOException {
        Path notes = Files.writeString(folder.resolve("notes"), "notes of mine");
        StringWriter errors = new StringWriter();

        int code =
                Main.commandLine()
                        .setErr(new PrintWriter(errors, true))
                        .execute(command, "--json", notes.toString());

        assertThat(errors.toString())
                .contains(
                        "--json: "
                                + notes
                                + " is there and is not a report of `ioasis "
                                + command
                                + "`");
        assertThat(code).isEqualTo(2);
        assertThat(notes).hasContent("notes of mine");
    }
}
