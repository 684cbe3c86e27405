// SPDX-License-Identifier: Apache-2.0
package org.ioasis.plot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

final class BarChartTest {
    /** The bars, as they are said: each has its title beside it. */
    private static List<String> bars(Document svg, String what) {
        List<String> found = new ArrayList<>();
        NodeList groups = svg.getElementsByTagName("g");
        for (int i = 0; i < groups.getLength(); i++) {
            Element group = (Element) groups.item(i);
            found.add(
                    what.equals("title")
                            ? group.getElementsByTagName("title").item(0).getTextContent()
                            : ((Element) group.getElementsByTagName("rect").item(0))
                                    .getAttribute(what));
        }
        return found;
    }

    private static Document parsed(BarChart chart) throws Exception {
        return DocumentBuilderFactory.newDefaultInstance()
                .newDocumentBuilder()
                .parse(new ByteArrayInputStream(chart.svg().getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    void aChartIsXmlWithABarForEachValueAsLongAsItIs() throws Exception {
        BarChart chart =
                BarChart.of("a < b & \"c\"", "ns")
                        .add("one", "ours", 10)
                        .add("one", "theirs", 20)
                        .add("two", "theirs", 0);
        Document svg = parsed(chart);
        assertThat(svg.getElementsByTagName("title").item(0).getTextContent())
                .isEqualTo("a < b & \"c\"");
        assertThat(bars(svg, "title"))
                .containsExactly("one, ours: 10 ns", "one, theirs: 20 ns", "two, theirs: 0 ns");
        List<Double> widths = bars(svg, "width").stream().map(Double::valueOf).toList();
        assertThat(widths.get(1)).isEqualTo(2 * widths.get(0));
        assertThat(widths.get(2)).isPositive().isLessThan(2);
        assertThat(chart.svg())
                .contains("prefers-color-scheme:dark")
                .doesNotContain("<script")
                .doesNotContain("href");
    }

    @Test
    void eachTenfoldOfALogarithmicChartIsAsFar() throws Exception {
        Document svg =
                parsed(
                        BarChart.of("t", "")
                                .logarithmic()
                                .add("g", "a", 1)
                                .add("g", "b", 10)
                                .add("g", "c", 100));
        List<Double> widths = bars(svg, "width").stream().map(Double::valueOf).toList();
        assertThat(widths.get(0)).isGreaterThan(1);
        assertThat(widths.get(1) - widths.get(0))
                .isBetween(
                        widths.get(2) - widths.get(1) - 0.2, widths.get(2) - widths.get(1) + 0.2);
    }

    @Test
    void manySeriesAndLongNamesStayWithinTheDrawing() throws Exception {
        BarChart chart = BarChart.of("t", "");
        for (int i = 0; i < 30; i++) {
            chart.add("group ".repeat(20), "a series with a name " + i, i);
        }
        Document svg = parsed(chart);
        double width = Double.parseDouble(svg.getDocumentElement().getAttribute("width"));
        double height = Double.parseDouble(svg.getDocumentElement().getAttribute("height"));
        NodeList texts = svg.getElementsByTagName("text");
        assertThat(texts.getLength()).isGreaterThan(60);
        for (int i = 0; i < texts.getLength(); i++) {
            Element text = (Element) texts.item(i);
            assertThat(Double.parseDouble(text.getAttribute("x"))).isBetween(0.0, width - 30);
            assertThat(Double.parseDouble(text.getAttribute("y"))).isBetween(0.0, height);
        }
    }

    @Test
    void aChartWithoutBarsSaysSoAndIsStillADrawing() throws Exception {
        BarChart chart = BarChart.of("nothing", "");
        assertThat(chart.hasBars()).isFalse();
        assertThat(parsed(chart).getDocumentElement().getTagName()).isEqualTo("svg");
        assertThatExceptionOfType(IllegalArgumentException.class)
                .isThrownBy(() -> chart.add("g", "s", Double.NaN));
        assertThatExceptionOfType(IllegalArgumentException.class)
                .isThrownBy(() -> chart.add("g", "s", -1));
    }

    @Test
    void numbersHaveThreeDigitsThatCount() {
        assertThat(List.of(0.0, 5.0, 0.5, 12.34, 123.4, 1234.0, 999_600.0, 2.5e9))
                .extracting(BarChart::number)
                .containsExactly("0", "5", "0.50", "12.3", "123", "1.23k", "1.00M", "2.50G");
    }
}
