// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Guards;
import org.ioasis.sys.EngineMemory;
import org.ioasis.sys.ErrnoException;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What guests do to make us hold memory without end, against the engine in the memory that it has
 * in a machine: the tables stay within their quota, and the process with them.
 */
final class TableBoundTest {
    private static final long QUOTA = 64L << 20;
    private static final long SLACK = 32L << 20;
    private static final long LITTLE = 64L << 10;
    private static final long PAGE = 4096;
    private static final long MIB2 = 1L << 21;
    private static final int DOMAIN = 7;

    private final EngineMemory memory;
    private final TablePool pool;
    private final Iommu iommu;
    private final DomainTable requests;
    private Status answer = Status.DEVERR;
    private final Completion completion = status -> answer = status;

    TableBoundTest() throws ErrnoException {
        memory = EngineMemory.reserve(QUOTA);
        Guards guards = new Guards(() -> 0, lease -> {});
        guards.open();
        pool = new TablePool(new EngineTables(memory), QUOTA, guards);
        IommuOptions options =
                IommuOptions.builder()
                        .bypassAtStart(false)
                        .detachByEndpoint(false)
                        .endpointLimit(1024)
                        .domainLimit(512)
                        .mappingLimit(1L << 32)
                        .tableLimit(QUOTA)
                        .endpointMappingLimit(1L << 32)
                        .endpointTableLimit(QUOTA)
                        .build();
        iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(4, 4, () -> 0),
                        MappingStores.forPageSizes(PAGE, pool));
        requests = new DomainTable(iommu);
    }

    @BeforeEach
    void attach() {
        for (int id = 0; id < 1024; id++) {
            iommu.plug(id, EndpointProperties.UNLIMITED);
        }
        assertThat(attach(0, DOMAIN)).isEqualTo(Status.OK);
    }

    @AfterEach
    void close() {
        memory.close();
    }

    private Status attach(int endpoint, int domain) {
        requests.attach(endpoint, domain, false, completion);
        return answer;
    }

    private Status mapPage(int domain, long first) {
        requests.map(domain, first, first + PAGE - 1, 0, MapFlags.READ, completion);
        return answer;
    }

    private void unmap(long first, long last) {
        requests.unmap(DOMAIN, first, last, completion);
        expect(answer == Status.OK, "unmap", first);
    }

    // Not by AssertJ, which takes longer than what is tested.
    private void expect(boolean isGood, String what, long step) {
        if (!isGood) {
            throw new AssertionError(
                    "%s at 0x%x: %s, %d bytes of tables"
                            .formatted(what, step, answer, pool.tableBytes()));
        }
    }

    @Test
    void aPageInEvery2MiBWithoutEndStaysWithinTheQuotaAndIsGivenBack() throws IOException {
        long before = ProcessMemory.resident();
        long mapped = 0;
        while (mapPage(DOMAIN, mapped * MIB2) == Status.OK) {
            mapped++;
        }

        assertThat(answer).isEqualTo(Status.NOMEM);
        assertThat(mapped).isBetween(QUOTA / PAGE - 64, QUOTA / PAGE);
        long held = pool.tableBytes();
        assertThat(held).isLessThanOrEqualTo(QUOTA);
        for (long i = 0; i < 100_000; i++) {
            expect(mapPage(DOMAIN, (mapped + i) * MIB2) == Status.NOMEM, "map", i);
        }
        assertThat(pool.tableBytes()).as("a refused MAP takes nothing").isEqualTo(held);
        assertThat(iommu.mappingCount()).isEqualTo(mapped);
        assertThat(ProcessMemory.resident() - before).isLessThanOrEqualTo(QUOTA + SLACK);
        unmap(0, -1L);
        assertThat(pool.tableBytes()).isLessThanOrEqualTo(LITTLE);
        assertThat(iommu.mappingCount()).isZero();
    }

    @Test
    void domainsWithoutEndStayWithinTheirLimitAndTheQuota() throws IOException {
        moveThrough(100_000); // until the heap is as large as garbage makes it
        long before = ProcessMemory.resident();
        moveThrough(200_000);
        int attached = 1;
        while (attached < 1024 && attach(attached, DOMAIN + attached) == Status.OK) {
            assertThat(mapPage(DOMAIN + attached, 0)).isEqualTo(Status.OK);
            attached++;
        }

        assertThat(answer).isEqualTo(Status.NOMEM);
        assertThat(attached).isEqualTo(512);
        assertThat(iommu.domainCount()).isEqualTo(512);
        assertThat(pool.tableBytes()).isLessThanOrEqualTo(512 * 3 * PAGE);
        assertThat(ProcessMemory.resident() - before).isLessThanOrEqualTo(QUOTA + SLACK);
    }

    /** One endpoint goes from domain to domain and leaves a mapping in each. */
    private void moveThrough(int domains) {
        for (int i = 1; i <= domains; i++) {
            expect(attach(0, DOMAIN + i) == Status.OK, "attach", i);
            expect(mapPage(DOMAIN + i, i * MIB2) == Status.OK, "map", i);
            expect(pool.tableBytes() <= LITTLE, "tables", i);
        }
        expect(attach(0, DOMAIN) == Status.OK, "attach", DOMAIN);
        assertThat(iommu.domainCount()).isEqualTo(1);
    }

    @Test
    void mapAndUnmapAllOverTheAddressSpaceTenMillionTimesHoldsLittle() throws IOException {
        long before = ProcessMemory.resident();
        for (long i = 0; i < 10_000_000; i++) {
            // 2^27 places of 2 MiB are all of 48 bits; an odd factor reaches every one of them.
            long first = ((i * 0x9E3779B1L) & ((1L << 27) - 1)) * MIB2;
            expect(mapPage(DOMAIN, first) == Status.OK, "map", i);
            expect(pool.tableBytes() <= LITTLE, "tables", i);
            unmap(first, first + PAGE - 1);
        }

        assertThat(iommu.mappingCount()).isZero();
        assertThat(pool.tableBytes()).isLessThanOrEqualTo(LITTLE);
        assertThat(ProcessMemory.resident() - before).isLessThanOrEqualTo(SLACK);
    }
}
