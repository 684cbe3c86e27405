// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.output.Surroundings;

/** The figures of all rounds, as a table and as JSON. One thread. */
final class Results {
    private static final String OURS = "ioasis";
    private static final String SMALL = "W1-map-65536";
    private static final String LARGE = "W1-map-1048576";

    // By workload, then by subject, a figure per round.
    private final Map<String, Map<String, List<Double>>> nanos = new LinkedHashMap<>();
    private final Map<String, List<Double>> allocated = new LinkedHashMap<>();
    private final Map<String, Map<String, Long>> peaks = new LinkedHashMap<>();

    void add(String workload, String subject, double nsPerOp) {
        nanos.computeIfAbsent(workload, name -> new LinkedHashMap<>())
                .computeIfAbsent(subject, name -> new ArrayList<>())
                .add(nsPerOp);
    }

    void addAllocated(String workload, double bytesPerOp) {
        allocated.computeIfAbsent(workload, name -> new ArrayList<>()).add(bytesPerOp);
    }

    void addPeak(String workload, String subject, long kib) {
        peaks.computeIfAbsent(workload, name -> new LinkedHashMap<>()).put(subject, kib);
    }

    static double median(List<Double> values) {
        List<Double> sorted = new ArrayList<>(values);
        Collections.sort(sorted);
        int half = sorted.size() / 2;
        return sorted.size() % 2 == 1
                ? sorted.get(half)
                : (sorted.get(half - 1) + sorted.get(half)) / 2;
    }

    private double nsPerOp(String workload, String subject) {
        List<Double> figures = nanos.getOrDefault(workload, Map.of()).get(subject);
        return figures == null ? Double.NaN : median(figures);
    }

    /** Of each subject that has figures of the workload. */
    Map<String, Double> medians(String workload) {
        Map<String, Double> medians = new LinkedHashMap<>();
        nanos.getOrDefault(workload, Map.of())
                .forEach((subject, rounds) -> medians.put(subject, median(rounds)));
        return medians;
    }

    /** Workloads × subjects in ns per operation, and what ours is compared to. */
    String table(List<Case> cases) {
        List<String> subjects = new ArrayList<>();
        subjects.add(OURS);
        Peer.ALL.forEach(peer -> subjects.add(peer.subject()));
        StringBuilder out = new StringBuilder();
        out.append("%-19s".formatted("ns/op"));
        subjects.forEach(subject -> out.append("%16s".formatted(subject)));
        out.append("%12s%10s%8s%n".formatted("best tree/", "ours/C", "B/op"));
        for (Case one : cases) {
            out.append("%-19s".formatted(one.name()));
            double best = Double.NaN;
            for (String subject : subjects) {
                double figure = nsPerOp(one.name(), subject);
                out.append("%16s".formatted(text(figure)));
                boolean isTree = !subject.equals(OURS) && !subject.equals(Peer.C_RADIX);
                if (isTree && !Double.isNaN(figure) && !(figure >= best)) {
                    best = figure;
                }
            }
            double ours = nsPerOp(one.name(), OURS);
            out.append("%12s".formatted(text(best / ours)));
            out.append("%10s".formatted(text(ours / nsPerOp(one.name(), Peer.C_RADIX))));
            List<Double> garbage = allocated.get(one.name());
            out.append(
                    "%8s%n".formatted(garbage == null ? "-" : "%.2f".formatted(median(garbage))));
        }
        return out.toString();
    }

    /** The host model beside a kernel's structures in C. */
    String hostTable(List<Case> cases) {
        if (cases.isEmpty()) {
            return "";
        }
        StringBuilder out = new StringBuilder();
        out.append(
                "%-22s%16s%16s%10s%10s%n"
                        .formatted("ns/op", OURS, Peer.KERNEL.subject(), "ours/C", "B/op"));
        for (Case one : cases) {
            double ours = nsPerOp(one.name(), OURS);
            double peer = nsPerOp(one.name(), Peer.KERNEL.subject());
            List<Double> garbage = allocated.get(one.name());
            out.append(
                    "%-22s%16s%16s%10s%10s%n"
                            .formatted(
                                    one.name(),
                                    text(ours),
                                    text(peer),
                                    "%.4f".formatted(ours / peer),
                                    garbage == null ? "-" : "%.2f".formatted(median(garbage))));
        }
        return out.toString();
    }

    private static String text(double figure) {
        return Double.isNaN(figure)
                ? "-"
                : figure < 100 ? "%.2f".formatted(figure) : "%.0f".formatted(figure);
    }

    /** Bytes per mapping of a page: ours counted, the peers' from two sizes of process. */
    String memory(double dense, double sparse) {
        StringBuilder out = new StringBuilder();
        out.append(
                "bytes per mapping of 4 KiB: %s %.2f side by side, %.0f one in 2 MiB"
                        .formatted(OURS, dense, sparse));
        Map<String, Long> small = peaks.getOrDefault(SMALL, Map.of());
        Map<String, Long> large = peaks.getOrDefault(LARGE, Map.of());
        for (Peer peer : Peer.ALL) {
            Long few = small.get(peer.subject());
            Long many = large.get(peer.subject());
            if (few != null && many != null) {
                double bytes = (many - few) * 1024.0 / ((1 << 20) - (1 << 16));
                out.append(", %s %.0f".formatted(peer.subject(), bytes));
            }
        }
        return out.append(System.lineSeparator()).toString();
    }

    /** What `--json` writes. */
    byte[] json(List<Case> cases, Surroundings where) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json =
                new JsonFactory().createGenerator(bytes).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("report", "ioasis bench");
            where.write(json);
            json.writeStringField("unit", "ns per operation");
            json.writeArrayFieldStart("results");
            for (Case one : cases) {
                for (Map.Entry<String, List<Double>> figures :
                        nanos.getOrDefault(one.name(), Map.of()).entrySet()) {
                    String subject = figures.getKey();
                    List<Double> rounds = figures.getValue();
                    json.writeStartObject();
                    json.writeStringField("workload", one.name());
                    json.writeStringField("subject", subject);
                    json.writeNumberField("nsPerOp", median(rounds));
                    json.writeNumberField("rounds", rounds.size());
                    json.writeNumberField("nsPerOpLeast", Collections.min(rounds));
                    json.writeNumberField("nsPerOpMost", Collections.max(rounds));
                    List<Double> garbage = allocated.get(one.name());
                    if (subject.equals(OURS) && garbage != null) {
                        json.writeNumberField("allocBytesPerOp", median(garbage));
                    }
                    json.writeEndObject();
                }
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return bytes.toByteArray();
    }
}
