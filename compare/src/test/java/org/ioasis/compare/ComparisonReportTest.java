// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The table of differences. */
class ComparisonReportTest {
    private static final Explanation REASON =
            new Explanation("D-16", Explanation.Weight.MUST, "ATTACH with more is INVAL.");

    private final Differences differences = new Differences();

    private ComparisonReport report() {
        return report(Optional.empty());
    }

    private ComparisonReport report(Optional<Failure> failure) {
        return new ComparisonReport(
                "11.1.3", 0xabc, 1000, 20, 7, 1.25, differences.rows(), failure);
    }

    @Test
    void differencesOfOneKindAreOneRowWithTheFirstExample() {
        differences.add("ATTACH", "INVAL", "OK", Optional.of(REASON), "request 3");
        differences.add("ATTACH", "INVAL", "OK", Optional.of(REASON), "request 8");
        differences.add("ATTACH", "INVAL", "NOENT", Optional.of(REASON), "request 9");

        ComparisonReport report = report();

        assertThat(report.isOk()).isTrue();
        assertThat(report.explained()).isEqualTo(3);
        assertThat(report.rows()).hasSize(2);
        assertThat(report.rows().getFirst().count()).isEqualTo(2);
        assertThat(report.text().lines())
                .contains(
                        "D-16        2  ATTACH                    INVAL                        OK",
                        "     ATTACH with more is INVAL. QEMU breaks a MUST.",
                        "     request 3")
                .doesNotContain("     request 8")
                .endsWith(
                        "1,000 requests and 20 other steps to QEMU 11.1.3 and to ours, seed 0xabc, 1.3 s: 3 differences"
                                + " explained, 0 unexplained",
                        "OK");
    }

    @Test
    void whatHasNoReasonComesFirstAndFails() throws Exception {
        differences.add("ATTACH", "INVAL", "OK", Optional.of(REASON), "request 3");
        differences.add("MAP", "OK", "RANGE", Optional.empty(), "request 5");

        ComparisonReport report = report();

        assertThat(report.isOk()).isFalse();
        assertThat(report.unexplained()).isEqualTo(1);
        assertThat(report.rows().getFirst().kind()).isEqualTo("MAP");
        assertThat(report.text())
                .contains("UNEXPLAINED.\n     request 5\n")
                .endsWith("1 differences explained, 1 unexplained\nFAILED\n");
        assertThat(report.json())
                .contains("\"ok\" : false")
                .contains("\"unexplained\" : 1")
                .contains("\"id\" : \"D-16\"")
                .contains("\"weight\" : \"MUST\"")
                .contains("\"example\" : \"request 5\"");
    }

    @Test
    void aDeviceThatDoesNotGoOnFailsWithTheStepsThatShowIt() throws Exception {
        Failure failure =
                new Failure(
                        1000,
                        "ours: 0 of 1 requests answered",
                        "a setup",
                        List.of("1:0  machine reset"),
                        true,
                        2,
                        "./ioasis compare --seed 0xabc --steps 1:0");

        ComparisonReport report = report(Optional.of(failure));

        assertThat(report.unexplained()).isZero();
        assertThat(report.isOk()).isFalse();
        assertThat(report.text()).endsWith(failure.text() + "FAILED\n");
        assertThat(report.json())
                .contains("\"ok\" : false")
                .contains("\"steps\" : [ \"1:0  machine reset\" ]")
                .contains("\"command\" : \"./ioasis compare --seed 0xabc --steps 1:0\"");
    }

    @Test
    void kindsWithoutAReasonHaveALimit() {
        for (int i = 0; i < Differences.UNEXPLAINED_KINDS + 50; i++) {
            differences.add("MAP", "OK", "answer " + i, Optional.empty(), "request " + i);
        }

        ComparisonReport report = report();

        assertThat(report.rows()).hasSize(Differences.UNEXPLAINED_KINDS + 1);
        assertThat(report.unexplained()).isEqualTo(Differences.UNEXPLAINED_KINDS + 50);
        assertThat(report.rows())
                .anyMatch(row -> row.kind().equals("more kinds") && row.count() == 50);
    }
}
