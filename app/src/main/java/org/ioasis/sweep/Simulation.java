// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.util.Arrays;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.iommu.pagetable.Walk;
import org.ioasis.iova.IovaAllocator;
import org.ioasis.sweep.Trace.Buffers;
import org.ioasis.sweep.Trace.Operations;
import org.jspecify.annotations.Nullable;

/**
 * One design, driven through one trace: tables that our formats build, walked by our walker, with
 * our IOTLB before it. What it finds is the same each time, except how fast it was. One thread, no
 * files.
 *
 * <p>Each translation is compared with where its buffer is, so a translation that should be gone
 * cannot improve a figure unseen.
 */
public final class Simulation {
    /** Most bytes of tables; a buffer beyond is refused, as a design would. */
    static final long TABLES_MAX = 1L << 26;

    private static final int PIECE_LG2 = 21;
    private static final long TABLES_AT = 1L << 30;
    private static final long UNMAPPED = -1;
    private static final long NEVER = Long.MAX_VALUE;

    private final Trace trace;
    private final Operations operations;
    private final Buffers buffers;
    private final Design design;
    private final PageTableFormat format;
    private final long granule;
    private final TableArena arena;
    private final @Nullable Iotlb tlb;
    private final Walk walk = new Walk();
    private final @Nullable DomainTables[] domains;
    private final long[] bases;
    private final long[] reached;
    private final Work work;

    private long translations;
    private long hits;
    private long pages;
    private long tableBytesMax;
    private long unmaps;
    private long invalidations;
    private long refusedMaps;
    private long skipped;
    private int reachedCount;

    /** Something went since the last UNMAP was done. */
    private boolean hasRemoved;

    private long flushDue = NEVER;

    private Simulation(Trace trace, Design design, long workMax, long tablesMax) {
        this.trace = trace;
        this.design = design;
        operations = trace.operations();
        buffers = trace.buffers();
        format = design.format().format(design.granuleLg2());
        granule = design.granule();
        arena = arena(tablesMax);
        tlb = design.iotlb() == 0 ? null : new Iotlb(design.iotlb());
        domains = new DomainTables[trace.domains()];
        bases = new long[buffers.count()];
        Arrays.fill(bases, UNMAPPED);
        reached = new long[buffers.count()];
        work = new Work(workMax);
    }

    /**
     * @throws TraceException the trace asks for more than a sweep does
     */
    public static Figures run(Trace trace, Design design) throws TraceException {
        return run(trace, design, Work.MAX, TABLES_MAX);
    }

    static Figures run(Trace trace, Design design, long workMax, long tablesMax)
            throws TraceException {
        return new Simulation(trace, design, workMax, tablesMax).run();
    }

    /** Room for tables, taken when it is needed. */
    static TableArena arena(long limit) {
        return new TableArena(
                bytes -> new long[(int) (bytes / Long.BYTES)], PIECE_LG2, TABLES_AT, limit);
    }

    private Figures run() throws TraceException {
        int count = operations.count();
        for (int i = 0; i < count; i++) {
            long time = operations.times[i];
            if (time >= flushDue) {
                flushOverdue(time);
            }
            if (!operation(i, operations.subjects[i], time)) {
                throw TraceException.at(operations.rows[i], work.refusal());
            }
        }
        long end = count == 0 ? 0 : operations.times[count - 1];
        for (DomainTables domain : domains) {
            if (domain != null) {
                countReached(domain, end);
            }
        }
        return new Figures(
                translations,
                hits,
                tlb == null ? 0 : tlb.evicted(),
                pages,
                tableBytesMax,
                unmaps,
                invalidations,
                refusedMaps,
                skipped,
                reach(),
                Speed.perSecond(trace, design));
    }

    /** Returns false if there was more work in it than is left. */
    private boolean operation(int at, int subject, long time) {
        return switch (operations.kinds[at]) {
            case Trace.MAP -> map(subject);
            case Trace.UNMAP -> unmap(subject, time);
            case Trace.UNMAPPED -> unmapped(subject, time);
            case Trace.END -> end(subject, time);
            case Trace.READ ->
                    access(subject, operations.offsets[at], operations.lengths[at], Rights.READ);
            case Trace.WRITE ->
                    access(subject, operations.offsets[at], operations.lengths[at], Rights.WRITE);
            default -> throw new IllegalStateException("operation " + operations.kinds[at]);
        };
    }

    // Mapping
    // ---------------------------------------------------------------------------------------------

    /** Null if there is no room for its top table. */
    private @Nullable DomainTables domain(int index) {
        DomainTables known = domains[index];
        if (known != null || !PageTable.fits(format, arena)) {
            return known;
        }
        DomainTables made = new DomainTables(index, design, PageTable.create(format, arena));
        domains[index] = made;
        return made;
    }

    private DomainTables existing(int index) {
        DomainTables domain = domains[index];
        if (domain == null) {
            throw new IllegalStateException("domain %d has no tables".formatted(index));
        }
        return domain;
    }

    private long first(int buffer) {
        return buffers.granules(buffer, granule);
    }

    private long bytesLess1(int buffer) {
        return buffers.granulesLast(buffer, granule);
    }

    /** Where the granules of a buffer are. */
    private long iova(int buffer) {
        return bases[buffer] - (buffers.outputs[buffer] - first(buffer));
    }

