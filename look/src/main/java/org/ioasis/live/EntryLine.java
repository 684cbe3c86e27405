// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.machine.Machine;
import org.ioasis.virtio.iommu.IommuRequest;

/** How an entry is written: as a line of text, or as JSON. Any thread. */
public final class EntryLine {
    private EntryLine() {}

    static String text(Entry.Timed timed) {
        return timed.time() + " " + timed.who() + " " + what(timed.entry());
    }

    /** For people. */
    public static String what(Entry entry) {
        return switch (entry) {
            case Entry.Begun() -> "begun";
            case Entry.Started(long features) -> "started, features 0x%x".formatted(features);
            case Entry.Reset() -> "reset";
            case Entry.Answered(IommuRequest request, Status status, String why) ->
                    "%s -> %s%s"
                            .formatted(
                                    request,
                                    status == null ? "given back" : status,
                                    why.isEmpty() ? "" : ": " + why);
            case Entry.Waits(IommuRequest request) -> request + " waits";
            case Entry.Refused(Fault fault, String cause) ->
                    "fault: %s%s"
                            .formatted(
                                    Machine.describe(fault),
                                    cause.isEmpty() ? "" : "; before: " + cause);
            case Entry.FaultsLeftOut(long count) ->
                    "%d more accesses were refused, faster than they are told of".formatted(count);
            case Entry.Delivered(Fault fault) -> "event: " + Machine.describe(fault);
            case Entry.Injected(String injected) -> "injected: " + injected;
            case Entry.Lost(long count) ->
                    "%d entries are lost: more happened than could be written".formatted(count);
            case Entry.Full(long limit) ->
                    "the limit of %d bytes is reached: what follows is only counted"
                            .formatted(limit);
            case Entry.LeftOut(long count) ->
                    "%d entries came after the limit was reached".formatted(count);
        };
    }

    static String json(Entry.Timed timed) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = DumpJson.FACTORY.createGenerator(text)) {
            json.writeStartObject();
            write(json, timed);
            json.writeEndObject();
        }
        return text.toString();
    }

    /** The fields of an entry, in an object that is begun. */
    public static void write(JsonGenerator json, Entry.Timed timed) throws IOException {
        json.writeStringField("time", timed.time().toString());
        json.writeStringField("iommu", timed.who());
        switch (timed.entry()) {
            case Entry.Begun() -> json.writeStringField("kind", "begun");
            case Entry.Started(long features) -> {
                json.writeStringField("kind", "started");
                json.writeStringField("features", DumpJson.hex(features));
            }
            case Entry.Reset() -> json.writeStringField("kind", "reset");
            case Entry.Answered(IommuRequest request, Status status, String why) -> {
                json.writeStringField("kind", "request");
                write(json, request);
                json.writeStringField("status", status == null ? "" : status.name());
                json.writeStringField("why", why);
            }
            case Entry.Waits(IommuRequest request) -> {
                json.writeStringField("kind", "waits");
                write(json, request);
            }
            case Entry.Refused(Fault fault, String cause) -> {
                json.writeStringField("kind", "fault");
                DumpJson.writeFault(json, fault);
                json.writeStringField("before", cause);
            }
            case Entry.FaultsLeftOut(long count) -> {
                json.writeStringField("kind", "faults left out");
                json.writeNumberField("count", count);
            }
            case Entry.Delivered(Fault fault) -> {
                json.writeStringField("kind", "event");
                DumpJson.writeFault(json, fault);
            }
            case Entry.Injected(String what) -> {
                json.writeStringField("kind", "injected");
                json.writeStringField("what", what);
            }
            case Entry.Lost(long count) -> {
                json.writeStringField("kind", "lost");
                json.writeNumberField("count", count);
            }
            case Entry.Full(long limit) -> {
                json.writeStringField("kind", "full");
                json.writeNumberField("limit", limit);
            }
            case Entry.LeftOut(long count) -> {
                json.writeStringField("kind", "left out");
                json.writeNumberField("count", count);
            }
        }
    }

    private static void write(JsonGenerator json, IommuRequest request) throws IOException {
        json.writeStringField("type", request.type().name());
        switch (request) {
            case IommuRequest.Attach(int endpoint, int domain, int flags) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeNumberField("flags", Integer.toUnsignedLong(flags));
            }
            case IommuRequest.Detach(int endpoint, int domain) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
            }
            case IommuRequest.Map(int domain, long first, long last, long output, int flags) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("virt_end", DumpJson.hex(last));
                json.writeStringField("phys_start", DumpJson.hex(output));
                json.writeNumberField("flags", Integer.toUnsignedLong(flags));
            }
            case IommuRequest.Unmap(int domain, long first, long last) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("virt_end", DumpJson.hex(last));
            }
            case IommuRequest.Probe(int endpoint) ->
                    json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
            case IommuRequest.AttachTable(
                            int endpoint,
                            int pasid,
                            int domain,
                            int format,
                            long root,
                            int width) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("pasid", pasid);
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeNumberField("format", format);
                json.writeStringField("table", DumpJson.hex(root));
                json.writeNumberField("width", Integer.toUnsignedLong(width));
            }
            case IommuRequest.Invalidate(int domain, int scope, long first, long pages) -> {
                json.writeNumberField("domain", Integer.toUnsignedLong(domain));
                json.writeNumberField("scope", scope);
                json.writeStringField("virt_start", DumpJson.hex(first));
                json.writeStringField("pages", DumpJson.hex(pages));
            }
            case IommuRequest.PageResponse(int endpoint, int pasid, int group, int code) -> {
                json.writeNumberField("endpoint", Integer.toUnsignedLong(endpoint));
                json.writeNumberField("pasid", pasid);
                json.writeNumberField("group", Integer.toUnsignedLong(group));
                json.writeNumberField("code", code);
            }
            case IommuRequest.Unknown(int head, long readable, long writable) -> {
                json.writeNumberField("head", head);
                json.writeNumberField("readable", readable);
                json.writeNumberField("writable", writable);
            }
        }
    }
}
