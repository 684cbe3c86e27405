// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.ioasis.iommu.AccessObserver;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.machine.EngineTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.sys.EngineMemory;
import org.ioasis.virtio.iommu.DomainTable;
import org.jspecify.annotations.Nullable;

/**
 * An IOMMU as a recorded one was when the recording began, to which the same happens once more. One
 * thread.
 */
final class ReplayedIommu implements AutoCloseable {
    /** What a mapping counts for that is in no table, but on the heap. */
    private static final int MAPPING_BYTES = 512;

    private static final int READ = 1;
    private static final int MAP_FLAGS = MapFlags.READ | MapFlags.WRITE | MapFlags.MMIO;

    /** What a request meets before it comes to the engine: these are answered elsewhere. */
    private static final Set<String> OF_THE_WIRE =
            Set.of(
                    Refusal.RESERVED_BITS.name(),
                    Refusal.UNKNOWN_FLAGS.name(),
                    Refusal.NOT_NEGOTIATED.name(),
                    Refusal.PLANTED.name());

    private final EngineMemory tables;
    private final TablePool pool;
    private final Iommu engine;
    private final DomainTable domains;
    private final Map<Long, Dma> ways = new HashMap<>();
    private final MemorySegment two = Arena.ofAuto().allocate(2);
    private final Seen seen = new Seen();
    private final Answer answer = new Answer();

    /** What becomes of one access. */
    private static final class Seen implements AccessObserver {
        private @Nullable String refused;
        private boolean isThere;
        private long domain;
        private long length;
        private long output;

        void forget() {
            refused = null;
            isThere = false;
        }

        @Override
        public void accessed(
                int endpoint,
                int pasid,
                long seenDomain,
                long first,
                long seenLength,
                Access access,
                long seenOutput) {
            refused = null;
            isThere = true;
            domain = seenDomain;
            length = seenLength;
            output = seenOutput;
        }

        @Override
        public void refused(
                int endpoint,
                int pasid,
                long seenDomain,
                long first,
                long seenLength,
                Access access,
                FaultReason reason) {
            refused = reason.name();
            isThere = true;
            domain = seenDomain;
        }

        @Override
        public void deviceStarted(int endpoint, int pasid) {
            // It was told by the replay.
        }

        @Override
        public void deviceReset(int endpoint, int pasid) {
            // It was told by the replay.
        }
    }

    /** What becomes of one request. */
    private static final class Answer implements Completion {
        private @Nullable Status status;
        private @Nullable Refusal refusal;

        void forget() {
            status = null;
            refusal = null;
        }

        @Override
        public void complete(Status given) {
            status = given;
        }

        @Override
        public void refused(Refusal why) {
            refusal = why;
            status = why.status();
        }
    }

    /**
     * @param memory of the guest, from address 0 on; nothing is read or written there
     * @throws IOException there is no memory for it
     */
    ReplayedIommu(Setup setup, MemorySegment memory) throws IOException {
        if (setup.options().tableLimit() > Replay.TABLES_MAX) {
            throw new IOException(
                    "%s may have %d bytes of tables, more than a replay"
                            .formatted(setup.name(), setup.options().tableLimit()));
        }
        tables = EngineMemory.reserve(setup.options().tableLimit());
        Guards guards = new Guards(() -> 0, _ -> {});
        Guard guard = guards.open();
        GuestMemory known = new GuestMemory(guards, 1);
        known.add(new Region(0, memory.byteSize() - 1, memory, true, null));
        pool = new TablePool(new EngineTables(tables), setup.options().tableLimit(), guards);
        engine =
                new Iommu(
                        setup.options(),
                        guards,
                        new FaultQueue(1, 1, () -> 0),
                        MappingStores.forPageSizes(setup.options().pageSizeMask(), pool));
        engine.observe(seen);
        domains = new DomainTable(engine);
        setup.endpoints()
                .forEach((id, its) ->
                        ways.put(
                                Integer.toUnsignedLong(id),
                                engine.dma(engine.plug(id, its), known, guard)));
    }

    /** Whether it is answered by the engine, and not before or behind it. */
    static boolean isAnsweredHere(Row row) {
        if (row.pasid() != Row.NONE) {
            return false;
        }
        String refusal = row.refusal();
        return refusal == null
                ? row.event() == Event.FAULT
                        || !row.event().hasStatus()
                        || Status.OK.name().equals(row.status())
                : !OF_THE_WIRE.contains(refusal);
    }

