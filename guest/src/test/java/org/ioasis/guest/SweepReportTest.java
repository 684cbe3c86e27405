// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openqa.selenium.Keys;

/**
 * What {@code ./ioasis sweep} writes of the recordings that come with the project, in a real
 * browser. A run of all tests has built the sweep by now, since guest comes behind it.
 */
class SweepReportTest {
    private static final int RECORDINGS = 4;
    private static final int DESIGNS = 36;

    /** Bars of a recording: of bytes, hits, speed, invalidations and how long it was reachable. */
    private static final int BARS = 12 + 12 + 18 + 4 + 18;

    /** A bar says three digits that count. */
    private static final double ROUNDED = 0.006;

    /** Of text before its background (WCAG 2.2, 1.4.3). */
    private static final double CONTRAST = 4.5;

    private static final String ROWS =
            """
            return [...document.querySelectorAll('tbody tr')].map(
                row => [row.closest('details').previousElementSibling.getAttribute('aria-label'),
                    ...[...row.children].map(cell => cell.textContent)].join('|')).join('\\n')
            """;

    private static final String BARS_SHOWN =
            """
            return [...document.querySelectorAll('svg g')].map(bar => [
                bar.closest('svg').querySelector('title').textContent,
                bar.querySelector('title').textContent,
                bar.querySelector('rect').getBoundingClientRect().width].join('|')).join('\\n')
            """;

    private static final String LEAST_CONTRAST =
            """
            const light = (colour) => {
              const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((one) => {
                const part = one / 255;
                return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
              });
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
            const body = getComputedStyle(document.body);
            const bare = body.backgroundColor === 'rgba(0, 0, 0, 0)';
            const page = bare ? 'rgb(255, 255, 255)' : body.backgroundColor;
            const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
            const texts = [...document.querySelectorAll('h1, h2, p, li, th, td, summary')].map(
                (one) => ratio(getComputedStyle(one).color, page));
            for (const one of document.querySelectorAll('svg text')) {
              const back = getComputedStyle(one.closest('svg').querySelector('.back')).fill;
              texts.push(ratio(getComputedStyle(one).fill, back));
            }
            return (isDark ? light(page) < 0.1 : light(page) > 0.9) ? Math.min(...texts) : 0;
            """;

    @TempDir Path folder;

    @Test
    void figuresOfFourGuestsAreReadByEyeByKeysInTheDarkAndOnAPhone() throws Exception {
        // Word by word what the document tells to type.
        List<String> commands = Readme.commands("docs/sweep.md", "");
        assertThat(commands).hasSize(1);
        Command.link(folder);
        Files.createSymbolicLink(
                folder.resolve("docs"), Path.of("..", "docs").toAbsolutePath().normalize());
        try (Command sweep = Command.typed(folder, commands.getFirst())) {
            assertThat(sweep.end()).as(sweep.output()).isZero();
        }
        List<Map<String, String>> figures = figures(folder.resolve("report/figures.json"));
        assertThat(figures).hasSize(RECORDINGS * DESIGNS);
        String address = folder.resolve("report/index.html").toUri().toString();
        try (Browser browser = Browser.open(address, folder)) {
            assertThat(lines(browser.script(ROWS)))
                    .isEqualTo(figures.stream().map(SweepReportTest::row).toList());
            assertBars(browser, figures);
            assertThat(number(browser.script(LEAST_CONTRAST))).isGreaterThanOrEqualTo(CONTRAST);
            browser.wholeScreenshot("sweep-light");

            // All figures can be put away and brought back, and be moved along, by keys alone.
            String isOpen = "return document.querySelector('details').open";
            browser.tabTo("summary");
            browser.press(Keys.ENTER);
            browser.awaitScript(isOpen, false);
            browser.press(Keys.ENTER);
            browser.awaitScript(isOpen, true);

            browser.scheme("dark");
            assertThat(number(browser.script(LEAST_CONTRAST))).isGreaterThanOrEqualTo(CONTRAST);
            browser.screenshot("sweep-dark");

            browser.screen(390, 844, true);
            assertThat(browser.script("return document.documentElement.scrollWidth").toString())
                    .isEqualTo("390");
            // What is wider moves in its own place, rather than that one cannot read it.
            assertThat(
                            number(
                                    browser.script(
                                            "return Math.min(...[...document.querySelectorAll('svg text')]"
                                                    + ".map(one => one.getBoundingClientRect().height))")))
                    .isGreaterThanOrEqualTo(9);
            browser.tabTo("details .scroll");
            browser.press(Keys.ARROW_RIGHT);
            browser.awaitScript("return document.activeElement.scrollLeft > 0", true);
            browser.wholeScreenshot("sweep-phone");
            browser.assertQuiet(1);
        }
    }

    private static List<Map<String, String>> figures(Path file) throws IOException {
        List<Map<String, String>> figures = new ArrayList<>();
        try (JsonParser json = new JsonFactory().createParser(file.toFile())) {
            while (json.nextToken() != JsonToken.START_ARRAY) {
                assertThat(json.currentToken()).isNotNull();
            }
            while (json.nextToken() == JsonToken.START_OBJECT) {
                Map<String, String> one = new LinkedHashMap<>();
                while (json.nextToken() != JsonToken.END_OBJECT) {
                    String name = json.currentName();
                    json.nextToken();
                    one.put(name, json.getText());
                }
                figures.add(one);
            }
        }
        return figures;
    }

    private static List<String> lines(Object text) {
        return text.toString().lines().toList();
    }

    private static double number(Object value) {
        return ((Number) value).doubleValue();
    }

    private static String text(Map<String, String> figures, String name) {
        return Objects.requireNonNull(figures.get(name), name);
    }

