// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ram;
import org.ioasis.virtio.iommu.DomainTable;
import org.ioasis.virtqueue.Allocation;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What a guest can make the engine do without end makes no garbage, once tables and pools are
 * there: requests, refusals, translations, faults. Each round is many times what it is about, and
 * is allowed less than a byte for each, which is the JVM's own.
 */
final class IommuAllocationTest {
    private static final int TIMES = 20_000;
    private static final int ATTEMPTS = 20;
    private static final int DOMAIN = 7;
    private static final long PAGE = 0x1000;
    private static final long RAM_SIZE = 0x40000;
    private static final int QUOTA = 64 << 12;
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;

    private final Allocation allocation = new Allocation();
    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final Guard guard = guards.open();
    private final GuestMemory memory = new GuestMemory(guards, 4);
    private final FaultQueue faults = new FaultQueue(4, 4, () -> 0);
    private final Iommu iommu =
            new Iommu(
                    Machine.STRICT,
                    guards,
                    faults,
                    MappingStores.forPageSizes(PAGE, SegmentTables.pool(QUOTA, guards)));
    private final DomainTable requests = new DomainTable(iommu);
    private final Endpoint endpoint = iommu.plug(1, EndpointProperties.UNLIMITED);
    private final Dma dma = iommu.dma(endpoint, memory, guard);
    private final MemorySegment bytes = MemorySegment.ofArray(new byte[3 * (int) PAGE]);
    private final EnumMap<Status, long[]> answers = new EnumMap<>(Status.class);
    private final Completion completion = status -> requireNonNull(answers.get(status))[0]++;

    @BeforeEach
    void attach() {
        for (Status status : Status.values()) {
            answers.put(status, new long[1]);
        }
        memory.add(Ram.ram(0, RAM_SIZE));
        requests.attach(1, DOMAIN, false, completion);
        requests.attach(1, DOMAIN, false, completion);
    }

    private void assertNoGarbage(Runnable round) {
        assertThat(allocation.leastOf(ATTEMPTS, round)).isLessThan(TIMES);
    }

    private long answered(Status status) {
        return requireNonNull(answers.get(status))[0];
    }

    @Test
    void mapAndUnmapMakeNoGarbage() {
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                long first = (i & 63L) << 21;
                requests.map(DOMAIN, first, first + 3 * PAGE - 1, 0, READ_WRITE, completion);
                requests.unmap(DOMAIN, first, first + 3 * PAGE - 1, completion);
            }
        });
        assertThat(answered(Status.OK)).isEqualTo(2L * TIMES * ATTEMPTS + 2);
    }

    @Test
    void batchesMakeNoGarbage() {
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i += 100) {
                iommu.beginBatch();
                for (int j = 0; j < 100; j++) {
                    requests.map(DOMAIN, 0, PAGE - 1, 0, READ_WRITE, completion);
                    requests.unmap(DOMAIN, 0, PAGE - 1, completion);
                }
                iommu.endBatch();
            }
        });
        assertThat(answered(Status.OK)).isEqualTo(2L * TIMES * ATTEMPTS + 2);
    }

    @Test
    void unmapsThatWaitForASectionMakeNoGarbage() {
        Guard other = guards.open();
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                // Another table each time, so that tables wait as well.
                long first = (i & 7L) << 21;
                requests.map(DOMAIN, first, first + PAGE - 1, 0, READ_WRITE, completion);
                other.enter();
                requests.unmap(DOMAIN, first, first + PAGE - 1, completion);
                other.leave();
                guards.poll();
            }
        });
        assertThat(answered(Status.OK)).isEqualTo(2L * TIMES * ATTEMPTS + 2);
    }

    @Test
    void refusedRequestsMakeNoGarbage() {
        requests.map(DOMAIN, 0, 2 * PAGE - 1, 0, READ_WRITE, completion);
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                requests.map(DOMAIN, PAGE, 3 * PAGE - 1, 0, READ_WRITE, completion); // overlaps
                requests.map(DOMAIN, 1, PAGE, 0, READ_WRITE, completion); // misaligned
                requests.map(DOMAIN, PAGE, 0, 0, READ_WRITE, completion); // ends before it starts
                requests.map(9, 0, PAGE - 1, 0, READ_WRITE, completion); // no such domain
                requests.unmap(DOMAIN, PAGE, 2 * PAGE - 1, completion); // splits
                requests.unmap(9, 0, PAGE - 1, completion); // no such domain
                requests.attach(2, DOMAIN, false, completion); // no such endpoint
                requests.attach(1, DOMAIN, true, completion); // another kind of domain
                requests.detach(1, 9, completion); // not attached to it
            }
        });
        long times = (long) TIMES * ATTEMPTS;
        assertThat(answered(Status.INVAL)).isEqualTo(4 * times);
        assertThat(answered(Status.RANGE)).isEqualTo(2 * times);
        assertThat(answered(Status.NOENT)).isEqualTo(3 * times);
    }

    @Test
    void refusalsAtALimitMakeNoGarbage() {
        for (int i = 0; i < Machine.STRICT.mappingLimit(); i++) {
            requests.map(DOMAIN, i * PAGE, i * PAGE + PAGE - 1, 0, READ_WRITE, completion);
        }
        long beyond = Machine.STRICT.mappingLimit() * PAGE;
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                requests.map(DOMAIN, beyond, beyond + PAGE - 1, 0, READ_WRITE, completion);
            }
        });
        assertThat(answered(Status.NOMEM)).isEqualTo((long) TIMES * ATTEMPTS);
    }

    @Test
    void translationMakesNoGarbage() {
        requests.map(DOMAIN, 0, PAGE - 1, 0x20000, READ_WRITE, completion);
        requests.map(DOMAIN, PAGE, 2 * PAGE - 1, 0x10000, READ_WRITE, completion);
        requests.map(DOMAIN, 2 * PAGE, 4 * PAGE - 1, 0x30000, READ_WRITE, completion);
        long[] good = new long[1];
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                dma.enter();
                if (dma.resolve((long) (i & 3) * PAGE, 8, Access.READ) == Outcome.OK
                        && dma.read(0x800, bytes, 0, bytes.byteSize()) == Outcome.OK) {
                    good[0]++;
                }
                dma.leave();
            }
        });
        assertThat(good[0]).isEqualTo((long) TIMES * ATTEMPTS);
    }

    @Test
    void faultsMakeNoGarbage() {
        requests.map(DOMAIN, 0, PAGE - 1, 0, MapFlags.READ, completion);
        long[] refused = new long[1];
        assertNoGarbage(() -> {
            for (int i = 0; i < TIMES; i++) {
                dma.enter();
                if (dma.resolve(PAGE * (1 + (i & 0xff)), 8, Access.READ) == Outcome.FAULT) {
                    refused[0]++;
                }
                dma.leave();
                dma.enter();
                if (dma.resolve(0, 8, Access.WRITE) == Outcome.FAULT) {
                    refused[0]++;
                }
                dma.leave();
            }
        });
        assertThat(refused[0]).isEqualTo(2L * TIMES * ATTEMPTS);
        assertThat(faults.reported()).isEqualTo(refused[0]);
    }
}
