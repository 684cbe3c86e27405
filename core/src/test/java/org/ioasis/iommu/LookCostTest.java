// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Guards;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.Test;

/** Looking at an IOMMU costs as much as what is shown, however many mappings there are. */
class LookCostTest {
    private static final long PAGE = 0x1000;
    private static final int MAPPINGS = 20_000;
    private static final long BYTES = 1 << 20;

    /** Table memory that counts what is read of it. */
    private static final class Counted extends SegmentTables {
        private long loads;

        Counted() {
            super(BYTES);
        }

        @Override
        public long get(long word) {
            loads++;
            return super.get(word);
        }

        @Override
        public long getAcquire(long word) {
            loads++;
            return super.getAcquire(word);
        }
    }

    private final Counted tables = new Counted();
    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final IommuOptions options =
            Machine.strict().endpointLimit(4).domainLimit(4).mappingLimit(MAPPINGS + 1).build();
    private final Iommu iommu =
            new Iommu(
                    options,
                    guards,
                    new FaultQueue(1, 1, () -> 0),
                    MappingStores.forPageSizes(PAGE, new TablePool(tables, BYTES, guards)));
    private final DomainTable requests = new DomainTable(iommu);

    LookCostTest() {
        iommu.plug(1, EndpointProperties.UNLIMITED);
        requests.attach(1, 7, false, status -> {});
        for (long i = 0; i < MAPPINGS; i++) {
            map(i * PAGE, i * PAGE + PAGE - 1);
        }
        map(MAPPINGS * PAGE, (MAPPINGS + 2) * PAGE - 1);
        assertThat(iommu.mappingCount()).isEqualTo(MAPPINGS + 1);
    }

    private void map(long first, long last) {
        requests.map(7, first, last, (first ^ PAGE) * 2, READ, status -> {});
    }

    @Test
    void reasonOfARefusedRequestIsFoundWithoutAWalkOverAllMappings() {
        Domain domain = requests.domain(7);
        long middle = (MAPPINGS + 1) * PAGE - 1;
        Replies.One map = new Replies.One();
        Replies.One unmap = new Replies.One();
        tables.loads = 0;

        requests.map(7, 0, (1L << 40) - 1, 0, READ, map);
        requests.unmap(7, 0, middle, unmap);

        assertThat(map.why(iommu, domain, 0, (1L << 40) - 1))
                .isEqualTo("overlaps the mapping 0x0..0xfff");
        assertThat(unmap.why(iommu, domain, 0, middle))
                .isEqualTo("cuts through the mapping 0x4e20000..0x4e21fff");
        assertThat(tables.loads).isPositive().isLessThan(200);
    }

    @Test
    void viewCostsWhatItShows() {
        tables.loads = 0;

        assertThat(iommu.domains(1, 32).getFirst().mappings()).hasSize(32);
        assertThat(iommu.domains(1, 0).getFirst().mappingCount()).isEqualTo(MAPPINGS + 1);
        assertThat(tables.loads).isPositive().isLessThan(1000);
    }
}
