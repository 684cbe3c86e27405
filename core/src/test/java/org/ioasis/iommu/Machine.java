// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.HandClock;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.virtio.iommu.DomainTable;

/**
 * An IOMMU with guest memory for tests: RAM at {@link #RAM}, whose bytes tell their address. One
 * thread.
 */
final class Machine {
    static final long RAM = 0x100000;
    static final long RAM_SIZE = 0x40000;
    private static final long TABLE_BYTES = 1 << 20;
    static final long FOREVER = Long.MAX_VALUE / 2;

    /** 4 KiB granule, strict DETACH, no bypass, small limits. */
    static final IommuOptions STRICT = strict().build();

    final HandClock clock = new HandClock();
    final List<PinnedLease> unrevocable = new ArrayList<>();
    final Guards guards = new Guards(clock, unrevocable::add);
    final Guard guard = guards.open();
    final FaultQueue faults = new FaultQueue(16, 1000, clock);
    final GuestMemory memory = new GuestMemory(guards, 16);
    final Region ram = Ram.ram(RAM, RAM_SIZE);
    final TablePool tables = SegmentTables.pool(TABLE_BYTES, guards);
    final Iommu iommu;

    /** What tests ask for by numbers, as a driver does. */
    final DomainTable requests;

    Machine(IommuOptions options) {
        iommu =
                new Iommu(
                        options,
                        guards,
                        faults,
                        MappingStores.forPageSizes(options.pageSizeMask(), tables));
        requests = new DomainTable(iommu);
        memory.add(ram);
        MemorySegment bytes = requireNonNull(ram.segment());
        for (long i = 0; i < RAM_SIZE; i++) {
            bytes.set(JAVA_BYTE, i, byteAt(RAM + i));
        }
    }

    static byte byteAt(long gpa) {
        return (byte) (gpa * 31 + (gpa >>> 8) * 7 + (gpa >>> 16));
    }

    /** {@link #STRICT}, to be changed. */
    static IommuOptions.Builder strict() {
        return IommuOptions.builder()
                .bypassAtStart(false)
                .detachByEndpoint(false)
                .endpointLimit(16)
                .domainLimit(8)
                .mappingLimit(64);
    }

    static IommuOptions granule(long granule) {
        return strict().pageSizeMask(granule).build();
    }

    Endpoint plug(int id) {
        return iommu.plug(id, EndpointProperties.UNLIMITED);
    }

    Dma dma(Endpoint endpoint) {
        return iommu.dma(endpoint, memory, guard);
    }

    Status attach(int endpoint, int domain) {
        return attach(endpoint, domain, false);
    }

    Status attach(int endpoint, int domain, boolean bypass) {
        Replies.One reply = new Replies.One();
        requests.attach(endpoint, domain, bypass, reply);
        return reply.status();
    }

    Status detach(int endpoint, int domain) {
        Replies.One reply = new Replies.One();
        requests.detach(endpoint, domain, reply);
        return reply.status();
    }

    Status map(int domain, long first, long last, long output, int flags) {
        Replies.One reply = new Replies.One();
        requests.map(domain, first, last, output, flags, reply);
        return reply.status();
    }

    Status unmap(int domain, long first, long last) {
        Replies.One reply = new Replies.One();
        requests.unmap(domain, first, last, reply);
        return reply.status();
    }

    void reset() {
        requests.forget();
        iommu.reset(() -> {});
    }

    void systemReset() {
        requests.forget();
        iommu.systemReset(() -> {});
    }

    Outcome access(Dma dma, long iova, Access access) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, access);
        } finally {
            dma.leave();
        }
    }

    /** What an endpoint reads at an address, or that it cannot. */
    Object read(Dma dma, long iova) {
        byte[] one = new byte[1];
        dma.enter();
        try {
            Outcome outcome = dma.read(iova, MemorySegment.ofArray(one), 0, 1);
            return outcome == Outcome.OK ? one[0] : outcome;
        } finally {
            dma.leave();
        }
    }

    Lease pin(Dma dma, long iova, long length) {
        return requireNonNull(dma.pin(iova, length, Access.READ, FOREVER));
    }

    /** Everything that a refused request must leave alone. */
    String digest() {
        return StateText.of(iommu)
                + "domains "
                + iommu.domainCount()
                + " mappings "
                + iommu.mappingCount()
                + " pending "
                + guards.hasPending();
    }
}
