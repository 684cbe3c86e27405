// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.Test;

/** What an access remembers to make its next step cheap must not outlive its guarded section. */
final class SectionTest {
    private static final long PAGE = 0x1000;
    private static final long MIB2 = 1L << 21;
    private static final long RAM = 0x200000;
    private static final int TABLES = 8;

    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final TablePool pool = SegmentTables.pool(TABLES * PAGE, guards);
    private final Iommu iommu =
            new Iommu(
                    Machine.STRICT,
                    guards,
                    new FaultQueue(4, 4, () -> 0),
                    MappingStores.forPageSizes(PAGE, pool));
    private final DomainTable requests = new DomainTable(iommu);
    private final GuestMemory memory = new GuestMemory(guards, 4);
    private final Completion ok = status -> assertThat(status).isEqualTo(Status.OK);

    private void add(Region region, int value) {
        memory.add(region);
        requireNonNull(region.segment()).fill((byte) value);
    }

    /** The first byte, and the first after {@code border}, of an access across it. */
    private static String readAcross(Dma dma, long border) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[16]);
        dma.enter();
        Outcome outcome = dma.read(border - 8, bytes, 0, 16);
        dma.leave();
        return outcome + " " + bytes.get(JAVA_BYTE, 0) + " " + bytes.get(JAVA_BYTE, 8);
    }

    @Test
    void tableThatIsAnothersNowIsNotLookedInto() {
        add(Ram.ram(RAM, PAGE), 1);
        add(Ram.ram(RAM + PAGE, MIB2 - PAGE), 2);
        add(Ram.ram(2 * RAM, PAGE), 3);
        Endpoint one = iommu.plug(1, EndpointProperties.UNLIMITED);
        iommu.plug(2, EndpointProperties.UNLIMITED);
        requests.attach(1, 7, false, ok);
        requests.attach(2, 8, false, ok);
        Dma dma = iommu.dma(one, memory, guards.open());
        requests.map(7, 0, PAGE - 1, RAM + PAGE, READ, ok);
        requests.map(7, PAGE, 2 * PAGE - 1, RAM, READ, ok);
        // This access stops at a page's end, and its next step would be the page behind.
        dma.enter();
        assertThat(dma.resolve(PAGE - 8, 16, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(dma.reach()).isEqualTo(8);
        dma.leave();

        // Domain 7 keeps its tables until domain 8 has some to keep, which then gets them, and puts
        // a mapping of a second page into each.
        requests.unmap(7, 0, 2 * PAGE - 1, ok);
        requests.map(8, 0, PAGE - 1, 2 * RAM, READ, ok);
        requests.unmap(8, 0, PAGE - 1, ok);
        for (long at = PAGE; at < 4 * MIB2; at += MIB2) {
            requests.map(8, at, at + PAGE - 1, 2 * RAM, READ, ok);
        }
        assertThat(pool.tableBytes()).isEqualTo(6 * PAGE);
        // One large leaf in domain 7 over memory in two regions.
        requests.map(7, 0, MIB2 - 1, RAM, READ, ok);

        assertThat(readAcross(dma, PAGE)).isEqualTo("OK 1 2");
    }
}