    private static double of(Map<String, String> figures, String name) {
        return Double.parseDouble(text(figures, name));
    }

    private static double of(Map<String, Double> bars, Map.Entry<String, Double> bar) {
        return Objects.requireNonNull(bars.get(bar.getKey()), bar.getKey());
    }

    private static String decimal(double value) {
        return String.format(Locale.ROOT, "%.1f", value);
    }

    private static String granule(Map<String, String> figures) {
        return (Long.parseLong(text(figures, "granule")) >> 10) + "k";
    }

    private static String iotlb(Map<String, String> figures) {
        return text(figures, "iotlb").equals("0") ? "none" : text(figures, "iotlb");
    }

    /** A row of the page's tables, by the JSON. */
    private static String row(Map<String, String> figures) {
        return String.join(
                "|",
                "Plots of " + text(figures, "trace"),
                text(figures, "format"),
                granule(figures),
                text(figures, "flush"),
                iotlb(figures),
                text(figures, "translations"),
                decimal(100 * of(figures, "hit_rate")),
                decimal(of(figures, "translations_per_second") / 1e6),
                Long.toString(Long.parseLong(text(figures, "table_bytes_max")) >> 10),
                text(figures, "unmaps"),
                text(figures, "invalidations"),
                decimal(of(figures, "reachable_median_ns") / 1e3),
                decimal(of(figures, "reachable_p99_ns") / 1e3),
                decimal(of(figures, "reachable_max_ns") / 1e3),
                text(figures, "refused_maps"));
    }

    /** The bars that the JSON asks for, by the titles of the chart and the bar. */
    private static Map<String, Double> bars(List<Map<String, String>> figures) {
        Map<String, Double> bars = new LinkedHashMap<>();
        for (Map<String, String> one : figures) {
            String tables = text(one, "format") + " " + granule(one);
            boolean isStrict = text(one, "flush").equals("strict");
            boolean isLargest = text(one, "iotlb").equals("1024");
            boolean isFirst = text(one, "format").equals("x86-64");
            String chart = text(one, "trace") + ": ";
            String cached = ", IOTLB " + iotlb(one);
            if (isStrict && of(one, "iotlb") > 0) {
                String bar = chart + "hit rate of the IOTLB, strict|" + tables + cached;
                bars.put(bar, 100 * of(one, "hit_rate"));
            }
            if (isStrict) {
                String bar = chart + "translations per second, strict|" + tables + cached;
                bars.put(bar, of(one, "translations_per_second"));
            }
            if (isLargest) {
                String bar = chart + "most bytes of tables|" + tables + ", " + text(one, "flush");
                bars.put(bar, of(one, "table_bytes_max"));
            }
            if (isLargest && isFirst) {
                String bar = chart + "invalidations|" + text(one, "flush") + ", " + granule(one);
                bars.put(bar, of(one, "invalidations"));
            }
            if (isFirst && !isStrict) {
                String group = text(one, "flush") + ", " + granule(one) + cached;
                String bar = chart + "reachable after its UNMAP|" + group;
                bars.put(bar + ", median", of(one, "reachable_median_ns") / 1e3);
                bars.put(bar + ", 99 of 100", of(one, "reachable_p99_ns") / 1e3);
                bars.put(bar + ", longest", of(one, "reachable_max_ns") / 1e3);
            }
        }
        return bars;
    }

    private static void assertBars(Browser browser, List<Map<String, String>> figures) {
        Map<String, Double> wanted = bars(figures);
        Map<String, Double> shown = new LinkedHashMap<>();
        Map<String, Double> widths = new LinkedHashMap<>();
        for (String line : lines(browser.script(BARS_SHOWN))) {
            String[] parts = line.split("\\|", -1);
            int colon = parts[1].lastIndexOf(": ");
            String bar = parts[0] + "|" + parts[1].substring(0, colon);
            String value = parts[1].substring(colon + 2).split(" ", 2)[0];
            shown.put(bar, value(value));
            widths.put(bar, Double.parseDouble(parts[2]));
        }
        assertThat(shown).hasSize(RECORDINGS * BARS).containsOnlyKeys(wanted.keySet());
        for (Map.Entry<String, Double> bar : wanted.entrySet()) {
            assertThat(of(shown, bar))
                    .as(bar.getKey())
                    .isCloseTo(bar.getValue(), within(ROUNDED * bar.getValue()));
        }
        assertThat(widths.values()).allMatch(width -> width >= 1);
        // Of the charts that begin at 0, each bar is as long as its value is large.
        int compared = 0;
        for (Map<String, String> one : figures) {
            String chart = text(one, "trace") + ": most bytes of tables|";
            double longest = most(widths, chart);
            double largest = most(wanted, chart);
            for (Map.Entry<String, Double> bar : wanted.entrySet()) {
                if (bar.getKey().startsWith(chart)) {
                    assertThat(of(widths, bar) / longest)
                            .as(bar.getKey())
                            .isCloseTo(bar.getValue() / largest, within(0.01));
                    compared++;
                }
            }
        }
        assertThat(compared).isPositive();
    }

    private static double most(Map<String, Double> bars, String chart) {
        return bars.entrySet().stream()
                .filter(bar -> bar.getKey().startsWith(chart))
                .mapToDouble(Map.Entry::getValue)
                .max()
                .orElseThrow();
    }

    /** A number as a bar has it, with a letter for thousands. */
    private static double value(String text) {
        int letter = "kMGT".indexOf(text.charAt(text.length() - 1));
        return letter < 0
                ? Double.parseDouble(text)
                : Double.parseDouble(text.substring(0, text.length() - 1))
                        * Math.pow(1000, letter + 1);
    }
}
