// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Ranges;

/**
 * A part of a domain's address space as so many buckets: what of each is mapped, and the first runs
 * one by one. The mappings are visited on the machine's loop, so many at a time, and between two
 * such slices the loop does what else it has to do; what changes meanwhile is seen or not. One
 * thread, which waits.
 */
final class DomainMap {
    /** Mappings that are visited before the loop goes on. */
    static final int SLICE = 1024;

    /** Mappings that are visited for one answer: as many as an IOMMU usually allows, twice. */
    static final long VISITED_MAX = 1L << 21;

    /** A width of 2^64 bytes is none. */
    static final int BUCKETS_MIN = 2;

    static final int BUCKETS_MAX = 1024;

    /** Runs that are told one by one. */
    static final int RUNS_MAX = 256;

    /** Neighbouring mappings with equal flags and continuing output; both ends inclusive. */
    record Run(long first, long last, long output, int flags, long mappings) {}

    /** What is mapped of one bucket: bytes, with all their flags, of so many mappings. */
    record Bucket(double bytes, int flags, int mappings) {}

    final long first;
    final long last;
    final int domain;
    private final IommuUnit unit;

    // What the buckets have in common: the width of all but the last. Whole granules, since nothing
    // smaller is mapped; known when the domain is first looked at.
    private long width;
    private final double[] bytes;
    private final int[] flags;
    private final int[] mappings;

    final List<Run> runs = new ArrayList<>();
    long runCount;
    long visited;
    long slices;
    long granule;
    List<ReservedRegion> reserved = List.of();
    boolean isThere;
    boolean isComplete;

    // The run that may go on in the next mapping.
    private boolean hasRun;
    private long runFirst;
    private long runLast;
    private long runOutput;
    private int runFlags;
    private long runMappings;

    private long at;

    private DomainMap(IommuUnit unit, int domain, long first, long last, int buckets) {
        this.unit = unit;
        this.domain = domain;
        this.first = first;
        this.last = last;
        width = Long.divideUnsigned(last - first, buckets) + 1;
        bytes = new double[buckets];
        flags = new int[buckets];
        mappings = new int[buckets];
        at = first;
    }

    /**
     * Looks at {@code first..last} of a domain.
     *
     * @param buckets {@link #BUCKETS_MIN} to {@link #BUCKETS_MAX}; of a small part fewer are used
     */
    static DomainMap of(
            Machine machine, IommuUnit unit, int domain, long first, long last, int buckets) {
        DomainMap map = new DomainMap(unit, domain, first, last, buckets);
        boolean goesOn = true;
        while (goesOn) {
            boolean[] more = {false};
            goesOn = machine.onLoop(() -> more[0] = map.slice()) && more[0];
        }
        map.endRun();
        return map;
    }

    /** The lowest and the highest mapped address of a domain; empty if nothing is mapped. */
    static long[] extent(Machine machine, IommuUnit unit, int domain) {
        List<Long> ends = new ArrayList<>();
        boolean _ =
                machine.onLoop(() -> {
                    PagingDomain paging = unit.engine().findPaging(domain);
                    if (paging != null && paging.translation() instanceof MappingStore store) {
                        boolean _ = store.nearest(0, (from, _, _, _) -> ends.add(from));
                        boolean _ = store.nearest(-1L, (_, to, _, _) -> ends.add(to));
                    }
                });
        return ends.size() == 2 ? new long[] {ends.get(0), ends.get(1)} : new long[0];
    }

    /** Visits some more; false if that was all. Loop thread. */
    private boolean slice() {
        PagingDomain paging = unit.engine().findPaging(domain);
        isThere = paging != null;
        if (paging == null || visited >= VISITED_MAX) {
            return false;
        }
        if (slices++ == 0) {
            granule = paging.granule();
            width = (width + granule - 1) & -granule;
        }
        reserved = paging.reserved().regions();
        long before = visited;
        boolean[] isFull = {false};
        paging.mappings(
                at,
                last,
                (from, to, output, kind) -> {
                    add(from, to, output, kind);
                    at = to + 1;
                    isFull[0] = ++visited - before == SLICE;
                    return !isFull[0];
                });
        boolean isOver = !isFull[0] || at == 0 || Ranges.isBelow(last, at);
        isComplete = isOver;
        return !isOver;
    }

    private void add(long from, long to, long output, int kind) {
        boolean continues =
                hasRun
                        && runFlags == kind
                        && runLast + 1 == from
                        && runOutput + (from - runFirst) == output;
        if (continues) {
            runLast = to;
            runMappings++;
        } else {
            endRun();
            hasRun = true;
            runFirst = from;
            runLast = to;
            runOutput = output;
            runFlags = kind;
            runMappings = 1;
        }
        long low = Ranges.isBelow(from, first) ? first : from;
        long high = Ranges.isBelow(last, to) ? last : to;
        int bucket = (int) Long.divideUnsigned(low - first, width);
        mappings[bucket]++;
        while (true) {
            // Its end may lie beyond the last address, but not its beginning.
            long begin = first + bucket * width;
            boolean isLast = !Ranges.isBelow(width - 1, high - begin);
            long until = isLast ? high : begin + (width - 1);
            bytes[bucket] += unsigned(until - low) + 1;
            flags[bucket] |= kind;
            if (isLast) {
                return;
            }
            low = until + 1;
            bucket++;
        }
    }

    private void endRun() {
        if (hasRun) {
            runCount++;
            if (runs.size() < RUNS_MAX) {
                runs.add(new Run(runFirst, runLast, runOutput, runFlags, runMappings));
            }
            hasRun = false;
        }
    }

    private static double unsigned(long value) {
        return value >= 0 ? value : (value >>> 1) * 2.0 + (value & 1);
    }

    int buckets() {
        return bytes.length;
    }

    /** Bytes of a bucket but the last, which may be shorter. */
    long width() {
        return width;
    }

    Bucket bucket(int index) {
        return new Bucket(bytes[index], flags[index], mappings[index]);
    }
}
