// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.Locale;
import java.util.Map;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.virtio.iommu.RequestType;

/**
 * A report for scripts; docs/vm-report.md says what each field means. Pure functions; any thread.
 */
public final class RunReportJson {
    private static final JsonFactory FACTORY = new JsonFactory();

    private RunReportJson() {}

    /** One object, with a newline at the end. */
    public static String of(RunReport report) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = FACTORY.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeStringField("report", "ioasis vm");
            json.writeBooleanField("ok", report.isOk());
            json.writeArrayFieldStart("problems");
            for (String problem : report.problems()) {
                json.writeString(problem);
            }
            json.writeEndArray();
            json.writeStringField(
                    "ending", report.ending().name().toLowerCase(Locale.ROOT).replace('_', '-'));
            if (report.status().isPresent()) {
                json.writeNumberField("status", report.status().get());
            }
            json.writeStringField("kernel", report.kernel().orElse(""));
            json.writeStringField("accel", report.accel());
            json.writeStringField(
                    "driver", report.driver().values().stream().findFirst().orElse(""));
            json.writeObjectFieldStart("iommuGroup");
            for (RunReport.DeviceReport device : report.devices()) {
                json.writeStringField(device.name(), device.iommuGroup());
            }
            json.writeEndObject();
            json.writeObjectFieldStart("domainType");
            for (RunReport.DeviceReport device : report.devices()) {
                json.writeStringField(device.name(), device.domainType());
            }
            json.writeEndObject();
            json.writeObjectFieldStart("ring");
            for (Map.Entry<String, String> ring : report.rings().entrySet()) {
                json.writeStringField(ring.getKey(), ring.getValue());
            }
            json.writeEndObject();
            writeRequests(json, report);
            json.writeNumberField("translations", report.accesses().translations());
            json.writeNumberField("bytesTranslated", report.accesses().translatedBytes());
            json.writeNumberField(
                    "translationsAbove4GiB", report.accesses().translationsAbove4GiB());
            json.writeNumberField("identity", report.accesses().identity());
            json.writeNumberField("bytesIdentity", report.accesses().identityBytes());
            writeBypassed(json, report);
            json.writeNumberField("bytesVerified", report.bytesVerified());
            if (report.guestTables().isPresent()) {
                writeNested(json, report, report.guestTables().get());
            }
            if (report.network().isPresent()) {
                writeNetwork(json, report.network().get());
            }
            json.writeNumberField("faults", report.faults());
            json.writeStringField("seed", "0x%016x".formatted(report.seed()));
            json.writeObjectFieldStart("steps");
            for (Map.Entry<String, Double> step : report.steps().entrySet()) {
                json.writeNumberField(step.getKey(), step.getValue());
            }
            json.writeEndObject();
            json.writeNumberField("seconds", report.seconds());
            json.writeEndObject();
        }
        return text + "\n";
    }

    private static void writeRequests(JsonGenerator json, RunReport report) throws IOException {
        json.writeObjectFieldStart("requests");
        for (Map.Entry<RequestType, Map<Status, Long>> type : report.requests().entrySet()) {
            json.writeObjectFieldStart(type.getKey().name());
            for (Map.Entry<Status, Long> status : type.getValue().entrySet()) {
                json.writeNumberField(status.getKey().name(), status.getValue());
            }
            json.writeEndObject();
        }
        json.writeNumberField("unanswered", report.unanswered());
        json.writeEndObject();
    }

    private static void writeNested(JsonGenerator json, RunReport report, GuestTableCounts tables)
            throws IOException {
        json.writeObjectFieldStart("nested");
        json.writeNumberField("tables", tables.made());
        json.writeNumberField("attachments", tables.attachments());
        json.writeNumberField("nativeInvalidations", tables.nativeEntries());
        json.writeNumberField("accesses", report.accesses().walked());
        json.writeNumberField("walks", tables.walks());
        json.writeEndObject();
    }

    private static void writeNetwork(JsonGenerator json, RunReport.NetworkReport network)
            throws IOException {
        json.writeObjectFieldStart("network");
        json.writeNumberField("bytesDown", network.downBytes());
        json.writeNumberField("bytesUp", network.upBytes());
        json.writeNumberField("framesReceived", network.frames().received());
        json.writeNumberField("framesSent", network.frames().sent());
        json.writeNumberField("overrun", network.frames().overrun());
        json.writeNumberField("lost", network.frames().lost());
        json.writeNumberField("seconds", network.exchangeSeconds());
        json.writeEndObject();
    }

    private static void writeBypassed(JsonGenerator json, RunReport report) throws IOException {
        json.writeObjectFieldStart("bypassed");
        for (RunReport.DeviceReport device : report.devices()) {
            EndpointCounts accesses = device.accesses();
            json.writeObjectFieldStart(device.name());
            json.writeNumberField("total", accesses.bypassed());
            json.writeNumberField("afterAttach", accesses.bypassedAfterAttach());
            json.writeEndObject();
        }
        json.writeEndObject();
    }
}
