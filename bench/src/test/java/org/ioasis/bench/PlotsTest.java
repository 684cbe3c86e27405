// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
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
}
