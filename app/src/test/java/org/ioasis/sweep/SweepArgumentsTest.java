// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is refused before a job begins, and so before what it needs is fetched. */
class SweepArgumentsTest {
    private static final String TRACE = "../docs/traces/copy.parquet";

    @TempDir Path folder;

    private final List<String> begun = new ArrayList<>();

    private record Said(int status, String err) {}

    private Said run(String... arguments) {
        PrintStream err = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setErr(new PrintStream(said, true, UTF_8));
        try {
            int status =
                    SweepArguments.run(
                            (asked, designs) ->
                                    begun.add(
                                            "%s %d %s %b %s"
                                                    .formatted(
                                                            asked.files(),
                                                            designs.size(),
                                                            asked.master(),
                                                            asked.isJson(),
                                                            asked.folder() != null)),
                            arguments);
            return new Said(status, said.toString(UTF_8));
        } finally {
            System.setErr(err);
        }
    }

    @Test
    void whatCanBeMeantBegins() {
        assertThat(run(TRACE)).isEqualTo(new Said(0, ""));
        assertThat(
                        run(
                                "--granule=4k",
                                "--iotlb",
                                "64,none",
                                "--json",
                                "--master",
                                "local[3]",
                                "--report",
                                folder.resolve("report").toString(),
                                TRACE,
                                TRACE))
                .isEqualTo(new Said(0, ""));
        assertThat(begun)
                .containsExactly(
                        "[%s] 36 local[*] false false".formatted(TRACE),
                        "[%s, %s] 12 local[3] true true".formatted(TRACE, TRACE));
    }

    @Test
    void whatCannotBeMeantIsSaidInALineAndNothingBegins() throws IOException {
        String report = Files.createFile(folder.resolve("file")).toString();
        for (List<String> wrong :
                List.<List<String>>of(
                        List.of(),
                        List.of("--json"),
                        List.of("--colour", TRACE),
                        List.of("--granule", "5k", TRACE),
                        List.of("--iotlb", "63", TRACE),
                        List.of("--flush", "often", TRACE),
                        List.of("--format", "riscv", TRACE),
                        List.of("--master", "nowhere", TRACE),
                        List.of("--report", report, TRACE),
                        List.of("--report"))) {
            Said said = run(wrong.toArray(String[]::new));
            assertThat(said.status()).as("%s", wrong).isEqualTo(2);
            assertThat(said.err()).startsWith("ioasis sweep: ").hasLineCount(1);
        }
        for (String none : List.of(folder.resolve("none").toString(), report)) {
            Said said = run(TRACE, none);
            assertThat(said.status()).isEqualTo(1);
            assertThat(said.err()).startsWith("ioasis sweep: " + none).hasLineCount(1);
        }
        assertThat(begun).isEmpty();
    }
}
