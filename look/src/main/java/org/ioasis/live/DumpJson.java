// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.live.MachineView.DeviceView;
import org.ioasis.live.MachineView.EndpointView;
import org.ioasis.live.MachineView.IommuView;
import org.ioasis.live.MachineView.PresentView;
import org.ioasis.loop.LoopCounts;
import org.ioasis.peer.ServedInfo;
import org.ioasis.virtio.iommu.RequestType;

/** Machines and findings as JSON for scripts; addresses are hexadecimal strings. Any thread. */
public final class DumpJson {
    public static final JsonFactory FACTORY = new JsonFactory();

    private DumpJson() {}

    static String of(List<MachineView> machines) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = FACTORY.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            json.writeArrayFieldStart("machines");
            for (MachineView machine : machines) {
                write(json, machine);
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        return text + "\n";
    }

    /** One machine, an object. */
    public static void write(JsonGenerator json, MachineView machine) throws IOException {
        json.writeStartObject();
        json.writeStringField("name", machine.name());
        json.writeBooleanField("answers", machine.answers());
        json.writeNumberField("internalFailures", machine.internalFailures());
        json.writeStringField("loop", machine.loop());
        write(json, machine.counts());
        json.writeArrayFieldStart("iommus");
        for (IommuView iommu : machine.iommus()) {
            write(json, iommu);
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, LoopCounts counts) throws IOException {
        json.writeObjectFieldStart("loopCounts");
        json.writeNumberField("turns", counts.turns());
        json.writeNumberField("waits", counts.waits());
        json.writeNumberField("sleeps", counts.sleeps());
        json.writeNumberField("events", counts.events());
        json.writeNumberField("tasks", counts.tasks());
        json.writeNumberField("signals", counts.signals());
        json.writeNumberField("timers", counts.timers());
        json.writeNumberField("looks", counts.looks());
        json.writeNumberField("finds", counts.finds());
        json.writeNumberField("rests", counts.rests());
        json.writeNumberField("crowded", counts.crowded());
        json.writeNumberField("niceness", counts.niceness());
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, IommuView iommu) throws IOException {
        json.writeStartObject();
        json.writeStringField("name", iommu.name());
        write(json, iommu.server());
        write(json, iommu.device());
        json.writeBooleanField("bypass", iommu.isBypassing());
        json.writeNumberField("domainCount", iommu.domainCount());
        json.writeNumberField("mappingCount", iommu.mappingCount());
        json.writeNumberField("refusedByLimit", iommu.refusedByLimit());
        json.writeObjectFieldStart("requests");
        for (RequestType type : RequestType.values()) {
            Map<Status, Long> byStatus = iommu.requests().get(type);
            if (byStatus != null) {
                json.writeObjectFieldStart(type.name());
                for (Map.Entry<Status, Long> status : byStatus.entrySet()) {
                    json.writeNumberField(status.getKey().name(), status.getValue());
                }
                json.writeEndObject();
            }
        }
        json.writeNumberField("unanswered", iommu.unanswered());
        json.writeEndObject();
        json.writeNumberField("faults", iommu.faults());
        json.writeNumberField("faultsDropped", iommu.faultsDropped());
        json.writeNumberField("eventsDelivered", iommu.eventsDelivered());
        json.writeArrayFieldStart("recentFaults");
        for (Fault fault : iommu.recentFaults()) {
            json.writeStartObject();
            writeFault(json, fault);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeArrayFieldStart("domains");
        for (DomainView domain : iommu.domains()) {
            write(json, domain);
        }
        json.writeEndArray();
        json.writeArrayFieldStart("endpoints");
        for (EndpointView endpoint : iommu.endpoints()) {
            write(json, endpoint);
        }
        json.writeEndArray();
        json.writeNumberField("presentCount", iommu.presentCount());
        json.writeArrayFieldStart("present");
        for (PresentView present : iommu.present()) {
            json.writeStartObject();
            json.writeNumberField("endpoint", present.id());
            json.writeBooleanField("probed", present.wasProbed());
            json.writeNumberField("domain", present.domain());
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    /** Fields of an object that is begun. */
    public static void writeFault(JsonGenerator json, Fault fault) throws IOException {
        json.writeStringField("reason", fault.reason().name());
        json.writeNumberField("endpoint", Integer.toUnsignedLong(fault.endpoint()));
        json.writeStringField("access", fault.access().name());
        json.writeStringField("address", hex(fault.address()));
        json.writeStringField("explanation", fault.explanation());
        json.writeNumberField("count", fault.count());
    }

    /** As addresses are written. */
    public static String hex(long address) {
        return "0x%x".formatted(address);
    }

    private static void write(JsonGenerator json, ServedInfo server) throws IOException {
        json.writeObjectFieldStart("session");
        json.writeStringField("socket", server.socket().toString());
        json.writeBooleanField("connected", server.hasClient());
        json.writeNumberField("sessions", server.sessions());
        json.writeNumberField("refused", server.refused());
        json.writeNumberField("regions", server.regions());
        json.writeNumberField("regionsWithoutDescriptor", server.regionsWithoutDescriptor());
        json.writeNumberField("unreachableAccesses", server.unreachableAccesses());
        json.writeNumberField("sharedBytes", server.sharedBytes());
        json.writeNumberField("messages", server.messages());
        json.writeNumberField("receives", server.receives());
        json.writeNumberField("sends", server.sends());
        json.writeNumberField("errors", server.errors());
        json.writeStringField("lastError", server.lastError());
        json.writeStringField("lastEnd", server.lastEnd());
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, DeviceView device) throws IOException {
        json.writeObjectFieldStart("device");
        json.writeNumberField("id", device.id());
        json.writeNumberField("status", device.status());
        json.writeStringField("features", hex(device.features()));
        json.writeStringField(
                "ring", device.isStarted() ? device.ring().name().toLowerCase(Locale.ROOT) : null);
        json.writeStringField("needsReset", device.broken());
        json.writeNumberField("kicks", device.kicks());
        json.writeNumberField("interrupts", device.interrupts());
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, DomainView domain) throws IOException {
        json.writeStartObject();
        json.writeNumberField("id", domain.id());
        json.writeBooleanField("bypass", domain.isBypass());
        json.writeStringField("granule", hex(domain.granule()));
        json.writeArrayFieldStart("endpoints");
        for (int endpoint : domain.endpoints()) {
            json.writeNumber(Integer.toUnsignedLong(endpoint));
        }
        json.writeEndArray();
        json.writeNumberField("mappingCount", domain.mappingCount());
        json.writeArrayFieldStart("mappings");
        for (DomainView.MappingView mapping : domain.mappings()) {
            json.writeStartObject();
            json.writeStringField("first", hex(mapping.first()));
            json.writeStringField("last", hex(mapping.last()));
            json.writeStringField("output", hex(mapping.output()));
            json.writeStringField("flags", DumpText.flags(mapping.flags()));
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, EndpointView endpoint) throws IOException {
        EndpointCounts counts = endpoint.counts();
        json.writeStartObject();
        json.writeStringField("name", endpoint.name());
        json.writeNumberField("endpoint", endpoint.id());
        write(json, endpoint.server());
        DeviceView device = endpoint.device();
        if (device != null) {
            write(json, device);
        }
        json.writeBooleanField("master", endpoint.isMaster());
        json.writeBooleanField("probed", endpoint.wasProbed());
        json.writeNumberField("domain", endpoint.domain());
        json.writeBooleanField("identity", endpoint.isIdentity());
        json.writeNumberField("translations", counts.translations());
        json.writeNumberField("translatedBytes", counts.translatedBytes());
        json.writeNumberField("identityAccesses", counts.identity());
        json.writeNumberField("bypassed", counts.bypassed());
        json.writeNumberField("bypassedAfterAttach", counts.bypassedAfterAttach());
        json.writeNumberField("faults", counts.faults());
        json.writeObjectFieldStart("facts");
        for (Map.Entry<String, String> one : endpoint.facts().entrySet()) {
            json.writeStringField(one.getKey(), one.getValue());
        }
        json.writeEndObject();
        json.writeObjectFieldStart("work");
        for (Map.Entry<String, Long> one : endpoint.work().entrySet()) {
            json.writeNumberField(one.getKey(), one.getValue());
        }
        json.writeEndObject();
        json.writeEndObject();
    }

    static String of(Diagnosis diagnosis) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = FACTORY.createGenerator(text).useDefaultPrettyPrinter()) {
            json.writeStartObject();
            write(json, diagnosis);
            json.writeEndObject();
        }
        return text + "\n";
    }

    /** Whether all is well and each finding: fields of an object that is begun. */
    public static void write(JsonGenerator json, Diagnosis diagnosis) throws IOException {
        json.writeBooleanField("ok", diagnosis.isFine());
        json.writeArrayFieldStart("findings");
        for (Diagnosis.Finding finding : diagnosis.findings()) {
            json.writeStartObject();
            json.writeStringField("device", finding.device());
            json.writeStringField("cause", finding.cause().name());
            json.writeBooleanField("problem", finding.cause().isProblem());
            json.writeStringField("text", finding.text());
            json.writeStringField("remedy", finding.remedy());
            json.writeEndObject();
        }
        json.writeEndArray();
    }
}
