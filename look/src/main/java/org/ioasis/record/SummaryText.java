// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.util.Arrays;
import java.util.Locale;

/** A summary for people, with plots of characters. Any thread; no state. */
public final class SummaryText {
    private static final String STEPS = " ▁▂▃▄▅▆▇█";
    private static final int BAR = 40;
    private static final double NANOS_PER_SECOND = 1e9;
    private static final int LG2_KIB = 10;
    private static final String[] UNITS = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    private SummaryText() {}

    /** Lines. */
    public static String of(Summary summary) {
        StringBuilder text = new StringBuilder();
        line(
                text,
                "%s: %,d rows in %.3f s, recorded by %s",
                summary.file(),
                summary.rows(),
                summary.nanos() / NANOS_PER_SECOND,
                summary.about().getOrDefault("ioasis.command", "?"));
        if (summary.lost() > 0) {
            line(text, "%,d rows are missing, which could not be written", summary.lost());
        }
        line(text, "");
        for (Event event : Event.values()) {
            if (summary.count(event) > 0) {
                line(text, "  %-8s %,12d", event, summary.count(event));
            }
        }
        summary.refusals().forEach((what, count) -> line(text, "  %-20s %,d", what, count));
        line(text, "  %d domains", summary.domains());
        endpoints(summary, text);
        sizes(summary, text);
        curves(summary, text);
        return text.toString();
    }

    private static void endpoints(Summary summary, StringBuilder text) {
        if (summary.endpoints().isEmpty()) {
            return;
        }
        line(text, "");
        line(
                text,
                "  %-28s %12s %12s %12s %12s %10s",
                "endpoint",
                "reads",
                "bytes",
                "writes",
                "bytes",
                "faults");
        summary.endpoints()
                .forEach((name, its) ->
                        line(
                                text,
                                "  %-28s %,12d %12s %,12d %12s %,10d",
                                name,
                                its.reads(),
                                bytes(its.readBytes()),
                                its.writes(),
                                bytes(its.writtenBytes()),
                                its.faults()));
    }

    private static void sizes(Summary summary, StringBuilder text) {
        long[] sizes = summary.sizes();
        long most = Arrays.stream(sizes).max().orElse(0);
        if (most == 0) {
            return;
        }
        line(text, "");
        line(text, "  mappings by size");
        for (int i = 0; i < sizes.length; i++) {
            if (sizes[i] > 0) {
                String bar = "█".repeat((int) Math.max(1, sizes[i] * BAR / most));
                line(text, "  %8s %,12d %s", size(i), sizes[i], bar);
            }
        }
    }

    private static void curves(Summary summary, StringBuilder text) {
        line(text, "");
        line(
                text,
                "  over time, each column %.3f s, the highest is",
                summary.curveNanos() / NANOS_PER_SECOND);
        for (Summary.Curve curve : Summary.Curve.values()) {
            long[] counts = summary.curve(curve);
            long most = Arrays.stream(counts).max().orElse(0);
            StringBuilder plot = new StringBuilder();
            for (long count : counts) {
                // What is there is seen.
                long step = most == 0 ? 0 : (count * (STEPS.length() - 1) + most - 1) / most;
                plot.append(STEPS.charAt((int) step));
            }
            line(
                    text,
                    "  %-8s %,12.0f/s |%s|",
                    curve.name().toLowerCase(Locale.ROOT),
                    most * NANOS_PER_SECOND / summary.curveNanos(),
                    plot);
        }
    }

    /** A power of two of bytes. */
    private static String size(int lg2) {
        int unit = Math.min(lg2 / LG2_KIB, UNITS.length - 1);
        return (1L << (lg2 - unit * LG2_KIB)) + " " + UNITS[unit];
    }

    private static String bytes(long count) {
        int unit = 0;
        double value = count;
        while (value >= 1 << LG2_KIB && unit < UNITS.length - 1) {
            value /= 1 << LG2_KIB;
            unit++;
        }
        return String.format(Locale.ROOT, unit == 0 ? "%.0f %s" : "%.1f %s", value, UNITS[unit]);
    }

    @SuppressWarnings(
            "AnnotateFormatMethod") // the annotation is Error Prone's, and no part of this
    private static void line(StringBuilder text, String format, Object... words) {
        text.append(String.format(Locale.ROOT, format, words).stripTrailing()).append('\n');
    }
}
