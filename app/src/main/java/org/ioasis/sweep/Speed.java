// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.iommu.pagetable.Walk;
import org.ioasis.iova.IovaAllocator;
import org.ioasis.sweep.Trace.Operations;
import org.jspecify.annotations.Nullable;

/**
 * How fast a design translates: the accesses of a few windows of a trace, over and over, with all
 * that a window accesses mapped and an IOTLB of its own. Among the requests that come between them
 * a clock would measure itself. One thread.
 */
final class Speed {
    private static final int WINDOW = 1 << 11;
    private static final int WINDOWS_MAX = 8;
    private static final long WARM_NANOS = 2_000_000;
    private static final long WINDOW_NANOS = 500_000;
    private static final int MEASUREMENTS = 4;
    static final long TABLES_MAX = 1L << 26;
    private static final long LEAVES_MAX = 1L << 20;

    private final Trace trace;
    private final Design design;
    private final TableArena arena = Simulation.arena(TABLES_MAX);
    private final @Nullable Iotlb tlb;
    private final Walk walk = new Walk();
    private final Map<Integer, DomainTables> domains = new HashMap<>();
    private final Map<Integer, Long> bases = new HashMap<>();

    private final DomainTables[] wheres = new DomainTables[WINDOW];
    private final long[] addresses = new long[WINDOW];
    private final int[] accesses = new int[WINDOW];
    private int count;

    private Speed(Trace trace, Design design) {
        this.trace = trace;
        this.design = design;
        this.tlb = design.iotlb() == 0 ? null : new Iotlb(design.iotlb());
    }

    /** Translations in a second: the median of the windows; 0 if there is nothing to translate. */
    static double perSecond(Trace trace, Design design) {
        int all = trace.accesses();
        int windows = Math.min(WINDOWS_MAX, (all + WINDOW - 1) / WINDOW);
        double[] speeds = new double[windows];
        int measured = 0;
        for (int i = 0; i < windows; i++) {
            Speed window = new Speed(trace, design);
            window.take((int) ((long) all * i / windows));
            if (window.count > 0) {
                speeds[measured++] = window.measure();
            }
        }
        double[] sorted = Arrays.copyOf(speeds, measured);
        Arrays.sort(sorted);
        return measured == 0 ? 0 : sorted[measured / 2];
    }

    /** Maps what a window accesses, from the access of that number on. */
    private void take(int from) {
        Operations operations = trace.operations();
        int number = 0;
        for (int i = 0; i < operations.count() && number < from + WINDOW; i++) {
            byte kind = operations.kinds[i];
            if (kind != Trace.READ && kind != Trace.WRITE) {
                continue;
            }
            if (number++ >= from) {
                int access = kind == Trace.READ ? Rights.READ : Rights.WRITE;
                take(operations.subjects[i], operations.offsets[i], access);
            }
        }
    }

    private void take(int buffer, long offset, int access) {
        int index = trace.buffers().domains[buffer];
        DomainTables domain = domain(index);
        if (domain == null) {
            return;
        }
        long base = bases.computeIfAbsent(buffer, _ -> map(domain, buffer));
        if (base != IovaAllocator.NONE) {
            wheres[count] = domain;
            addresses[count] = base + offset;
            accesses[count] = access;
            count++;
        }
    }

    /** Null if there is no room for its top table. */
    private @Nullable DomainTables domain(int index) {
        DomainTables known = domains.get(index);
        PageTableFormat format = design.format().format(design.granuleLg2());
        if (known != null || !PageTable.fits(format, arena)) {
            return known;
        }
        DomainTables made = new DomainTables(index, design, PageTable.create(format, arena));
        domains.put(index, made);
        return made;
    }

    /** Where the buffer is, or {@link IovaAllocator#NONE}. */
    private long map(DomainTables domain, int buffer) {
        Trace.Buffers buffers = trace.buffers();
        long first = buffers.granules(buffer, design.granule());
        long bytesLess1 = buffers.granulesLast(buffer, design.granule());
        long iova = domain.allocate(first, bytesLess1);
        if (iova == IovaAllocator.NONE
                || domain.leaves(iova, first, bytesLess1) > LEAVES_MAX
                || !domain.map(iova, first, bytesLess1, buffers.rights[buffer])) {
            return IovaAllocator.NONE;
        }
        return iova + (buffers.outputs[buffer] - first);
    }

    /** The fastest of a few measurements: what else the machine does only makes it slower. */
    private double measure() {
        // The IOTLB is filled, and the compiler has seen the walk.
        double _ = perSecond(WARM_NANOS);
        double best = 0;
        for (int i = 0; i < MEASUREMENTS; i++) {
            best = Math.max(best, perSecond(WINDOW_NANOS));
        }
        return best;
    }

    private double perSecond(long nanos) {
        long done = 0;
        long began = System.nanoTime();
        long taken;
        do {
            translate();
            done += count;
            taken = System.nanoTime() - began;
        } while (taken < nanos);
        return done * 1e9 / taken;
    }

    private void translate() {
        for (int i = 0; i < count; i++) {
            DomainTables domain = wheres[i];
            long found = tlb == null ? Iotlb.NONE : tlb.find(domain.tag, addresses[i]);
            if (found == Iotlb.NONE || (accesses[i] & ~Iotlb.rights(found)) != 0) {
                domain.walk(addresses[i], accesses[i], tlb, walk);
            }
        }
    }
}
