// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import org.ioasis.bench.Trackers.Figure;

/**
 * Draws what {@link Trackers} has measured, as SVG: memory for each pinned page, and a pin and its
 * end, over the part of the region that is pinned; both axes logarithmic. Any thread.
 */
final class TrackerPlot {
    private static final int WIDTH = 920;
    private static final int HEIGHT = 400;
    private static final int PANEL = 300;
    private static final int TOP = 40;
    private static final int DEPTH = 300;
    private static final String[] COLOURS = {
        "#1b6ca8", "#c0392b", "#27866a", "#8e5ea2", "#7f7f7f", "#b8860b", "#222222"
    };

    private final List<Figure> figures;
    private final double pages;
    private final StringBuilder svg = new StringBuilder();

    private TrackerPlot(List<Figure> figures, long pages) {
        this.figures = figures;
        this.pages = pages;
    }

    /**
     * @param pages of the region
     */
    static String draw(List<Figure> figures, long pages) {
        return new TrackerPlot(figures, pages).draw();
    }

    private String draw() {
        line("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\"", WIDTH, HEIGHT);
        line(
                " viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">%n",
                WIDTH, HEIGHT);
        line("<title>ioasis bench trackers</title>%n");
        line("<rect width=\"%d\" height=\"%d\" fill=\"white\"/>%n", WIDTH, HEIGHT);
        panel(60, "bytes per pinned page", Figure::bytes);
        panel(440, "ns for a pin and its end", one -> one.pin() + one.unpin());
        List<String> names = names();
        for (int i = 0; i < names.size(); i++) {
            int y = TOP + 10 + i * 18;
            line(
                    "<rect x=\"770\" y=\"%d\" width=\"12\" height=\"3\" fill=\"%s\"/>%n",
                    y, colour(i));
            line("<text x=\"788\" y=\"%d\">%s</text>%n", y + 5, names.get(i));
        }
        line("<text x=\"770\" y=\"%d\">solid: anywhere</text>%n", TOP + 160);
        line("<text x=\"770\" y=\"%d\">dashed: in runs of 64</text>%n", TOP + 176);
        line("</svg>%n");
        return svg.toString();
    }

    // The annotation that is asked for is Error Prone's own, which no module depends on.
    @SuppressWarnings("AnnotateFormatMethod")
    private void line(String format, Object... values) {
        svg.append(String.format(Locale.ROOT, format, values));
    }

    private List<String> names() {
        return figures.stream().map(Figure::tracker).distinct().toList();
    }

    private static String colour(int index) {
        return COLOURS[index % COLOURS.length];
    }

    private void panel(int left, String title, ToDoubleFunction<Figure> value) {
        double low = Double.MAX_VALUE;
        double high = 1;
        for (Figure figure : figures) {
            low = Math.min(low, Math.max(0.1, value.applyAsDouble(figure)));
            high = Math.max(high, value.applyAsDouble(figure));
        }
        double bottomPower = Math.floor(Math.log10(low));
        double powers = Math.ceil(Math.log10(high)) - bottomPower;
        line("<text x=\"%d\" y=\"24\" font-weight=\"bold\">%s</text>%n", left, title);
        for (int power = 0; power <= powers; power++) {
            double y = TOP + DEPTH - DEPTH * power / powers;
            line(
                    "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>%n",
                    left, y, left + PANEL, y);
            line(
                    "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>%n",
                    left - 5, y + 4, number(Math.pow(10, bottomPower + power)));
        }
        for (int part : new int[] {512, 64, 8, 2, 1}) {
            double x = x(left, pages / part);
            line(
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">1/%d</text>%n",
                    x, TOP + DEPTH + 16, part);
        }
        line(
                "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">part of the region that is"
                        + " pinned</text>%n",
                left + PANEL / 2, TOP + DEPTH + 34);
        for (String name : names()) {
            for (boolean isClustered : new boolean[] {false, true}) {
                List<Figure> own = new ArrayList<>();
                for (Figure figure : figures) {
                    if (figure.tracker().equals(name) && figure.isClustered() == isClustered) {
                        own.add(figure);
                    }
                }
                curve(left, own, value, bottomPower, powers);
            }
        }
    }

    private static String number(double value) {
        return value < 1
                ? String.format(Locale.ROOT, "%.1f", value)
                : String.format(Locale.ROOT, "%.0f", value);
    }

    /** From one page in 512 to all of them. */
    private double x(int left, double pinned) {
        return left + PANEL * (1 + Math.log(pinned / pages) / Math.log(512));
    }

    private void curve(
            int left,
            List<Figure> own,
            ToDoubleFunction<Figure> value,
            double bottomPower,
            double powers) {
        if (own.isEmpty()) {
            return;
        }
        String colour = colour(names().indexOf(own.getFirst().tracker()));
        StringBuilder points = new StringBuilder();
        for (Figure figure : own) {
            double power = Math.log10(Math.max(0.1, value.applyAsDouble(figure))) - bottomPower;
            double y = TOP + DEPTH - DEPTH * power / powers;
            double x = x(left, (double) figure.pinned());
            points.append(String.format(Locale.ROOT, "%.1f,%.1f ", x, y));
            line("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>%n", x, y, colour);
        }
        line(
                "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s points=\"%s\"/>%n",
                colour,
                own.getFirst().isClustered() ? " stroke-dasharray=\"5 3\"" : "",
                points.toString().strip());
    }
}
