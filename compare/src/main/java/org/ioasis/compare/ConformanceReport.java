// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.List;

/**
 * What a device has shown of each statement. Immutable.
 *
 * @param device what was asked
 */
record ConformanceReport(String device, List<Check.Result> results) {
    private static final JsonFactory JSON = new JsonFactory();

    ConformanceReport {
        results = List.copyOf(results);
    }

    private long count(Check.Outcome outcome) {
        return results.stream().filter(each -> each.outcome() == outcome).count();
    }

    /** Nothing was seen that does not hold. */
    boolean isOk() {
        return count(Check.Outcome.VIOLATED) == 0;
    }

    /** A line for each statement; below those that do not hold, how to see it. */
    String text() {
        StringBuilder text = new StringBuilder();
        for (Check.Result each : results) {
            Check check = each.check();
            text.append(
                    "%-5s %-10s %-14s %s%s\n"
                            .formatted(
                                    check.id(),
                                    check.strength(),
                                    each.outcome(),
                                    check.sentence(),
                                    each.reason().isEmpty() ? "" : " (" + each.reason() + ")"));
            each.steps().forEach(step -> text.append("        ").append(step).append('\n'));
        }
        text.append(
                "%s: %d of %d statements hold, %d do not, %d cannot be seen\n"
                        .formatted(
                                device,
                                count(Check.Outcome.HOLDS),
                                results.size(),
                                count(Check.Outcome.VIOLATED),
                                count(Check.Outcome.NOT_SEEN)));
        return text.toString();
    }

    /** The same as JSON. */
    String json() throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("device", device);
            json.writeBooleanField("ok", isOk());
            json.writeArrayFieldStart("statements");
            for (Check.Result each : results) {
                json.writeStartObject();
                json.writeStringField("id", each.check().id());
                json.writeStringField("strength", each.check().strength().toString());
                json.writeStringField("statement", each.check().sentence());
                json.writeStringField("outcome", each.outcome().toString());
                json.writeStringField("reason", each.reason());
                json.writeArrayFieldStart("steps");
                for (String step : each.steps()) {
                    json.writeString(step);
                }
                json.writeEndArray();
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return text + "\n";
    }
}
