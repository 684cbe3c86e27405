// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.memory.Guards;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.Test;

/**
 * Limits of mappings and of bytes of tables: of all domains together, and of what one endpoint can
 * cause.
 */
final class QuotaTest {
    private static final long PAGE = 0x1000;
    private static final long MIB2 = 1L << 21;
    private static final long GIB = 1L << 30;
    private static final long ALL = Long.MAX_VALUE;

    /** The least that can be allowed. */
    private static final int TABLES = 16;

    private final Guards guards = new Guards(() -> 0, lease -> {});
    private DomainTable requests = new DomainTable(new Machine(Machine.STRICT).iommu);
    private final TablePool pool = SegmentTables.pool(64 * PAGE, guards);

    private Iommu iommu(long endpointMappings, long endpointTables) {
        IommuOptions options =
                Machine.STRICT.toBuilder()
                        .tableLimit(pool.quotaBytes())
                        .endpointMappingLimit(endpointMappings)
                        .endpointTableLimit(endpointTables)
                        .build();
        Iommu iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(4, 4, () -> 0),
                        MappingStores.forPageSizes(PAGE, pool));
        for (int id = 1; id <= 3; id++) {
            iommu.plug(id, EndpointProperties.UNLIMITED);
        }
        requests = new DomainTable(iommu);
        return iommu;
    }

    private Status attach(int endpoint, int domain) {
        Replies.One reply = new Replies.One();
        requests.attach(endpoint, domain, false, reply);
        return reply.status();
    }

    private Status mapPage(int domain, long first) {
        Replies.One reply = new Replies.One();
        requests.map(domain, first, first + PAGE - 1, 0, READ, reply);
        return reply.status();
    }

    private Status unmapPage(int domain, long first) {
        Replies.One reply = new Replies.One();
        requests.unmap(domain, first, first + PAGE - 1, reply);
        return reply.status();
    }

    @Test
    void anEndpointThatHasUsedItsMappingsLeavesOthersTheirs() {
        Iommu iommu = iommu(2, ALL);
        attach(1, 7);
        attach(2, 8);
        assertThat(mapPage(7, 0)).isEqualTo(Status.OK);
        assertThat(mapPage(7, PAGE)).isEqualTo(Status.OK);
        String before = StateText.of(iommu);
        long tables = pool.tableBytes();

        assertThat(mapPage(7, 2 * PAGE)).isEqualTo(Status.NOMEM);

        assertThat(StateText.of(iommu)).isEqualTo(before);
        assertThat(pool.tableBytes()).isEqualTo(tables);
        assertThat(iommu.refusedByLimit()).isEqualTo(1);
        Replies.One reply = new Replies.One();
        requests.map(7, 2 * PAGE, 3 * PAGE - 1, 0, READ, reply);
        assertThat(reply.why(iommu, requests.domain(7), 2 * PAGE, 3 * PAGE - 1))
                .isEqualTo("limit of 2 mappings for the endpoints of domain 0x7 is reached");
        assertThat(mapPage(8, 0)).isEqualTo(Status.OK);
        assertThat(unmapPage(7, 0)).isEqualTo(Status.OK);
        assertThat(mapPage(7, 2 * PAGE)).isEqualTo(Status.OK);
    }

    @Test
    void anOverlapIsSaidBeforeTheLimit() {
        Iommu iommu = iommu(1, ALL);
        attach(1, 7);
        mapPage(7, 0);

        assertThat(mapPage(7, 0)).isEqualTo(Status.INVAL);
        assertThat(iommu.refusedByLimit()).isZero();
    }

    @Test
    void aDomainHasTheMappingsOfAllItsEndpointsAndKeepsWhatIsThereWhenOneLeaves() {
        Iommu iommu = iommu(2, ALL);
        attach(1, 7);
        attach(2, 7);
        for (int i = 0; i < 4; i++) {
            assertThat(mapPage(7, i * PAGE)).isEqualTo(Status.OK);
        }
        assertThat(mapPage(7, 4 * PAGE)).isEqualTo(Status.NOMEM);

        Replies.One reply = new Replies.One();
        requests.detach(2, 7, reply);

        assertThat(reply.status()).isEqualTo(Status.OK);
        assertThat(iommu.mappingCount()).isEqualTo(4);
        unmapPage(7, 0);
        unmapPage(7, PAGE);
        assertThat(mapPage(7, 0)).isEqualTo(Status.NOMEM);
        unmapPage(7, 2 * PAGE);
        assertThat(mapPage(7, 0)).isEqualTo(Status.OK);
    }

    @Test
    void anEndpointThatHasUsedItsTablesLeavesOthersTheirs() {
        Iommu iommu = iommu(ALL, TABLES * PAGE);
        attach(1, 7);
        attach(2, 8);
        // The top, one for a GiB, and one for each 2 MiB.
        for (int i = 0; i < TABLES - 2; i++) {
            assertThat(mapPage(7, i * MIB2)).isEqualTo(Status.OK);
        }
        String before = StateText.of(iommu);

        assertThat(mapPage(7, TABLES * MIB2)).isEqualTo(Status.NOMEM);

        assertThat(StateText.of(iommu)).isEqualTo(before);
        assertThat(pool.tableBytes()).isEqualTo(TABLES * PAGE);
        assertThat(iommu.refusedByLimit()).isEqualTo(1);
        assertThat(mapPage(7, PAGE)).as("in a table that is there").isEqualTo(Status.OK);
        assertThat(mapPage(8, 0)).isEqualTo(Status.OK);
        assertThat(unmapPage(7, MIB2)).isEqualTo(Status.OK);
        assertThat(mapPage(7, TABLES * MIB2)).isEqualTo(Status.OK);
    }

    @Test
    void aDomainHasTheTablesOfAllItsEndpoints() {
        Iommu _ = iommu(ALL, TABLES * PAGE);
        attach(1, 7);
        attach(2, 7);
        int mapped = 0;
        while (mapPage(7, mapped * MIB2) == Status.OK) {
            mapped++;
        }

        assertThat(mapped).isEqualTo(2 * TABLES - 2);
        assertThat(pool.tableBytes()).isEqualTo(2 * TABLES * PAGE);
    }

    @Test
    void tablesAreCountedWhereTheyAreWhateverIsMappedAndUnmapped() {
        Iommu _ = iommu(ALL, TABLES * PAGE);
        attach(1, 7);
        for (int turn = 0; turn < 100; turn++) {
            int mapped = 0;
            while (mapPage(7, (mapped & 1) * GIB + (turn + mapped) * MIB2) == Status.OK) {
                mapped++;
            }
            // The top, one for either GiB, and one for each 2 MiB.
            assertThat(mapped).as("turn " + turn).isEqualTo(TABLES - 3);
            Replies.One reply = new Replies.One();
            requests.unmap(7, 0, -1L, reply);
            assertThat(reply.status()).isEqualTo(Status.OK);
        }
    }

    @Test
    void allEndpointsTogetherStayWithinTheTablesOfAll() {
        Iommu _ = iommu(ALL, ALL);
        attach(1, 7);
        attach(2, 8);
        int mapped = 0;
        while (mapPage(7 + (mapped & 1), mapped * MIB2) == Status.OK) {
            mapped++;
        }

        assertThat(mapped).isEqualTo(64 - 2 * 2);
        assertThat(pool.tableBytes()).isEqualTo(pool.quotaBytes());
    }

    @Test
    void limitsThatNothingFitsInAreRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        Machine.STRICT.toBuilder()
                                .tableLimit(4096)
                                .endpointMappingLimit(1)
                                .endpointTableLimit(ALL)
                                .build())
                .withMessageContaining("65536");
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        Machine.STRICT.toBuilder()
                                .tableLimit(ALL)
                                .endpointMappingLimit(1)
                                .endpointTableLimit(65535)
                                .build())
                .withMessageContaining("65536");
        assertThatIllegalArgumentException()
                .isThrownBy(() ->
                        Machine.STRICT.toBuilder()
                                .tableLimit(ALL)
                                .endpointMappingLimit(0)
                                .endpointTableLimit(ALL)
                                .build());
    }
}
