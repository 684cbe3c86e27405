// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import org.ioasis.plot.BarChart;

/**
 * The answers of a sweep for people and for programs: a page that needs nothing but itself, JSON,
 * and lines for a terminal. One thread.
 */
public final class SweepReport {
    /** What the JSON begins with, by which a report is known again. */
    public static final String NAME = "ioasis sweep";

    private static final double NANOS_PER_MICRO = 1e3;

    private final List<Answer> answers;

    public SweepReport(List<Answer> answers) {
        this.answers = List.copyOf(answers);
    }

    // JSON
    // ---------------------------------------------------------------------------------------------

    public String json() throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json =
                new JsonFactory().createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("report", NAME);
            json.writeNumberField("version", 1);
            json.writeArrayFieldStart("figures");
            for (Answer answer : answers) {
                json.writeStartObject();
                for (Map.Entry<String, Object> field : answer.fields().entrySet()) {
                    json.writeFieldName(field.getKey());
                    switch (field.getValue()) {
                        case Long number -> json.writeNumber((long) number);
                        case Double number -> json.writeNumber((double) number);
                        default -> json.writeString(field.getValue().toString());
                    }
                }
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return text + "\n";
    }

    // Text
    // ---------------------------------------------------------------------------------------------

    /** A column of the tables. */
    private record Column(String head, Function<Answer, String> cell) {}

    private static final List<Column> COLUMNS =
            List.of(
                    new Column("format", answer -> answer.design().format().toString()),
                    new Column("granule", answer -> answer.design().granuleText()),
                    new Column("flush", answer -> answer.design().flush().toString()),
                    new Column("IOTLB", answer -> answer.design().iotlbText()),
                    new Column("translations", answer -> count(answer.figures().translations())),
                    new Column("hits %", answer -> percent(answer.figures().hitRate())),
                    new Column(
                            "M/s",
                            answer -> decimal(answer.figures().translationsPerSecond() / 1e6)),
                    new Column(
                            "tables KiB", answer -> count(answer.figures().tableBytesMax() >> 10)),
                    new Column("unmaps", answer -> count(answer.figures().unmaps())),
                    new Column("invalidations", answer -> count(answer.figures().invalidations())),
                    new Column("reachable median µs", answer -> micros(reach(answer).median())),
                    new Column("p99 µs", answer -> micros(reach(answer).p99())),
                    new Column("max µs", answer -> micros(reach(answer).max())),
                    new Column("refused", answer -> count(answer.figures().refusedMaps())));

    private static Figures.Reach reach(Answer answer) {
        return answer.figures().reach();
    }

    private static String count(long number) {
        return Long.toString(number);
    }

    private static String percent(double part) {
        return String.format(Locale.ROOT, "%.1f", 100 * part);
    }

    private static String decimal(double number) {
        return String.format(Locale.ROOT, "%.1f", number);
    }

    private static String micros(long nanos) {
        return decimal(nanos / NANOS_PER_MICRO);
    }

    /** A table for each trace. */
    public String text() {
        StringBuilder text = new StringBuilder();
        for (String trace : traces()) {
            List<Answer> own = of(trace);
            text.append(summary(own.getFirst())).append('\n');
            List<List<String>> rows = new ArrayList<>();
            rows.add(COLUMNS.stream().map(Column::head).toList());
            for (Answer answer : own) {
                rows.add(COLUMNS.stream().map(column -> column.cell().apply(answer)).toList());
            }
            for (List<String> row : rows) {
                for (int i = 0; i < row.size(); i++) {
                    int at = i;
                    int width = rows.stream().mapToInt(one -> one.get(at).length()).max().orElse(0);
                    text.append("  ").append(padded(row.get(i), width, i > 2));
                }
                text.append('\n');
            }
            text.append('\n');
        }
        return text.toString();
    }

    private static String padded(String cell, int width, boolean isNumber) {
        String room = " ".repeat(width - cell.length());
        return isNumber ? room + cell : cell + room;
    }

