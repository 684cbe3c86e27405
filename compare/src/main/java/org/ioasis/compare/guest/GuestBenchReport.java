// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.ioasis.compare.guest.GuestBench.Mode;
import org.ioasis.compare.guest.GuestBench.Subject;

/** The figures of all rounds, as a table and as JSON. One thread. */
final class GuestBenchReport {
    private static final double GIB = 1L << 30;

    /** What is counted, in the order of the table. */
    private static final List<String> COUNTS =
            List.of("requests", "kicks", "interrupts", "sleeps", "calls", "wakeups");

    private final String qemu;
    private final String kernel;
    private final String accel;
    private final GuestBench.Options options;
    private final Map<Mode, Map<Subject, Map<String, List<GuestFigure>>>> figures =
            new EnumMap<>(Mode.class);

    GuestBenchReport(String qemu, String kernel, String accel, GuestBench.Options options) {
        this.qemu = qemu;
        this.kernel = kernel;
        this.accel = accel.toLowerCase(Locale.ROOT);
        this.options = options;
    }

    /** One boot in a line. */
    static String line(Map<String, GuestFigure> boot) {
        return boot.entrySet().stream()
                .map(one ->
                        String.format(
                                Locale.ROOT, "%s %.0f", one.getKey(), one.getValue().perSecond()))
                .collect(Collectors.joining(", "));
    }

    void add(Mode mode, Subject subject, Map<String, GuestFigure> boot) {
        boot.forEach((cell, figure) ->
                figures.computeIfAbsent(mode, _ -> new EnumMap<>(Subject.class))
                        .computeIfAbsent(subject, _ -> new LinkedHashMap<>())
                        .computeIfAbsent(cell, _ -> new ArrayList<>())
                        .add(figure));
    }

    private List<GuestFigure> of(Mode mode, Subject subject, FioCell cell) {
        return figures.getOrDefault(mode, Map.of())
                .getOrDefault(subject, Map.of())
                .getOrDefault(cell.name(), List.of());
    }

    private static double median(List<GuestFigure> of, ToDoubleFunction<GuestFigure> what) {
        if (of.isEmpty()) {
            return Double.NaN;
        }
        List<Double> sorted = new ArrayList<>();
        of.forEach(figure -> sorted.add(what.applyAsDouble(figure)));
        Collections.sort(sorted);
        int half = sorted.size() / 2;
        return sorted.size() % 2 == 1
                ? sorted.get(half)
                : (sorted.get(half - 1) + sorted.get(half)) / 2;
    }

    /** I/Os per second, ours divided by QEMU's: the medians over the rounds. */
    double ratio(Mode mode, FioCell cell) {
        return median(of(mode, Subject.OURS, cell), GuestFigure::perSecond)
                / median(of(mode, Subject.QEMU, cell), GuestFigure::perSecond);
    }

    /** Geometric mean of the ratios that there are. */
    double geometricMean() {
        double logs = 0;
        int n = 0;
        for (Mode mode : options.modes()) {
            for (FioCell cell : options.cells()) {
                double ratio = ratio(mode, cell);
                if (!Double.isNaN(ratio)) {
                    logs += Math.log(ratio);
                    n++;
                }
            }
        }
        return n == 0 ? Double.NaN : Math.exp(logs / n);
    }

    private static double perIo(GuestFigure figure, String count) {
        return figure.counts().getOrDefault(count, 0L) / Math.max(1, figure.ios());
    }

    private static double perGib(GuestFigure figure) {
        return figure.cpuSeconds() / Math.max(1, figure.bytes()) * GIB;
    }

    /** A row for each cell, and what it comes to. */
    String table() {
        StringBuilder out = new StringBuilder();
        out.append(
                "QEMU %s, Linux %s, %s, %d vCPU; %d rounds of %d s a cell%n"
                        .formatted(
                                qemu,
                                kernel,
                                accel,
                                options.processors(),
                                options.rounds(),
                                options.seconds()));
        out.append(
                "%-12s%12s%16s%12s%16s%8s"
                        .formatted("I/O/s", "QEMU", "(range)", "Ioasis", "(range)", "ratio"));
        COUNTS.forEach(count -> out.append("%11s".formatted(count)));
        out.append("%11s%11s%n".formatted("CPU s/GiB", "QEMU's"));
        for (Mode mode : options.modes()) {
            for (FioCell cell : options.cells()) {
                List<GuestFigure> theirs = of(mode, Subject.QEMU, cell);
                List<GuestFigure> ours = of(mode, Subject.OURS, cell);
                out.append("%-12s".formatted(mode.label() + " " + cell.name()));
                speeds(out, theirs);
                speeds(out, ours);
                out.append(number("%8.2f", ratio(mode, cell)));
                for (String count : COUNTS) {
                    out.append(number("%11.3f", median(ours, one -> perIo(one, count))));
                }
                out.append(number("%11.2f", median(ours, GuestBenchReport::perGib)));
                out.append(number("%11.2f", median(theirs, GuestBenchReport::perGib)));
                out.append(System.lineSeparator());
            }
        }
        out.append(
                String.format(
                        Locale.ROOT, "geometric mean of the ratios: %.2f%n", geometricMean()));
        if (options.subjects().stream().anyMatch(Subject.ASSIGNED::contains)) {
            assigned(out);
        }
        return out.toString();
    }

