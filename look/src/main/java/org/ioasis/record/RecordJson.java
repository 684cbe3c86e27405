// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.Locale;
import java.util.Map;

/** Summaries and results of replays for programs. Any thread; no state. */
public final class RecordJson {
    private static final JsonFactory FACTORY = new JsonFactory();

    private RecordJson() {}

    /** What is in a recording. */
    public static String of(Summary summary) throws IOException {
        return object(json -> {
            json.writeStringField("file", summary.file().toString());
            json.writeNumberField("rows", summary.rows());
            json.writeNumberField("lost", summary.lost());
            json.writeNumberField("nanos", summary.nanos());
            json.writeObjectFieldStart("about");
            for (Map.Entry<String, String> one : summary.about().entrySet()) {
                json.writeStringField(one.getKey(), one.getValue());
            }
            json.writeEndObject();
            json.writeObjectFieldStart("events");
            for (Event event : Event.values()) {
                json.writeNumberField(event.name(), summary.count(event));
            }
            json.writeEndObject();
            json.writeObjectFieldStart("refused");
            for (Map.Entry<String, Long> one : summary.refusals().entrySet()) {
                json.writeNumberField(one.getKey(), one.getValue());
            }
            json.writeEndObject();
            json.writeNumberField("domains", summary.domains());
            endpoints(summary, json);
            json.writeArrayFieldStart("mappingsByLg2OfBytes");
            for (long count : summary.sizes()) {
                json.writeNumber(count);
            }
            json.writeEndArray();
            json.writeNumberField("curveNanos", summary.curveNanos());
            for (Summary.Curve curve : Summary.Curve.values()) {
                json.writeArrayFieldStart(curve.name().toLowerCase(Locale.ROOT));
                for (long count : summary.curve(curve)) {
                    json.writeNumber(count);
                }
                json.writeEndArray();
            }
        });
    }

    private static void endpoints(Summary summary, JsonGenerator json) throws IOException {
        json.writeArrayFieldStart("endpoints");
        for (Map.Entry<String, Summary.Endpoint> one : summary.endpoints().entrySet()) {
            Summary.Endpoint its = one.getValue();
            json.writeStartObject();
            json.writeStringField("name", one.getKey());
            json.writeNumberField("reads", its.reads());
            json.writeNumberField("readBytes", its.readBytes());
            json.writeNumberField("writes", its.writes());
            json.writeNumberField("writtenBytes", its.writtenBytes());
            json.writeNumberField("faults", its.faults());
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    /** What a replay has found. */
    public static String of(Replay.Result result) throws IOException {
        return object(json -> {
            json.writeBooleanField("exact", result.isExact());
            json.writeNumberField("rows", result.rows());
            json.writeNumberField("requests", result.requests());
            json.writeNumberField("accesses", result.accesses());
            json.writeNumberField("faults", result.faults());
            json.writeNumberField("others", result.others());
            json.writeNumberField("elsewhere", result.elsewhere());
            if (result.lostAt() >= 0) {
                json.writeNumberField("lostAt", result.lostAt());
            }
            Replay.Difference difference = result.difference();
            if (difference != null) {
                json.writeObjectFieldStart("difference");
                json.writeNumberField("sequence", difference.sequence());
                json.writeStringField("recorded", difference.recorded());
                json.writeStringField("replayed", difference.replayed());
                json.writeArrayFieldStart("around");
                for (String row : difference.around()) {
                    json.writeString(row);
                }
                json.writeEndArray();
                json.writeEndObject();
            }
        });
    }

    /** Writes the fields of an object. */
    private interface Fields {
        void write(JsonGenerator json) throws IOException;
    }

    private static String object(Fields fields) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = FACTORY.createGenerator(text)) {
            json.useDefaultPrettyPrinter();
            json.writeStartObject();
            fields.write(json);
            json.writeEndObject();
        }
        return text + "\n";
    }
}
