// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.plot.BarChart;

/**
 * The workloads as charts, ours beside the peers: what {@code --plot} draws. One file for each of
 * the themes, so that what is drawn on one axis can be compared. One thread.
 */
final class Plots {
    private static final String UNIT = "ns per operation, less is better";

    private static final List<Theme> THEMES =
            List.of(
                    new Theme(
                            "requests",
                            "what changes mappings",
                            name ->
                                    name.startsWith("W1-")
                                            || name.startsWith("W2-")
                                            || name.startsWith("W6-pair")
                                            || name.startsWith("W7-")
                                            || name.startsWith("W9-")
                                            || name.startsWith("own-refused")),
                    new Theme(
                            "translations",
                            "accesses of devices",
                            name ->
                                    name.startsWith("W3-")
                                            || name.startsWith("W4-")
                                            || name.startsWith("W5-")
                                            || name.startsWith("W6-rand")
                                            || name.startsWith("own-fault")),
                    new Theme("mixed", "both at once", name -> name.startsWith("W8-")),
                    new Theme(
                            "nested",
                            "guests with tables of their own",
                            name -> name.startsWith("host-nested")),
                    new Theme(
                            "host",
                            "the host model",
                            name -> name.startsWith("host-") && !name.startsWith("host-nested")));

    private Plots() {}

    /**
     * What is drawn into one file.
     *
     * @param has the workloads, by their names
     */
    private record Theme(String file, String title, Predicate<String> has) {
        Path in(Path folder) {
            return folder.resolve(file + ".svg");
        }
    }

    /**
     * Makes the folder, before any work is done.
     *
     * @throws IOException there is a file of somebody else's where one would be
     */
    static void prepare(Path folder) throws IOException {
        Files.createDirectories(folder);
        for (Theme theme : THEMES) {
            String refusal = OutputFile.refusal(theme.in(folder), OutputKind.PLOT);
            if (refusal != null) {
                throw new IOException("--plot: " + refusal);
            }
        }
    }

    /** Those that have something to show, by their files' names. */
    static Map<String, String> of(List<Case> cases, Results results) {
        Map<String, String> charts = new LinkedHashMap<>();
        for (Theme theme : THEMES) {
            BarChart chart = BarChart.of("ioasis bench: " + theme.title, UNIT).logarithmic();
            cases.stream()
                    .filter(one -> theme.has.test(one.name()))
                    .forEach(one ->
                            results.medians(one.name())
                                    .forEach((subject, nanos) ->
                                            chart.add(one.name(), subject, nanos)));
            if (chart.hasBars()) {
                charts.put(theme.file, chart.svg());
            }
        }
        return charts;
    }

    static void write(Path folder, List<Case> cases, Results results) throws IOException {
        for (Map.Entry<String, String> chart : of(cases, results).entrySet()) {
            OutputFile.write(
                    folder.resolve(chart.getKey() + ".svg"),
                    OutputKind.PLOT,
                    chart.getValue().getBytes(StandardCharsets.UTF_8));
        }
    }
}
