// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.record.Event;
import org.ioasis.record.Row;

/** Rows of a recording as a machine would have made them. One thread. */
final class Rows {
    static final int READ = 1;
    static final int WRITE = 2;

    final List<Row> all = new ArrayList<>();
    private long time;

    Rows attach(int endpoint, int domain) {
        return request(Event.ATTACH, domain, row -> row.endpoint(endpoint));
    }

    Rows detach(int endpoint, int domain) {
        return request(Event.DETACH, domain, row -> row.endpoint(endpoint));
    }

    Rows map(int domain, long first, long last, long output, int flags) {
        return request(
                Event.MAP,
                domain,
                row -> {
                    row.range(first, last);
                    row.output(output);
                    row.flags(flags);
                });
    }

    Rows unmap(int domain, long first, long last) {
        return request(Event.UNMAP, domain, row -> row.range(first, last));
    }

    Rows access(int domain, long first, long last, int flags) {
        return add(
                Event.ACCESS,
                row -> {
                    row.endpoint(1);
                    row.domain(domain);
                    row.range(first, last);
                    row.flags(flags);
                });
    }

    Rows after(long nanos) {
        time += nanos;
        return this;
    }

    Rows request(Event event, int domain, Consumer<Row> more) {
        return add(
                event,
                row -> {
                    row.domain(domain);
                    row.status("OK");
                    more.accept(row);
                });
    }

    Rows add(Event event, Consumer<Row> more) {
        return add(event, "machine/iommu0", more);
    }

    Rows add(Event event, String iommu, Consumer<Row> more) {
        Row row = new Row();
        row.begin(all.size(), time, event, iommu);
        more.accept(row);
        all.add(row);
        return this;
    }

    Trace trace() throws TraceException {
        return trace(new TraceBuilder());
    }

    Trace trace(TraceBuilder builder) throws TraceException {
        for (Row row : all) {
            builder.add(row);
        }
        return builder.build();
    }
}