    private static String summary(Answer answer) {
        Trace.Notes notes = answer.notes();
        StringBuilder text = new StringBuilder();
        text.append(
                String.format(
                        Locale.ROOT,
                        "%s: %d rows of %.3f s, %d accesses",
                        answer.trace(),
                        notes.rows(),
                        answer.nanos() / 1e9,
                        answer.accesses()));
        part(text, notes.refused(), "refused requests");
        part(text, notes.faults(), "faults");
        part(text, notes.outside(), "accesses outside of any mapping");
        part(text, notes.lost(), "events that were not recorded");
        return text.toString();
    }

    private static void part(StringBuilder text, long count, String what) {
        if (count > 0) {
            text.append(", ").append(count).append(' ').append(what);
        }
    }

    private List<String> traces() {
        return answers.stream().map(Answer::trace).distinct().toList();
    }

    private List<Answer> of(String trace) {
        return answers.stream().filter(answer -> answer.trace().equals(trace)).toList();
    }

    // Page
    // ---------------------------------------------------------------------------------------------

    private static final String HEAD =
            """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
            <link rel="icon" href="data:,">
            <title>ioasis sweep</title>
            <style>
            :root{color-scheme:light dark}
            body{font:15px/1.5 system-ui,sans-serif;margin:1rem auto;max-width:76rem;padding:0 1rem}
            @media(prefers-color-scheme:dark){body{background:#101214;color:#e6e6e6}a{color:#8ec7f2}}
            .scroll{overflow-x:auto}
            table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
            th,td{border-bottom:1px solid #8886;padding:.15rem .6rem;text-align:right;white-space:nowrap}
            th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}
            svg{display:block;margin:.8rem 0;min-width:42rem}
            </style>
            </head>
            <body>
            <main>
            <h1>What other designs would have done</h1>
            <p>Each recorded trace of DMA went through each design: page tables of its format, walked by
            the walker of Ioasis behind an IOTLB of its size (sets of four). Buffers are mapped in
            whole granules at addresses that the design's driver hands out. The same figures are in
            <code>figures.json</code> and <code>figures.parquet</code> beside this page.</p>
            """;

    private static final String NOTES =
            """
            <h2>What the figures are</h2>
            <ul>
            <li>Translations: an access has one for each page that it touches, so larger pages need fewer.</li>
            <li>Translations per second: of one thread of the machine that made this page, accesses in a row
            over and over with their buffers mapped, IOTLB included. It is the only figure that differs
            between runs.</li>
            <li>Table bytes: the most at a time, with tables that wait for a flush.</li>
            <li>Invalidations: strict, one for an UNMAP, before its answer; lazy:N, one flush of the domain
            for N of them, or when the timer of lazy:N:Tms ends; and one for the end of a domain.</li>
            <li>Reachable: from the UNMAP to the flush that covers it, for buffers that the IOTLB had a
            translation of; 0 for all others. An entry that is evicted earlier counts until the flush.</li>
            </ul>
            """;

    /** HTML with all plots in it; no script, nothing from elsewhere. */
    public String page() {
        StringBuilder page = new StringBuilder(HEAD);
        for (String trace : traces()) {
            List<Answer> own = of(trace);
            page.append("<h2>").append(escaped(trace)).append("</h2>\n<p>");
            page.append(escaped(summary(own.getFirst()))).append(".</p>\n");
            scroll(page, "Plots of " + trace);
            for (BarChart chart : charts(trace, own)) {
                page.append(chart.svg());
            }
            page.append("</div>\n");
            table(page, trace, own);
        }
        return page.append(NOTES).append("</main>\n</body>\n</html>\n").toString();
    }

