// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import javax.xml.parsers.DocumentBuilderFactory;
import org.ioasis.plot.BarChart;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;

/** What {@code --plot} draws of figures, without measuring any. */
class PlotsTest {
    @TempDir static Path folder;

    private static Results results() {
        Results results = new Results();
        for (Case one : Case.ALL) {
            results.add(one.name(), "ioasis", 3);
            results.add(one.name(), "ioasis", 7);
            results.add(one.name(), "ioasis", 5);
        }
        results.add("W1-map-65536", "qemu-gtree", 1234);
        return results;
    }

    private static Document parsed(String svg) throws Exception {
        return DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(new ByteArrayInputStream(svg.getBytes(UTF_8)));
    }

    @Test
    void eachWorkloadIsInOneChart() {
        for (Case one : Case.ALL) {
            assertThat(Plots.of(List.of(one), results())).as(one.name()).hasSize(1);
        }
    }

    @Test
    void aChartHasTheMedianOfEachSubject() throws Exception {
        Map<String, String> charts = Plots.of(Case.ALL, results());

        assertThat(charts).containsOnlyKeys("requests", "translations", "mixed", "nested", "host");
        for (String svg : charts.values()) {
            assertThat(parsed(svg).getDocumentElement().getTagName()).isEqualTo("svg");
        }
        assertThat(charts.get("requests"))
                .contains("W1-map-65536, ioasis: 5")
                .contains("W1-map-65536, qemu-gtree: 1");
    }

    @Test
    void whatWasNotMeasuredIsNotDrawn() {
        Results results = new Results();
        results.add("W4-hot16", "ioasis", 8);

        assertThat(Plots.of(Case.chosen(true, "W4"), results)).containsOnlyKeys("translations");
        assertThat(Plots.of(Case.chosen(true, "W1"), results)).isEmpty();
    }

    @Test
    void aDrawingIsReplacedByTheNextAndAnotherFileStays() throws Exception {
        Path inside = folder.resolve("a/b");
        for (int i = 0; i < 2; i++) {
            Plots.prepare(inside);
            Plots.write(inside, Case.ALL, results());
        }
        assertThat(inside.resolve("requests.svg")).exists();
        Files.writeString(inside.resolve("mixed.svg"), "mine");

        assertThatThrownBy(() -> Plots.prepare(inside))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("mixed.svg is there and is not a plot of `ioasis bench`");
        assertThat(inside.resolve("mixed.svg")).hasContent("mine");
    }

    /** Redrawn from its table, so that neither changes alone. */
    @Test
    void drawingsOfTheDocumentAreOfTheFiguresThatItStates() throws Exception {
        String document = Files.readString(Path.of("README.md"));
        Map<String, String> drawn = drawn(document);
        List<String> shown =
                Pattern.compile("]\\(plots/(\\w+)\\.svg\\)")
                        .matcher(document)
                        .results()
                        .map(found -> found.group(1))
                        .toList();
        assertThat(shown).containsExactlyInAnyOrderElementsOf(drawn.keySet());
        Path redrawn = Files.createDirectories(Path.of("target", "plots"));
        for (Map.Entry<String, String> one : drawn.entrySet()) {
            String name = one.getKey() + ".svg";
            String svg = one.getValue();
            assertThat(parsed(svg).getElementsByTagName("g").getLength()).isGreaterThan(8);
            Path file = Files.writeString(redrawn.resolve(name), svg);
            assertThat(Path.of("plots", name)).as("redrawn: %s", file).hasContent(svg);
        }
    }

    /** The charts of the table of the engine, by what the workloads are about. */
    private static Map<String, String> drawn(String document) {
        int section = document.indexOf("\n## The engine\n");
        String table = document.substring(section, document.indexOf("\n### ", section));
        Map<String, BarChart> charts = new LinkedHashMap<>();
        table.lines()
                .filter(line -> line.startsWith("| W"))
                .map(line -> line.split("\\s*\\|\\s*", -1))
                .forEach(cells -> {
                    String theme = theme(cells[1]);
                    BarChart chart =
                            charts.computeIfAbsent(
                                    theme,
                                    _ -> BarChart.of("ioasis bench: " + theme, "ns").logarithmic());
                    add(chart, cells[1], "Ioasis", cells[2]);
                    add(chart, cells[1], "best tree", cells[3]);
                    add(chart, cells[1], "C radix", cells[5]);
                });
        Map<String, String> drawn = new LinkedHashMap<>();
        charts.forEach((theme, chart) -> drawn.put(theme, chart.svg()));
        return drawn;
    }

    private static String theme(String workload) {
        if (workload.startsWith("W8")) {
            return "mixed";
        }
        return workload.matches("W[345] .*|W6 rand .*") ? "translations" : "requests";
    }

    private static void add(BarChart chart, String workload, String subject, String figure) {
        if (!figure.isEmpty()) {
            chart.add(workload, subject, Double.parseDouble(figure.replace(",", "")));
        }
    }
}
