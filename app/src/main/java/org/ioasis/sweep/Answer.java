// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serializable;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What one design would have done with one trace. Immutable.
 *
 * @param trace its name
 * @param nanos that the trace lasts
 * @param accesses to buffers in it
 */
public record Answer(
        String trace, Trace.Notes notes, long nanos, long accesses, Design design, Figures figures)
        implements Serializable {

    /** All of it by the names that reports have: text, {@link Long} or {@link Double}, in order. */
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("trace", trace);
        fields.put("format", design.format().toString());
        fields.put("granule", design.granule());
        fields.put("flush", design.flush().toString());
        fields.put("iotlb", (long) design.iotlb());
        fields.put("translations", figures.translations());
        fields.put("hits", figures.hits());
        fields.put("hit_rate", figures.hitRate());
        fields.put("evictions", figures.evictions());
        fields.put("translations_per_second", figures.translationsPerSecond());
        fields.put("pages", figures.pages());
        fields.put("table_bytes_max", figures.tableBytesMax());
        fields.put("unmaps", figures.unmaps());
        fields.put("invalidations", figures.invalidations());
        fields.put("buffers_unmapped", figures.reach().buffers());
        fields.put("buffers_reachable", figures.reach().reachable());
        fields.put("reachable_median_ns", figures.reach().median());
        fields.put("reachable_p99_ns", figures.reach().p99());
        fields.put("reachable_max_ns", figures.reach().max());
        fields.put("refused_maps", figures.refusedMaps());
        fields.put("skipped_accesses", figures.skipped());
        fields.put("trace_ns", nanos);
        fields.put("trace_rows", notes.rows());
        fields.put("trace_accesses", accesses);
        fields.put("trace_refused_requests", notes.refused());
        fields.put("trace_faults", notes.faults());
        fields.put("trace_outside", notes.outside());
        fields.put("trace_lost", notes.lost());
        return fields;
    }
}
