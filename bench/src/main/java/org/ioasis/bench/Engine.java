// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.bench.Workload.BASE;
import static org.ioasis.bench.Workload.HOST;
import static org.ioasis.bench.Workload.PAGE;
import static org.ioasis.bench.Workload.RAM;
import static org.ioasis.bench.Workload.scatter;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.machine.EngineTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Region;
import org.ioasis.sys.EngineMemory;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtio.iommu.DomainTable;

/**
 * Ioasis as a machine runs it: one IOMMU with one endpoint in one domain, quotas on, before 64 GiB
 * of guest RAM in two regions that is never touched. Requests on one thread, translations through a
 * {@link Dma} of each thread.
 */
final class Engine implements AutoCloseable {
    static final int ENDPOINT = 0x18;
    static final int DOMAIN = 7;
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;
    private static final int BATCH = 64;
    private static final long TABLE_QUOTA = 256L << 20;
    private static final long REGION_BORDER = 2L << 30;

    private final EngineMemory tables;
    private final TablePool pool;
    private final Mapping ram;
    private final Guards guards = new Guards(System::nanoTime, lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 8);
    private final Iommu iommu;
    private final DomainTable requests;
    private final Endpoint endpoint;
    private final Request[] batch = new Request[BATCH];
    private int inBatch;
    private Status refusal = Status.OK;
    private final Completion refused = status -> refusal = status;

    Engine() {
        Arrays.setAll(batch, i -> new Request());
        try {
            tables = EngineMemory.reserve(TABLE_QUOTA);
            try (Fd fd = Memfd.create("bench", RAM)) {
                ram = Mapping.map(fd, 0, RAM, true);
            }
        } catch (ErrnoException e) {
            throw new IllegalStateException(e);
        }
        add(0, REGION_BORDER - 1);
        add(REGION_BORDER, RAM - 1);
        pool = new TablePool(new EngineTables(tables), TABLE_QUOTA, guards);
        IommuOptions options = options();
        iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(16, 16, System::nanoTime),
                        MappingStores.forPageSizes(options.pageSizeMask(), pool));
        requests = new DomainTable(iommu);
        endpoint = iommu.plug(ENDPOINT, EndpointProperties.UNLIMITED);
        attach();
    }

    private static IommuOptions options() {
        // The largest workload has 2^20 mappings beside those of others.
        return IommuOptions.builder().bypassAtStart(false).mappingLimit(1L << 22).build();
    }

    private void add(long gpaFirst, long gpaLast) {
        MemorySegment part = ram.segment().asSlice(gpaFirst, gpaLast - gpaFirst + 1);
        if (memory.add(new Region(gpaFirst, gpaLast, part, true, null))
                != GuestMemory.Change.DONE) {
            throw new IllegalStateException("no region");
        }
    }

    private void attach() {
        requests.attach(ENDPOINT, DOMAIN, false, next());
        settle();
    }

    /** Drops the domain with all it maps and begins another. */
    void renew() {
        requests.detach(ENDPOINT, DOMAIN, next());
        settle();
        attach();
    }

    void map(long first, long last, long gpa) {
        requests.map(DOMAIN, first, last, gpa, READ_WRITE, next());
    }

    void unmap(long first, long last) {
        requests.unmap(DOMAIN, first, last, next());
    }

    /** What a MAP is answered that is to be refused. */
    Status refusedMap(long first, long last, long gpa) {
        requests.map(DOMAIN, first, last, gpa, READ_WRITE, refused);
        return refusal;
    }

    /** What an UNMAP is answered that is to be refused. */
    Status refusedUnmap(long first, long last) {
        requests.unmap(DOMAIN, first, last, refused);
        return refusal;
    }

    /**
     * The next request of a batch, which has as many as the device takes from its queue at a time.
     * A batch that is full is answered before the next one begins.
     */
    private Request next() {
        if (inBatch == BATCH) {
            settle();
        }
        if (inBatch == 0) {
            iommu.beginBatch();
        }
        Request request = batch[inBatch++];
        request.isOpen = true;
        return request;
    }

    /** Until all requests are answered, which they are at once if no other thread translates. */
    void settle() {
        if (inBatch > 0) {
            iommu.endBatch();
        }
        for (int i = 0; i < inBatch; i++) {
            while (batch[i].isOpen) {
                Thread.onSpinWait();
                guards.poll();
            }
        }
        inBatch = 0;
    }

    /** A request, which knows whether it is answered. */
    private static final class Request implements Completion {
        private boolean isOpen;

        @Override
        public void complete(Status status) {
            if (status != Status.OK) {
                throw new IllegalStateException(status.toString());
            }
            isOpen = false;
        }
    }

    /** Maps the n pages of W1, or one run of them in memory. */
    void fill(long n, boolean isContiguous) {
        for (long i = 0; i < n; i++) {
            long first = BASE + i * PAGE;
            map(first, first + PAGE - 1, isContiguous ? (1L << 30) + i * PAGE : scatter(i));
        }
        settle();
    }

    Iommu iommu() {
        return iommu;
    }

    /** A part of RAM below its second region. */
    MemorySegment ram(long gpa, long length) {
        return ram.segment().asSlice(gpa, length);
    }

    /** The way to memory for the IOMMU's own queues. */
    Dma directDma() {
        return new DirectDma(memory, guards.open());
    }

    long tableBytes() {
        return pool.tableBytes();
    }

    /** A way to memory for the calling thread. */
    Dma dma() {
        Guard guard = guards.open();
        return iommu.dma(endpoint, memory, guard);
    }

    /** Host address of an access of 8 bytes, as the peers would say it, but for {@link #bias}. */
    static long translate(Dma dma, long iova, Access access) {
        if (dma.resolve(iova, 8, access) != Outcome.OK || dma.reach() < 8) {
            throw new IllegalStateException("fault at 0x" + Long.toHexString(iova));
        }
        return dma.segment().address() + dma.offset();
    }

    /** What each host address is too large, compared to the peers'. */
    long bias() {
        return ram.segment().address() - HOST;
    }

    @Override
    public void close() {
        ram.close();
        tables.close();
    }
}
