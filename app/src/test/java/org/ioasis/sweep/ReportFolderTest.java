// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where a report goes, and what there is left alone. */
class ReportFolderTest {
    private static final SweepReport REPORT = new SweepReport(List.of());
    private static final byte[] FIGURES =
            "PAR1ioasis sweep\nfirst".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] NEWER =
            "PAR1ioasis sweep\nsecond".getBytes(StandardCharsets.US_ASCII);
    private static final List<String> NAMES =
            List.of("figures.json", "figures.parquet", "index.html");

    @TempDir Path above;

    private Path report() {
        return above.resolve("report");
    }

    @Test
    void aNewFolderAnEmptyOneAndAnEarlierReportAreTaken() throws IOException {
        ReportFolder folder = new ReportFolder(report());
        assertThat(folder.refusal()).isNull();
        assertThat(report()).doesNotExist();
        Files.createDirectory(report());
        assertThat(folder.refusal()).isNull();
        folder.write(REPORT, FIGURES);
        assertThat(folder.refusal()).isNull();
        folder.write(REPORT, NEWER);
        assertThat(report().resolve(NAMES.get(0))).hasContent(REPORT.json());
        assertThat(report().resolve(NAMES.get(1))).hasBinaryContent(NEWER);
        assertThat(report().resolve(NAMES.get(2))).hasContent(REPORT.page());
        assertThat(report()).isDirectoryNotContaining(file -> !isOurs(file));
    }

    private static boolean isOurs(Path file) {
        return NAMES.contains(file.getFileName().toString());
    }

    @Test
    void aFileOfSomebodyElsesStaysWhateverItsName() throws IOException {
        Files.createDirectory(report());
        for (String name : List.of("figures.json", "figures.parquet", "index.html", "mine")) {
            Path theirs = Files.writeString(report().resolve(name), "PAR1 of another program");
            ReportFolder folder = new ReportFolder(report());
            assertThat(folder.refusal()).contains(name);
            if (!name.equals("mine")) {
                assertThatThrownBy(() -> folder.write(REPORT, FIGURES))
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining(name);
            }
            assertThat(theirs).hasContent("PAR1 of another program");
            Files.delete(theirs);
        }
        Path file = Files.createFile(above.resolve("file"));
        assertThat(new ReportFolder(file).refusal()).contains("is no folder");
        assertThat(new ReportFolder(above.resolve("none/report")).refusal())
                .contains("there is no folder for");
    }

    @Test
    void whileSomebodyWritesOneOfTheThreeAllStayAsTheyAre() throws IOException {
        ReportFolder folder = new ReportFolder(report());
        folder.write(REPORT, FIGURES);
        for (OutputKind kind : List.of(OutputKind.SWEEP_FIGURES, OutputKind.SWEEP_PAGE)) {
            Path busy = report().resolve(NAMES.get(kind == OutputKind.SWEEP_PAGE ? 2 : 1));
            try (OutputFile _ = OutputFile.open(busy, kind)) {
                assertThatThrownBy(() -> folder.write(REPORT, NEWER))
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining(busy + " is being written by");
            }
            assertThat(report().resolve(NAMES.get(0))).hasContent(REPORT.json());
            assertThat(report().resolve(NAMES.get(1))).hasBinaryContent(FIGURES);
        }
    }
}
