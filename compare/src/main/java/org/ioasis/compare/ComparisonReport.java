// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What a comparison found. Immutable; any thread.
 *
 * @param seed with which the same steps are made again
 * @param requests that both devices were asked
 * @param others resets, writes to the configuration, accesses
 * @param rebuilds how often both were brought back to one state
 * @param rows the differences: those without a reason first, then by reason
 * @param failure the first thing that must not be, or nothing
 */
public record ComparisonReport(
        String qemu,
        long seed,
        long requests,
        long others,
        long rebuilds,
        double seconds,
        List<Row> rows,
        Optional<Failure> failure) {
    private static final JsonFactory JSON = new JsonFactory();

    /** Width of the columns with answers. */
    private static final int ANSWER = 28;

    /**
     * One kind of difference.
     *
     * @param kind of request, or what else was done
     * @param example the first one, with the number of the request
     */
    public record Row(
            String kind,
            String ours,
            String theirs,
            Optional<Explanation> explanation,
            long count,
            String example) {}

    /** Every difference has a reason, and both devices have gone on to the end. */
    public boolean isOk() {
        return unexplained() == 0 && failure.isEmpty();
    }

    /** Differences without a reason. */
    public long unexplained() {
        return rows.stream().filter(row -> row.explanation.isEmpty()).mapToLong(Row::count).sum();
    }

    /** Differences with one. */
    public long explained() {
        return rows.stream().filter(row -> row.explanation.isPresent()).mapToLong(Row::count).sum();
    }

    /** For people; the verdict last. */
    public String text() {
        StringBuilder text = new StringBuilder();
        text.append(line("id", "count", "what", "ours", "QEMU's"));
        for (Row row : rows) {
            text.append(
                    line(
                            row.explanation.map(Explanation::id).orElse("?"),
                            String.format(Locale.ROOT, "%,d", row.count),
                            row.kind,
                            row.ours,
                            row.theirs));
            text.append("     ")
                    .append(
                            row.explanation
                                    .map(e -> e.sentence() + " " + capital(e.weight()) + ".")
                                    .orElse("UNEXPLAINED."))
                    .append("\n     ")
                    .append(row.example)
                    .append('\n');
        }
        text.append(
                String.format(
                        Locale.ROOT,
                        "%,d requests and %,d other steps to QEMU %s and to ours, seed 0x%x, %.1f s:"
                                + " %,d differences explained, %,d unexplained%n",
                        requests,
                        others,
                        qemu,
                        seed,
                        seconds,
                        explained(),
                        unexplained()));
        text.append(failure.map(Failure::text).orElse(""));
        return text.append(isOk() ? "OK" : "FAILED").append('\n').toString();
    }

    private static String line(String id, String count, String kind, String ours, String theirs) {
        return String.format(
                        Locale.ROOT,
                        "%-4s %8s  %-25s %-" + ANSWER + "s %s",
                        id,
                        count,
                        kind,
                        ours,
                        theirs)
                + "\n";
    }

    private static String capital(Explanation.Weight weight) {
        String words = weight.toString();
        return words.substring(0, 1).toUpperCase(Locale.ROOT) + words.substring(1);
    }

    private static void writeFailure(JsonGenerator json, Failure failure) throws IOException {
        json.writeObjectFieldStart("failure");
        json.writeNumberField("request", failure.request());
        json.writeStringField("what", failure.what());
        json.writeStringField("setup", failure.setup());
        json.writeBooleanField("seenAgain", failure.wasSeenAgain());
        json.writeArrayFieldStart("steps");
        for (String step : failure.steps()) {
            json.writeString(step);
        }
        json.writeEndArray();
        json.writeStringField("command", failure.command());
        json.writeEndObject();
    }

    /** One object, with a newline at the end. */
    public String json() throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("report", "ioasis compare");
            json.writeBooleanField("ok", isOk());
            json.writeStringField("qemu", qemu);
            json.writeStringField("seed", "0x%x".formatted(seed));
            json.writeNumberField("requests", requests);
            json.writeNumberField("otherSteps", others);
            json.writeNumberField("rebuilds", rebuilds);
            json.writeNumberField("seconds", seconds);
            json.writeNumberField("explained", explained());
            json.writeNumberField("unexplained", unexplained());
            json.writeArrayFieldStart("differences");
            for (Row row : rows) {
                json.writeStartObject();
                json.writeStringField("id", row.explanation.map(Explanation::id).orElse(""));
                json.writeStringField(
                        "weight", row.explanation.map(e -> e.weight().name()).orElse(""));
                json.writeStringField(
                        "sentence", row.explanation.map(Explanation::sentence).orElse(""));
                json.writeNumberField("count", row.count);
                json.writeStringField("kind", row.kind);
                json.writeStringField("ours", row.ours);
                json.writeStringField("theirs", row.theirs);
                json.writeStringField("example", row.example);
                json.writeEndObject();
            }
            json.writeEndArray();
            if (failure.isPresent()) {
                writeFailure(json, failure.get());
            }
            json.writeEndObject();
        }
        return text + "\n";
    }
}
