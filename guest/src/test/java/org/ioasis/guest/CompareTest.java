// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.ioasis.compare.Comparison;
import org.ioasis.compare.ComparisonReport;
import org.ioasis.compare.Explanation;
import org.ioasis.compare.Selection;
import org.ioasis.guestkit.Host;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** QEMU's virtio-iommu beside ours, without a guest. */
class CompareTest {
    @TempDir Path folder;

    @Test
    void everyDifferenceFromQemuHasAReasonAndTheKnownOnesAreThere() throws Exception {
        ComparisonReport report = new Comparison(2500, 1, Host.current(), Cells.progress()).run();

        assertThat(report.unexplained()).as(report.text()).isZero();
        assertThat(report.requests()).isEqualTo(2500);
        assertThat(report.rows())
                .extracting(row -> row.explanation().map(Explanation::id).orElse(""))
                .contains(
                        "D-05", "D-11", "D-16", "D-18", "D-21", "D-23", "D-30", "D-32", "D-39",
                        "D-47", "D-58", "P-01", "P-02", "P-03", "P-09", "S-26", "S-30", "T3", "T5");
        assertThat(report.rebuilds()).isPositive();
    }

    /** With bypass off at the start, and before the driver has asked for anything. */
    @Test
    void anAccessBeforeTheFirstRequestIsToldToTheDriver() throws Exception {
        Selection access = Selection.parse("1:0").orElseThrow();

        ComparisonReport report = new Comparison(5, access, Host.current(), Cells.progress()).run();

        assertThat(report.isOk()).as(report.text()).isTrue();
        assertThat(report.requests()).isZero();
        assertThat(report.rows())
                .filteredOn(row -> row.kind().startsWith("DMA "))
                .extracting(ComparisonReport.Row::ours)
                .singleElement()
                .asString()
                .startsWith("fault DOMAIN ");
    }

    @Test
    void commandPrintsTheTableAndWritesItAsJson() throws Exception {
        Path json = folder.resolve("compare.json");
        try (Command command =
                new Command(
                        Map.of(),
                        "compare",
                        "--requests",
                        "300",
                        "--seed",
                        "0x2a",
                        "--json",
                        json.toString())) {
            assertThat(command.end()).as(command.output()).isZero();
            assertThat(command.output())
                    .contains("D-11", "QEMU departs from a SHOULD", "300 requests", "seed 0x2a")
                    .contains(" 0 unexplained");
        }
        assertThat(Files.readString(json)).contains("\"requests\" : 300", "\"unexplained\" : 0");
    }

    /** What conform says of QEMU 11.1.3, by its own words, a reason and requests with each. */
    @Test
    void conformFindsWhatIsKnownOfQemu() throws Exception {
        try (Command command = new Command(Map.of(), "conform", "--qemu")) {
            assertThat(command.end()).as(command.output()).isOne();
            assertThat(
                            command.output()
                                    .lines()
                                    .filter(line -> line.contains(" does not hold "))
                                    .map(line -> line.substring(0, 4)))
                    .containsExactly(
                            "D-11", "D-12", "D-16", "D-18", "D-21", "D-32", "D-34", "D-44", "D-47",
                            "D-53", "D-58", "P-01", "P-02", "P-03", "P-09", "P-12");
        }
    }
}
