// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.ioasis.compare.guest.GuestBench.Mode;
import org.ioasis.compare.guest.GuestBench.Subject;
import org.junit.jupiter.api.Test;

class GuestBenchReportTest {
    private static final FioCell CELL = FioCell.ALL.getFirst();
    private static final FioCell OTHER = FioCell.ALL.getLast();

    private static GuestFigure figure(double perSecond) {
        return new GuestFigure(
                perSecond, 100, 100L << 12, Map.of("kicks", 25L), Map.of("machine", 0.5));
    }

    private static GuestBenchReport report(List<FioCell> cells, List<Subject> subjects) {
        return new GuestBenchReport(
                "11.0",
                "6.12",
                "TCG",
                new GuestBench.Options(
                        3,
                        2,
                        1,
                        cells,
                        List.of(Mode.STRICT),
                        subjects,
                        Optional.empty(),
                        List.of()));
    }

    @Test
    void ratioIsThatOfTheMediansAndTheMeanIsGeometric() throws Exception {
        GuestBenchReport report = report(List.of(CELL, OTHER), Subject.BY_DEFAULT);
        for (double theirs : List.of(100.0, 200.0, 900.0)) {
            report.add(
                    Mode.STRICT,
                    Subject.QEMU,
                    Map.of(CELL.name(), figure(theirs), OTHER.name(), figure(theirs)));
        }
        for (double ours : List.of(10.0, 400.0, 500.0)) {
            report.add(
                    Mode.STRICT,
                    Subject.OURS,
                    Map.of(CELL.name(), figure(ours), OTHER.name(), figure(ours / 8)));
        }

        assertThat(report.ratio(Mode.STRICT, CELL)).isEqualTo(2.0);
        assertThat(report.ratio(Mode.STRICT, OTHER)).isEqualTo(0.25);
        assertThat(report.geometricMean()).isCloseTo(Math.sqrt(0.5), within(1e-9));
        assertThat(report.table())
                .contains("strict " + CELL.name())
                .contains("10..500")
                .contains("0.250")
                .contains("geometric mean of the ratios: 0.71");
        assertThat(report.json())
                .contains("\"report\" : \"ioasis bench guest\"")
                .contains("\"geometricMean\" : 0.70");
    }

    @Test
    void whatWasNotMeasuredHasNoRatio() throws Exception {
        GuestBenchReport report = report(List.of(CELL), Subject.BY_DEFAULT);
        report.add(Mode.STRICT, Subject.OURS, Map.of(CELL.name(), figure(7)));

        assertThat(report.ratio(Mode.STRICT, CELL)).isNaN();
        assertThat(report.geometricMean()).isNaN();
        assertThat(report.table()).contains("mean of the ratios: NaN");
        assertThat(report.json()).doesNotContain("ratio", "geometricMean");
    }

    @Test
    void assignedDisksStandBesideOurs() throws Exception {
        GuestBenchReport report =
                report(List.of(CELL), List.of(Subject.OURS, Subject.IOMMUFD, Subject.TYPE1));
        report.add(Mode.STRICT, Subject.OURS, Map.of(CELL.name(), figure(100)));
        report.add(Mode.STRICT, Subject.IOMMUFD, Map.of(CELL.name(), figure(250)));
        report.add(Mode.STRICT, Subject.TYPE1, Map.of(CELL.name(), figure(50)));

        assertThat(report.table().lines().toList().getLast())
                .containsSubsequence(
                        "strict " + CELL.name(), "100", "250..250", "2.50", "50..50", "0.50");
        assertThat(report.json()).contains("\"iommufdFigures\"", "\"type1Figures\"");
        assertThat(report(List.of(CELL), Subject.BY_DEFAULT).json())
                .doesNotContain("iommufdFigures");
    }
}
