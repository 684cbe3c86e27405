// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.ioasis.cli.Main;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The command as the command line finds it, and what it says to wrong arguments. */
class CompareCommandTest {
    @TempDir private Path folder;

    private static Stream<Arguments> wrongArguments() {
        return Stream.of(
                arguments("--requests 0", "--requests must be at least 1, not 0"),
                arguments("--requests 1 --json FOLDER/sub", "--json: FOLDER/sub is a folder"),
                arguments("--steps 1:0", "--steps needs the --seed that it is about"),
                arguments(
                        "--seed 5 --steps 2:0",
                        "--steps is SETUP:LIST with ascending numbers, as 1:0,5-9, not 2:0"),
                arguments(
                        "tables --iommu vtd",
                        "--iommu is one of vtd-legacy, vtd-second-stage, vtd-first-stage, amd,"
                                + " smmuv3, not vtd"),
                arguments("tables --record FOLDER/no", "--record: there is no folder FOLDER/no"),
                arguments("--seed 0xz", "0xz is not a number of 64 bits, as 0x1f or 31"));
    }

    @ParameterizedTest
    @MethodSource("wrongArguments")
    void wrongArgumentsAreNamedWithTheUsage(String line, String reason) throws IOException {
        Files.createDirectory(folder.resolve("sub"));
        StringWriter errors = new StringWriter();
        String[] words =
                Stream.concat(Stream.of("compare"), Arrays.stream(line.split(" ", -1)))
                        .map(word -> word.replace("FOLDER", folder.toString()))
                        .toArray(String[]::new);

        int code = Main.commandLine().setErr(new PrintWriter(errors, true)).execute(words);

        assertThat(errors.toString().replace(folder.toString(), "FOLDER"))
                .contains(reason)
                .contains("Usage: ioasis compare ");
        assertThat(code).isEqualTo(2);
    }

    @Test
    void aFileThatIsNotAReportOfOursStaysAndNothingIsCompared() throws IOException {
        Path notes = Files.writeString(folder.resolve("notes"), "notes of mine");
        StringWriter errors = new StringWriter();

        int code =
                Main.commandLine()
                        .setErr(new PrintWriter(errors, true))
                        .execute("compare", "--requests", "1", "--json", notes.toString());

        assertThat(errors.toString())
                .contains("--json: " + notes + " is there and is not a report of `ioasis compare`");
        assertThat(code).isEqualTo(2);
        assertThat(notes).hasContent("notes of mine");
    }

    @Test
    void theCommandIsAmongTheOthers() {
        assertThat(Main.commandLine().getSubcommands()).containsKeys("vm", "serve", "compare");
        assertThat(Main.commandLine().getUsageMessage()).contains("  compare ");
    }
}
