// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.ioasis.iommu.Status;

/**
 * What is in a recording: one look at each row, and no more memory for a long one than for a short
 * one. One thread.
 */
public final class Summary {
    /** Parts of the time that are counted by themselves. */
    static final int TIMES = 64;

    /** Of the smallest of these, as a power of two of nanoseconds: a millisecond. */
    private static final int LG2_TIME = 20;

    /** Powers of two of bytes. */
    static final int SIZES = 65;

    /** Endpoints that are told apart, and domains. */
    private static final int ENDPOINTS_MAX = 1024;

    private static final int DOMAINS_MAX = 1 << 16;

    /** What is counted over time. */
    enum Curve {
        REQUESTS,
        ACCESSES,
        FAULTS
    }

    /** What one endpoint did. */
    static final class Endpoint {
        private long reads;
        private long writes;
        private long readBytes;
        private long writtenBytes;
        private long faults;

        long reads() {
            return reads;
        }

        long writes() {
            return writes;
        }

        long readBytes() {
            return readBytes;
        }

        long writtenBytes() {
            return writtenBytes;
        }

        long faults() {
            return faults;
        }
    }

    private final Path file;
    private final Map<String, String> about = new TreeMap<>();
    private final Map<Event, Long> events = new EnumMap<>(Event.class);
    private final Map<String, Long> refusals = new TreeMap<>();
    private final Map<String, Endpoint> endpoints = new TreeMap<>();
    private final Set<String> domains = new HashSet<>();
    private final long[] sizes = new long[SIZES];
    private final Map<Curve, long[]> curves = new EnumMap<>(Curve.class);
    private int lg2Time = LG2_TIME;
    private long rows;
    private long nanos;
    private long lost;

    private Summary(Path file) {
        this.file = file;
    }

    /**
     * Reads a recording.
     *
     * @throws IOException it cannot be read, or is none
     */
    public static Summary of(Path file) throws IOException {
        Summary summary = new Summary(file);
        try (RowFiles.Reader reader = RowFiles.found().open(file)) {
            summary.about.putAll(reader.about());
            Row row = new Row();
            while (reader.next(row)) {
                summary.add(row);
            }
        }
        return summary;
    }

    private void add(Row row) {
        rows++;
        nanos = Math.max(nanos, row.time());
        lost += row.lost();
        events.merge(row.event(), 1L, Long::sum);
        if (row.domain() != Row.NONE && domains.size() < DOMAINS_MAX) {
            domains.add(row.iommu() + " " + row.domain());
        }
        switch (row.event()) {
            case MAP, UNMAP, ATTACH, DETACH, TABLE -> {
                count(Curve.REQUESTS, row.time());
                boolean isDone = Status.OK.name().equals(row.status());
                if (!isDone) {
                    refusals.merge(row.event() + " " + row.status(), 1L, Long::sum);
                } else if (row.event() == Event.MAP) {
                    sizes[lg2(row.length())]++;
                }
            }
            case ACCESS -> {
                count(Curve.ACCESSES, row.time());
                Endpoint its = endpoint(row);
                if ((row.flags() & 1) != 0) {
                    its.reads++;
                    its.readBytes += row.length();
                } else {
                    its.writes++;
                    its.writtenBytes += row.length();
                }
            }
            case FAULT -> {
                count(Curve.FAULTS, row.time());
                endpoint(row).faults++;
            }
            case BYPASS, RESET, START, STOP, LOST -> {
                // Counted above.
            }
        }
    }

    private Endpoint endpoint(Row row) {
        String name = "%s 0x%x".formatted(row.iommu(), row.endpoint());
        Endpoint known = endpoints.get(name);
        if (known != null) {
            return known;
        }
        return endpoints.computeIfAbsent(
                endpoints.size() < ENDPOINTS_MAX ? name : "others", _ -> new Endpoint());
    }

    /** The power of two at or above a length, of which 0 is all of the address space. */
    private static int lg2(long length) {
        return length == 0 ? Long.SIZE : Long.SIZE - Long.numberOfLeadingZeros(length - 1);
    }

    private void count(Curve curve, long time) {
        long at = Math.max(0, time);
        while (at >>> lg2Time >= TIMES) {
            // Twice as long: two become one.
            for (long[] counts : curves.values()) {
                for (int i = 0; i < TIMES; i++) {
                    int from = 2 * i;
                    counts[i] = from < TIMES ? counts[from] + counts[from + 1] : 0;
                }
            }
            lg2Time++;
        }
        counts(curve)[(int) (at >>> lg2Time)]++;
    }

    Path file() {
        return file;
    }

    Map<String, String> about() {
        return about;
    }

    /** Rows. */
    public long rows() {
        return rows;
    }

    /** Rows that are missing. */
    public long lost() {
        return lost;
    }

    /** From the beginning of the recording to its last row. */
    long nanos() {
        return nanos;
    }

    /** How many rows there are of a kind. */
    public long count(Event event) {
        return events.getOrDefault(event, 0L);
    }

    /** Requests that were not answered OK, by what they were and the answer. */
    Map<String, Long> refusals() {
        return refusals;
    }

    /** By IOMMU and id. */
    Map<String, Endpoint> endpoints() {
        return endpoints;
    }

    int domains() {
        return domains.size();
    }

    /** How many MAPs were of a size, by the power of two at or above it. */
    long[] sizes() {
        return sizes.clone();
    }

    /** Nanoseconds of each number of a curve. */
    long curveNanos() {
        return 1L << lg2Time;
    }

    /** How often it happened in each part of the time, up to the end of the recording. */
    long[] curve(Curve curve) {
        int length = (int) Math.min(TIMES, (Math.max(0, nanos) >>> lg2Time) + 1);
        return Arrays.copyOf(counts(curve), length);
    }

    private long[] counts(Curve curve) {
        return curves.computeIfAbsent(curve, _ -> new long[TIMES]);
    }
}
