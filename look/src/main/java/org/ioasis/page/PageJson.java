// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.live.Diagnosis;
import org.ioasis.live.DumpJson;
import org.ioasis.live.Entry;
import org.ioasis.live.EntryLine;
import org.ioasis.live.MachineView;
import org.ioasis.memory.Ranges;
import org.ioasis.virtio.iommu.Injection;
import org.ioasis.virtio.iommu.IommuRequest;
import org.ioasis.web.WebCounts;

/**
 * What the page is told, as JSON without line breaks; addresses are hexadecimal strings. Any
 * thread.
 */
final class PageJson {
    private PageJson() {}

    /** Writes fields of an object. */
    private interface Fields {
        void write(JsonGenerator json) throws IOException;
    }

    private static String object(Fields fields) {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = DumpJson.FACTORY.createGenerator(text)) {
            json.writeStartObject();
            fields.write(json);
            json.writeEndObject();
        } catch (IOException e) {
            throw new IllegalStateException("writing to memory failed", e);
        }
        return text.toString();
    }

    /**
     * The machines at one moment, what is wrong with them, and what the server of the page does.
     */
    static String state(List<MachineView> machines, WebCounts web, long lost) {
        return object(json -> {
            json.writeArrayFieldStart("machines");
            for (MachineView machine : machines) {
                DumpJson.write(json, machine);
            }
            json.writeEndArray();
            DumpJson.write(json, Diagnosis.of(machines));
            json.writeArrayFieldStart("injections");
            for (String name : Injection.NAMES) {
                json.writeString(name);
            }
            json.writeEndArray();
            json.writeNumberField("lost", lost);
            json.writeNumberField("eventsSkipped", web.eventsSkipped());
        });
    }

    /**
     * One message of the stream.
     *
     * @param state as {@link #state} has written it, or empty
     */
    static String message(
            String state,
            Map<String, List<Rates.Sample>> samples,
            List<Watch.Numbered> requests,
            List<Watch.Numbered> faults) {
        return object(json -> {
            if (!state.isEmpty()) {
                json.writeFieldName("state");
                json.writeRawValue(state);
            }
            json.writeObjectFieldStart("samples");
            for (Map.Entry<String, List<Rates.Sample>> one : samples.entrySet()) {
                json.writeArrayFieldStart(one.getKey());
                for (Rates.Sample sample : one.getValue()) {
                    json.writeStartArray();
                    json.writeNumber(sample.millis());
                    json.writeNumber(Math.round(sample.requests()));
                    json.writeNumber(Math.round(sample.translations()));
                    json.writeNumber(Math.round(sample.faults()));
                    json.writeNumber(Math.round(sample.lookupNanos()));
                    json.writeNumber(Math.round(sample.answers().mean()));
                    json.writeNumber(Math.round(sample.answers().max()));
                    json.writeEndArray();
                }
                json.writeEndArray();
            }
            json.writeEndObject();
            write(json, "requests", requests);
            write(json, "faults", faults);
        });
    }

    private static void write(JsonGenerator json, String name, List<Watch.Numbered> entries)
            throws IOException {
        json.writeArrayFieldStart(name);
        for (Watch.Numbered one : entries) {
            json.writeStartObject();
            json.writeNumberField("number", one.number());
            EntryLine.write(json, one.timed());
            String text =
                    one.timed().entry() instanceof Entry.Answered answered
                            ? answered.request().toString()
                            : EntryLine.what(one.timed().entry());
            json.writeStringField("text", text);
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    /**
     * A part of a domain's address space.
     *
     * @param endpoints that are attached to it
     */
    static String map(
            DomainMap map,
            Set<Integer> endpoints,
            List<Watch.Numbered> unmaps,
            List<Watch.Numbered> faults) {
        return object(json -> {
            json.writeBooleanField("there", map.isThere);
            json.writeBooleanField("complete", map.isComplete);
            json.writeStringField("first", DumpJson.hex(map.first));
            json.writeStringField("last", DumpJson.hex(map.last));
            json.writeStringField("width", DumpJson.hex(map.width()));
            json.writeStringField("granule", DumpJson.hex(map.granule));
            json.writeNumberField("visited", map.visited);
            json.writeNumberField("slices", map.slices);
            json.writeNumberField("runCount", map.runCount);
            json.writeArrayFieldStart("buckets");
            for (int i = 0; i < map.buckets(); i++) {
                DomainMap.Bucket bucket = map.bucket(i);
                if (bucket.mappings() > 0 || bucket.bytes() > 0) {
                    json.writeStartArray();
                    json.writeNumber(i);
                    json.writeNumber(bucket.bytes());
                    json.writeNumber(bucket.flags());
                    json.writeNumber(bucket.mappings());
                    json.writeEndArray();
                }
            }
            json.writeEndArray();
            json.writeArrayFieldStart("runs");
            for (DomainMap.Run run : map.runs) {
                json.writeStartArray();
                json.writeString(DumpJson.hex(run.first()));
                json.writeString(DumpJson.hex(run.last()));
                json.writeString(DumpJson.hex(run.output()));
                json.writeNumber(run.flags());
                json.writeNumber(run.mappings());
                json.writeEndArray();
            }
            json.writeEndArray();
            json.writeArrayFieldStart("reserved");
            for (ReservedRegion region : map.reserved) {
                if (Ranges.overlap(region.first(), region.last(), map.first, map.last)) {
                    json.writeStartArray();
                    json.writeString(DumpJson.hex(region.first()));
                    json.writeString(DumpJson.hex(region.last()));
                    json.writeString(region.kind().name());
                    json.writeEndArray();
                }
            }
            json.writeEndArray();
            json.writeArrayFieldStart("unmapped");
            for (Watch.Numbered one : unmaps) {
                if (one.timed().entry() instanceof Entry.Answered answered
                        && answered.request()
                                instanceof IommuRequest.Unmap(int domain, long first, long last)
                        && domain == map.domain
                        && Ranges.overlap(first, last, map.first, map.last)) {
                    json.writeStartArray();
                    json.writeString(DumpJson.hex(first));
                    json.writeString(DumpJson.hex(last));
                    json.writeString(one.timed().time().toString());
                    json.writeEndArray();
                }
            }
            json.writeEndArray();
            json.writeArrayFieldStart("faulted");
            for (Watch.Numbered one : faults) {
                if (one.timed().entry() instanceof Entry.Refused(Fault fault, String _)
                        && endpoints.contains(fault.endpoint())
                        && Ranges.holds(map.first, map.last, fault.address())) {
                    json.writeStartArray();
                    json.writeString(DumpJson.hex(fault.address()));
                    json.writeString(EntryLine.what(one.timed().entry()));
                    json.writeEndArray();
                }
            }
            json.writeEndArray();
        });
    }

    /** An answer in words. */
    static String words(boolean isFine, String text) {
        return object(json -> {
            json.writeBooleanField("ok", isFine);
            json.writeStringField("text", text.strip());
        });
    }
}
