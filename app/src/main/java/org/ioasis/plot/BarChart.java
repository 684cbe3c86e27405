// SPDX-License-Identifier: Apache-2.0
package org.ioasis.plot;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Figures as bars that lie: a group for each thing that was measured, in it a bar for each series,
 * with its value beside it. One SVG document without script or anything from elsewhere, dark where
 * the reader's screen is, whose bars a screen reader says one by one. One thread.
 *
 * <p>Groups, series and their order are as they are first named; what was not measured has no bar.
 */
public final class BarChart {
    private static final int WIDTH = 860;
    private static final int BAR = 14;
    private static final int GAP = 10;
    private static final int LINE = 18;
    private static final int MARGIN = 10;
    private static final int CHARACTER = 7;
    private static final int LABELS_MAX = 280;

    /** Room for a value behind the longest bar. */
    private static final int VALUE = 90;

    /** Of a bar that is not quite nothing. */
    private static final double WIDTH_MIN = 1;

    private static final String[] LIGHT = {
        "#1b6ca8", "#c0392b", "#27866a", "#8e5ea2", "#8a6d00", "#5f6a72", "#b0457b", "#3f7f00"
    };
    private static final String[] DARK = {
        "#6bb3e8", "#f08a7e", "#62c9a6", "#c79bdb", "#e0c050", "#a9b4bc", "#ee8fbd", "#9bd65c"
    };

    private final String title;
    private final String unit;
    private boolean isLogarithmic;
    private final Map<String, Map<String, Double>> groups = new LinkedHashMap<>();
    private final List<String> series = new ArrayList<>();

    private BarChart(String title, String unit) {
        this.title = title;
        this.unit = unit;
    }

    /**
     * A chart without bars.
     *
     * @param unit what the values are, or nothing
     */
    public static BarChart of(String title, String unit) {
        return new BarChart(title, unit);
    }

    /** Each tenfold is as far; what is not above 0 has no length. */
    public BarChart logarithmic() {
        isLogarithmic = true;
        return this;
    }

    /**
     * One bar.
     *
     * @throws IllegalArgumentException the value is negative or no number
     */
    public BarChart add(String group, String name, double value) {
        if (!(value >= 0) || Double.isInfinite(value)) {
            throw new IllegalArgumentException("%s, %s: %s".formatted(group, name, value));
        }
        if (!series.contains(name)) {
            series.add(name);
        }
        groups.computeIfAbsent(group, _ -> new LinkedHashMap<>()).put(name, value);
        return this;
    }

    public boolean hasBars() {
        return !groups.isEmpty();
    }

    /** The whole document. */
    public String svg() {
        StringBuilder svg = new StringBuilder();
        int labels = labelWidth();
        List<Integer> rows = legendRows();
        int legend = (rows.isEmpty() ? 0 : rows.getLast() + 1) * LINE;
        int top = MARGIN + LINE + legend + GAP;
        int bars = groups.values().stream().mapToInt(group -> group.size() * BAR + GAP).sum();
        int height = top + bars + MARGIN;
        line(
                svg,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ioasis-chart\" role=\"img\""
                        + " viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">",
                WIDTH,
                height,
                WIDTH,
                height);
        line(svg, "<title>%s</title>", escaped(title));
        line(svg, "<desc>%s</desc>", escaped(description()));
        style(svg);
        line(svg, "<rect class=\"back\" width=\"%d\" height=\"%d\"/>", WIDTH, height);
        String heading = title + (unit.isEmpty() ? "" : ", " + unit);
        line(svg, "<text class=\"head\" x=\"%d\" y=\"%d\">%s</text>", MARGIN, 22, escaped(heading));
        legend(svg, rows);
        double low = low();
        double high = high();
        int y = top;
        for (Map.Entry<String, Map<String, Double>> group : groups.entrySet()) {
            int size = group.getValue().size();
            line(
                    svg,
                    "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>",
                    labels - 6,
                    y + size * BAR / 2 + 4,
                    escaped(shortened(group.getKey(), labels)));
            for (Map.Entry<String, Double> bar : group.getValue().entrySet()) {
                bar(svg, group.getKey(), bar.getKey(), bar.getValue(), labels, y, low, high);
                y += BAR;
            }
            y += GAP;
        }
        svg.append("</svg>\n");
        return svg.toString();
    }

    private void bar(
            StringBuilder svg,
            String group,
            String name,
            double value,
            int left,
            int y,
            double low,
            double high) {
        double length = Math.max(part(value, low, high) * (WIDTH - left - VALUE), WIDTH_MIN);
        String number = number(value);
        line(
                svg,
                "<g><title>%s, %s: %s %s</title>"
                        + "<rect class=\"s%d\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>"
                        + "<text class=\"value\" x=\"%.1f\" y=\"%d\">%s</text></g>",
                escaped(group),
                escaped(name),
                number,
                escaped(unit),
                series.indexOf(name) % LIGHT.length,
                left,
                y,
                length,
                BAR - 2,
                left + length + 5,
                y + BAR - 4,
                number);
    }