    /** What is wider than the window moves alone, by keys too. */
    private static void scroll(StringBuilder page, String name) {
        page.append("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
                .append(escaped(name))
                .append("\">\n");
    }

    private static List<BarChart> charts(String trace, List<Answer> own) {
        Flush flush = own.getFirst().design().flush();
        int iotlb = own.stream().mapToInt(answer -> answer.design().iotlb()).max().orElse(0);
        Predicate<Answer> firstFlush = answer -> answer.design().flush().equals(flush);
        Predicate<Answer> largest = answer -> answer.design().iotlb() == iotlb;
        Function<Answer, String> iotlbs = answer -> "IOTLB " + answer.design().iotlbText();
        List<BarChart> charts = new ArrayList<>();
        charts.add(
                chart(
                        BarChart.of(trace + ": hit rate of the IOTLB, " + flush, "%"),
                        own,
                        firstFlush.and(answer -> answer.design().iotlb() > 0),
                        answer -> answer.design().tablesText(),
                        iotlbs,
                        answer -> 100 * answer.figures().hitRate()));
        charts.add(
                chart(
                        BarChart.of(trace + ": translations per second, " + flush, "per second"),
                        own,
                        firstFlush,
                        answer -> answer.design().tablesText(),
                        iotlbs,
                        answer -> answer.figures().translationsPerSecond()));
        charts.add(
                chart(
                        BarChart.of(trace + ": most bytes of tables", "bytes"),
                        own,
                        largest,
                        answer -> answer.design().tablesText(),
                        answer -> answer.design().flush().toString(),
                        answer -> answer.figures().tableBytesMax()));
        charts.add(
                chart(
                        BarChart.of(trace + ": invalidations", "").logarithmic(),
                        own,
                        largest,
                        answer -> answer.design().flush().toString(),
                        answer -> answer.design().granuleText(),
                        answer -> answer.figures().invalidations()));
        BarChart reach = BarChart.of(trace + ": reachable after its UNMAP", "µs").logarithmic();
        for (Answer answer : own) {
            Design design = answer.design();
            if (design.format() == own.getFirst().design().format() && !design.flush().isStrict()) {
                String group =
                        "%s, %s, IOTLB %s"
                                .formatted(
                                        design.flush(), design.granuleText(), design.iotlbText());
                reach.add(group, "median", reach(answer).median() / NANOS_PER_MICRO);
                reach.add(group, "99 of 100", reach(answer).p99() / NANOS_PER_MICRO);
                reach.add(group, "longest", reach(answer).max() / NANOS_PER_MICRO);
            }
        }
        charts.add(reach);
        return charts.stream().filter(BarChart::hasBars).toList();
    }

    private static BarChart chart(
            BarChart chart,
            List<Answer> answers,
            Predicate<Answer> wanted,
            Function<Answer, String> group,
            Function<Answer, String> series,
            ToDoubleFunction<Answer> value) {
        Set<String> seen = new LinkedHashSet<>();
        for (Answer answer : answers) {
            if (wanted.test(answer)
                    && seen.add(group.apply(answer) + '\n' + series.apply(answer))) {
                chart.add(group.apply(answer), series.apply(answer), value.applyAsDouble(answer));
            }
        }
        return chart;
    }

    private static void table(StringBuilder page, String trace, List<Answer> own) {
        page.append("<details open><summary>All figures of ").append(escaped(trace));
        page.append("</summary>\n");
        scroll(page, "All figures of " + trace);
        page.append("<table>\n<thead><tr>");
        for (Column column : COLUMNS) {
            page.append("<th scope=\"col\">").append(escaped(column.head())).append("</th>");
        }
        page.append("</tr></thead>\n<tbody>\n");
        for (Answer answer : own) {
            page.append("<tr>");
            for (Column column : COLUMNS) {
                page.append("<td>").append(escaped(column.cell().apply(answer))).append("</td>");
            }
            page.append("</tr>\n");
        }
        page.append("</tbody></table></div></details>\n");
    }

    private static String escaped(String text) {
        return BarChart.escaped(text);
    }
}