    private boolean map(int buffer) {
        DomainTables domain = domain(buffers.domains[buffer]);
        long first = first(buffer);
        long bytesLess1 = bytesLess1(buffer);
        long iova = domain == null ? IovaAllocator.NONE : domain.allocate(first, bytesLess1);
        if (domain == null || iova == IovaAllocator.NONE) {
            refusedMaps++;
            return true;
        }
        long wanted = domain.leaves(iova, first, bytesLess1);
        if (!work.take(wanted)) {
            return false;
        }
        if (!domain.map(iova, first, bytesLess1, buffers.rights[buffer])) {
            domain.free(iova, first, bytesLess1);
            refusedMaps++;
            return true;
        }
        pages += wanted;
        bases[buffer] = iova + (buffers.outputs[buffer] - first);
        tableBytesMax = Math.max(tableBytesMax, arena.heldBytes());
        return true;
    }

    // Unmapping
    // ---------------------------------------------------------------------------------------------

    private boolean unmap(int buffer, long time) {
        if (bases[buffer] == UNMAPPED) {
            return true;
        }
        DomainTables domain = existing(buffers.domains[buffer]);
        long iova = iova(buffer);
        long last = iova + bytesLess1(buffer);
        if (!work.take(domain.leaves(iova, first(buffer), last - iova))) {
            return false;
        }
        boolean isCached = !design.flush().isStrict() && isCached(domain, iova, last);
        PageTableStatus status = domain.table.unmap(iova, last, domain.gather);
        if (status != PageTableStatus.OK) {
            throw new IllegalStateException("0x%x..0x%x: %s".formatted(iova, last, status));
        }
        bases[buffer] = UNMAPPED;
        hasRemoved = true;
        if (!design.flush().isStrict()) {
            domain.wait(iova, first(buffer), last - iova, isCached, time);
            return true;
        }
        if (tlb != null) {
            tlb.range(domain.index(), 0, iova, last, 0);
        }
        domain.free(iova, first(buffer), last - iova);
        reached[reachedCount++] = 0;
        return true;
    }

    private boolean isCached(DomainTables domain, long first, long last) {
        Iotlb cache = tlb;
        return cache != null
                && !domain.table.leaves(
                        first,
                        last,
                        (iova, _, _, _, _) -> cache.find(domain.tag, iova) == Iotlb.NONE);
    }

    /** An UNMAP is to be answered. */
    private boolean unmapped(int index, long time) {
        if (!hasRemoved) {
            return true;
        }
        hasRemoved = false;
        unmaps++;
        DomainTables domain = existing(index);
        if (design.flush().isStrict()) {
            invalidations++;
            domain.gather.release(arena);
            return true;
        }
        if (domain.unmapped() >= design.flush().batch()) {
            flush(domain, time);
        } else if (design.flush().timerNanos() != 0) {
            flushDue = Math.min(flushDue, domain.oldest() + design.flush().timerNanos());
        }
        return true;
    }

    private void flush(DomainTables domain, long time) {
        invalidations++;
        if (tlb != null) {
            tlb.domain(domain.index());
        }
        countReached(domain, time);
        domain.flushed(arena);
    }

    /** The timers that have run out before {@code time}. */
    private void flushOverdue(long time) {
        long timer = design.flush().timerNanos();
        flushDue = NEVER;
        for (DomainTables domain : domains) {
            if (domain == null || domain.waiting() == 0) {
                continue;
            }
            long due = domain.oldest() + timer;
            if (due <= time) {
                flush(domain, due);
            } else {
                flushDue = Math.min(flushDue, due);
            }
        }
    }

    /** A domain ends: what it had goes at once, and its table. */
    private boolean end(int index, long time) {
        DomainTables domain = domains[index];
        if (domain == null) {
            return true;
        }
        domain.table.close(domain.gather);
        flush(domain, time);
        domains[index] = null;
        return true;
    }

    private void countReached(DomainTables domain, long time) {
        for (int i = 0; i < domain.waiting(); i++) {
            reached[reachedCount++] = domain.reached(i, time);
        }
    }

    private Figures.Reach reach() {
        long[] sorted = Arrays.copyOf(reached, reachedCount);
        Arrays.sort(sorted);
        int zeros = 0;
        while (zeros < sorted.length && sorted[zeros] == 0) {
            zeros++;
        }
        return new Figures.Reach(
                sorted.length,
                sorted.length - zeros,
                percentile(sorted, 50),
                percentile(sorted, 99),
                percentile(sorted, 100));
    }

    /** The smallest that so many in a hundred are not above. */
    private static long percentile(long[] sorted, int percent) {
        int rank = (int) (((long) sorted.length * percent + 99) / 100);
        return sorted.length == 0 ? 0 : sorted[rank - 1];
    }

    // Accesses
    // ---------------------------------------------------------------------------------------------

    private boolean access(int buffer, long offset, long length, int access) {
        long base = bases[buffer];
        if (base == UNMAPPED) {
            skipped++;
            return true;
        }
        DomainTables domain = existing(buffers.domains[buffer]);
        long output = buffers.outputs[buffer] + offset;
        long address = base + offset;
        long left = length;
        while (true) {
            if (!work.take(1)) {
                return false;
            }
            long found = tlb == null ? Iotlb.NONE : tlb.find(domain.tag, address);
            boolean isHit = found != Iotlb.NONE && (access & ~Iotlb.rights(found)) == 0;
            translations++;
            hits += isHit ? 1 : 0;
            if (!isHit) {
                domain.walk(address, access, tlb, walk);
            }
            long led = isHit ? Iotlb.output(found, address) : walk.output();
            if (led != output) {
                throw new IllegalStateException(
                        "0x%x leads to 0x%x and not to 0x%x".formatted(address, led, output));
            }
            long within = Bits.mask(isHit ? Iotlb.pageLg2(found) : walk.pageLg2());
            long step = within - (address & within) + 1;
            if (Long.compareUnsigned(step, left) >= 0) {
                return true;
            }
            address += step;
            output += step;
            left -= step;
        }
    }
}