    /** How much of the whole length a bar has. */
    private double part(double value, double low, double high) {
        if (value <= 0 || high <= 0) {
            return 0;
        }
        return isLogarithmic ? Math.log10(value / low) / Math.log10(high / low) : value / high;
    }

    private double high() {
        double high = 0;
        for (Map<String, Double> group : groups.values()) {
            for (double value : group.values()) {
                high = Math.max(high, value);
            }
        }
        return high;
    }

    /** A power of ten below all, so that the shortest bar is not nothing. */
    private double low() {
        double low = Double.MAX_VALUE;
        for (Map<String, Double> group : groups.values()) {
            for (double value : group.values()) {
                low = value > 0 ? Math.min(low, value) : low;
            }
        }
        return Math.pow(10, Math.ceil(Math.log10(low)) - 1);
    }

    private int labelWidth() {
        int longest = groups.keySet().stream().mapToInt(String::length).max().orElse(0);
        return Math.min(MARGIN + longest * CHARACTER + 6, LABELS_MAX);
    }

    private static String shortened(String label, int width) {
        int room = (width - MARGIN) / CHARACTER;
        return label.length() <= room ? label : label.substring(0, room - 1) + "…";
    }

    /** In which row of the legend each series is. */
    private List<Integer> legendRows() {
        List<Integer> rows = new ArrayList<>();
        int x = MARGIN;
        int row = 0;
        for (String name : series) {
            int width = legendWidth(name);
            if (x > MARGIN && x + width > WIDTH - MARGIN) {
                x = MARGIN;
                row++;
            }
            rows.add(row);
            x += width;
        }
        return rows;
    }

    private static int legendWidth(String name) {
        return 30 + name.length() * CHARACTER;
    }

    private void legend(StringBuilder svg, List<Integer> rows) {
        int x = MARGIN;
        for (int i = 0; i < series.size(); i++) {
            if (i > 0 && !rows.get(i).equals(rows.get(i - 1))) {
                x = MARGIN;
            }
            int y = MARGIN + LINE + rows.get(i) * LINE;
            line(
                    svg,
                    "<rect class=\"s%d\" x=\"%d\" y=\"%d\" width=\"12\" height=\"12\"/>"
                            + "<text x=\"%d\" y=\"%d\">%s</text>",
                    i % LIGHT.length,
                    x,
                    y + 2,
                    x + 17,
                    y + 12,
                    escaped(series.get(i)));
            x += legendWidth(series.get(i));
        }
    }

    /** In words, for who does not see it. */
    private String description() {
        return "%d groups of bars, %s%s%s"
                .formatted(
                        groups.size(),
                        String.join(", ", series),
                        unit.isEmpty() ? "" : "; in " + unit,
                        isLogarithmic ? "; the scale is logarithmic" : "");
    }

    private static void style(StringBuilder svg) {
        svg.append("<style>.ioasis-chart{max-width:100%;height:auto;font:12px sans-serif}\n");
        svg.append(".ioasis-chart .back{fill:#fff}.ioasis-chart text{fill:#1c1c1c}\n");
        svg.append(".ioasis-chart .head{font-weight:bold;font-size:13px}");
        svg.append(".ioasis-chart .value{font-size:11px}\n");
        colours(svg, LIGHT);
        svg.append("@media(prefers-color-scheme:dark){");
        svg.append(".ioasis-chart .back{fill:#16191c}.ioasis-chart text{fill:#e6e6e6}\n");
        colours(svg, DARK);
        svg.append("}</style>\n");
    }

    private static void colours(StringBuilder svg, String[] colours) {
        for (int i = 0; i < colours.length; i++) {
            line(svg, ".ioasis-chart .s%d{fill:%s}", i, colours[i]);
        }
    }

    /** Three digits that count, with a letter for thousands of thousands. */
    static String number(double value) {
        String[] suffixes = {"", "k", "M", "G", "T"};
        double scaled = value;
        int at = 0;
        while (scaled >= 999.5 && at < suffixes.length - 1) {
            scaled /= 1000;
            at++;
        }
        String digits;
        if (scaled == Math.rint(scaled) || scaled >= 99.95) {
            digits = String.format(Locale.ROOT, "%.0f", scaled);
        } else if (scaled >= 9.995) {
            digits = String.format(Locale.ROOT, "%.1f", scaled);
        } else {
            digits = String.format(Locale.ROOT, scaled >= 0.01 ? "%.2f" : "%.1e", scaled);
        }
        return digits + suffixes[at];
    }

    /** Text as it stands in SVG and in HTML. */
    public static String escaped(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }

    // The annotation that is asked for is Error Prone's own, which no module depends on.
    @SuppressWarnings("AnnotateFormatMethod")
    private static void line(StringBuilder svg, String format, Object... values) {
        svg.append(String.format(Locale.ROOT, format, values)).append('\n');
    }
}