    /**
     * Does what the row tells of.
     *
     * @return what came of it, for people, if it is not what was recorded; else null
     * @throws IOException it cannot be done here
     */
    @Nullable String play(Row row) throws IOException {
        switch (row.event()) {
            case MAP, UNMAP, ATTACH, DETACH -> {
                return request(row);
            }
            case ACCESS, FAULT -> {
                return access(row);
            }
            case BYPASS -> engine.bypass(row.flags() == 1);
            case RESET -> {
                domains.forget();
                if (row.flags() == 1) {
                    engine.systemReset(() -> {});
                } else {
                    engine.reset(() -> {});
                }
            }
            case START -> way(row).deviceStarted();
            case STOP -> way(row).deviceReset();
            case TABLE ->
                    throw new IOException(
                            "at row %d the driver hands over page tables of its own, which are not in a recording"
                                    .formatted(row.sequence()));
            case LOST -> throw new IllegalArgumentException("nothing to do: " + row);
        }
        return null;
    }

    private @Nullable String request(Row row) throws IOException {
        answer.forget();
        int domain = (int) row.domain();
        if (row.event() == Event.MAP && (row.flags() & ~MAP_FLAGS) != 0) {
            // The engine takes them as they are.
            throw new IOException(
                    "row %d maps with flags %d, which the engine does not know"
                            .formatted(row.sequence(), row.flags()));
        }
        switch (row.event()) {
            case MAP ->
                    domains.map(domain, row.first(), row.last(), row.output(), row.flags(), answer);
            case UNMAP -> domains.unmap(domain, row.first(), row.last(), answer);
            case ATTACH ->
                    domains.attach((int) row.endpoint(), domain, (row.flags() & 1) != 0, answer);
            case DETACH -> domains.detach((int) row.endpoint(), domain, answer);
            default -> throw new IllegalArgumentException("no request: " + row);
        }
        Status status = answer.status;
        Refusal refusal = answer.refusal;
        String word = status == null ? "no answer" : status.name();
        String why = refusal == null ? null : refusal.name();
        boolean isSame = word.equals(row.status()) && Objects.equals(why, row.refusal());
        return isSame ? null : why == null ? word : word + " (" + why + ")";
    }

    private @Nullable String access(Row row) throws IOException {
        Dma dma = way(row);
        Access access = (row.flags() & READ) != 0 ? Access.READ : Access.WRITE;
        boolean isPastEnd = (row.flags() & Row.PAST_END) != 0;
        long length = row.length() + (isPastEnd ? 1 : 0);
        seen.forget();
        dma.enter();
        try {
            if (isPastEnd && row.first() == -1L) {
                // From the last address on, which itself may be mapped.
                var _ =
                        access == Access.READ
                                ? dma.read(-1L, two, 0, 2)
                                : dma.write(-1L, two, 0, 2);
            } else {
                var _ = dma.resolve(row.first(), length, access);
            }
        } finally {
            dma.leave();
        }
        if (!seen.isThere) {
            throw new IOException(
                    "row %d goes to 0x%x, where a replay has no memory"
                            .formatted(row.sequence(), row.output()));
        }
        String refused = seen.refused;
        boolean isSame =
                seen.domain == row.domain()
                        && (refused == null
                                ? row.event() == Event.ACCESS
                                        && seen.output == row.output()
                                        && seen.length == length
                                : row.event() == Event.FAULT && refused.equals(row.status()));
        if (isSame) {
            return null;
        }
        return refused == null
                ? "reaches 0x%x, %d bytes, in domain 0x%x"
                        .formatted(seen.output, seen.length, seen.domain)
                : "is refused (%s), in domain 0x%x".formatted(refused, seen.domain);
    }

    private Dma way(Row row) throws IOException {
        Dma way = ways.get(row.endpoint());
        if (way == null) {
            throw new IOException(
                    "row %d is of endpoint 0x%x, which the recording does not describe"
                            .formatted(row.sequence(), row.endpoint()));
        }
        return way;
    }

    /** Bytes that its mappings take. */
    long tableBytes() {
        long tabled = pool.tableBytes();
        // Mappings of a small granule are in no table.
        return tabled == 0 ? engine.mappingCount() * MAPPING_BYTES : tabled;
    }

    @Override
    public void close() {
        domains.forget();
        engine.reset(() -> {});
        tables.close();
    }
}