    /** Disks that are assigned, beside ours behind our IOMMU. */
    private void assigned(StringBuilder out) {
        out.append("%n%-12s%12s%16s".formatted("I/O/s", "Ioasis", "(range)"));
        for (Subject subject : Subject.ASSIGNED) {
            out.append(
                    "%12s%16s%8s%11s".formatted(subject.label(), "(range)", "ratio", "CPU s/GiB"));
        }
        out.append(System.lineSeparator());
        for (Mode mode : options.modes()) {
            for (FioCell cell : options.cells()) {
                List<GuestFigure> served = of(mode, Subject.OURS, cell);
                out.append("%-12s".formatted(mode.label() + " " + cell.name()));
                speeds(out, served);
                for (Subject subject : Subject.ASSIGNED) {
                    List<GuestFigure> assigned = of(mode, subject, cell);
                    speeds(out, assigned);
                    out.append(
                            number(
                                    "%8.2f",
                                    median(assigned, GuestFigure::perSecond)
                                            / median(served, GuestFigure::perSecond)));
                    out.append(number("%11.2f", median(assigned, GuestBenchReport::perGib)));
                }
                out.append(System.lineSeparator());
            }
        }
    }

    private static void speeds(StringBuilder out, List<GuestFigure> of) {
        out.append(number("%12.0f", median(of, GuestFigure::perSecond)));
        String range =
                of.isEmpty()
                        ? "-"
                        : String.format(
                                Locale.ROOT,
                                "%.0f..%.0f",
                                of.stream().mapToDouble(GuestFigure::perSecond).min().orElse(0),
                                of.stream().mapToDouble(GuestFigure::perSecond).max().orElse(0));
        out.append("%16s".formatted(range));
    }

    private static String number(String format, double value) {
        return Double.isNaN(value)
                ? "%s%s".formatted(" ".repeat(String.format(format, 0.0).length() - 1), "-")
                : String.format(Locale.ROOT, format, value);
    }

    String json() throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json =
                new JsonFactory().createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("report", "ioasis bench guest");
            json.writeStringField("qemu", qemu);
            json.writeStringField("kernel", kernel);
            json.writeStringField("accel", accel);
            json.writeNumberField("processors", options.processors());
            json.writeNumberField("rounds", options.rounds());
            json.writeNumberField("secondsPerCell", options.seconds());
            json.writeArrayFieldStart("cells");
            for (Mode mode : options.modes()) {
                for (FioCell cell : options.cells()) {
                    json.writeStartObject();
                    json.writeStringField("mode", mode.label());
                    json.writeStringField("cell", cell.name());
                    write(json, "qemuFigures", of(mode, Subject.QEMU, cell));
                    write(json, "figures", of(mode, Subject.OURS, cell));
                    for (Subject subject : Subject.ASSIGNED) {
                        if (options.subjects().contains(subject)) {
                            write(json, subject.label() + "Figures", of(mode, subject, cell));
                        }
                    }
                    double ratio = ratio(mode, cell);
                    if (!Double.isNaN(ratio)) {
                        json.writeNumberField("ratio", ratio);
                    }
                    json.writeEndObject();
                }
            }
            json.writeEndArray();
            double mean = geometricMean();
            if (!Double.isNaN(mean)) {
                json.writeNumberField("geometricMean", mean);
            }
            json.writeEndObject();
        }
        return text + "\n";
    }

    private static void write(JsonGenerator json, String name, List<GuestFigure> of)
            throws IOException {
        json.writeArrayFieldStart(name);
        for (GuestFigure figure : of) {
            json.writeStartObject();
            json.writeNumberField("perSecond", figure.perSecond());
            json.writeNumberField("bytes", figure.bytes());
            json.writeNumberField("cpuSecondsPerGib", perGib(figure));
            json.writeObjectFieldStart("perIo");
            for (String count : new TreeMap<>(figure.counts()).keySet()) {
                json.writeNumberField(count, perIo(figure, count));
            }
            json.writeEndObject();
            json.writeObjectFieldStart("cpuSeconds");
            for (Map.Entry<String, Double> one : new TreeMap<>(figure.seconds()).entrySet()) {
                json.writeNumberField(one.getKey(), one.getValue());
            }
            json.writeEndObject();
            json.writeEndObject();
        }
        json.writeEndArray();
    }
}
