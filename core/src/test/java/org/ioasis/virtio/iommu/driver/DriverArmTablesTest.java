// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommuTables.CODE_SUCCESS;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.Profile;
import org.junit.jupiter.api.Test;

/** Our driver with tables of its own in ARM's formats at our device. */
class DriverArmTablesTest {
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int ENDPOINT = 1;
    private static final int PASID = 5;
    private static final long PAGE = 0x1000;
    private static final long ENTRY = 3 | 1 << 10 | 1 << 6 | 1 << 11;
    private static final long TABLES = 0x10_0000;
    private static final long CONTEXTS = 0x20_0000;
    private static final long PAGES = 0x40_0000;
    private static final long TCR = 16 | 1 << 23 | 5L << 32;
    private static final long CD = 1L << 41 | 5L << 32 | 1L << 31 | 1L << 30 | 16;

    private final LocalMachine machine = new LocalMachine(Profile.TABLES_2021, ENDPOINT, 2);
    private final DriverTables tables = machine.driver.tables();
    private final MemorySegment ram = requireNonNull(machine.ram.segment());
    private final Endpoint endpoint = requireNonNull(machine.iommu.endpoint(ENDPOINT));
    private final Dma plain = machine.dma(ENDPOINT);
    private final Attachment space = requireNonNull(endpoint.open(PASID));
    private final Dma dma = machine.iommu.askingDma(space, machine.memory, machine.guard);
    private final TableShape contexts = new TableShape.Contexts(0, 0, CONTEXTS, 4);

    DriverArmTablesTest() throws DriverException {
        for (int level = 0; level < 3; level++) {
            set(TABLES + level * PAGE, TABLES + (level + 1) * PAGE | ENTRY);
        }
        map(0, PAGES);
        map(1, PAGES + PAGE);
    }

    private void set(long address, long value) {
        ram.set(LE64, address, value);
    }

    /** Leads a page somewhere; 0: nowhere. */
    private void map(int page, long output) {
        set(TABLES + 3 * PAGE + page * 8L, output == 0 ? 0 : output | ENTRY);
    }

    private void describe(int pasid, int asid) {
        set(CONTEXTS + pasid * 64L + 8, TABLES);
        set(CONTEXTS + pasid * 64L, CD | (long) asid << 48);
    }

    private static long translated(Dma way, long iova) {
        return LocalMachine.translated(way, iova, Access.READ);
    }

    @Test
    void tablesOfOneSpaceAreReachedUntilTheDriverSaysOtherwise() throws DriverException {
        DriverTable table = tables.table(new TableShape.Lpae(7, TCR, TABLES, 0, 0));
        tables.attach(table, ENDPOINT);
        assertThat(translated(plain, 0)).isEqualTo(PAGES);
        assertThat(translated(plain, PAGE)).isEqualTo(PAGES + PAGE);
        assertThat(translated(dma, 0)).as("with a PASID").isEqualTo(-1);
        map(0, 0);
        map(1, 0);
        tables.invalidate(table, 8, 0, PAGE - 1);
        assertThat(translated(plain, 0)).as("of another space").isEqualTo(PAGES);
        tables.invalidate(table, 7, 0, PAGE - 1);
        assertThat(translated(plain, 0)).isEqualTo(-1);
        assertThat(translated(plain, PAGE)).isEqualTo(PAGES + PAGE);
        tables.invalidateSpace(table, 7);
        assertThat(translated(plain, PAGE)).isEqualTo(-1);
        tables.detach(table, ENDPOINT);
        tables.close(table);
    }

    @Test
    void contextsAreGoneByUntilTheDriverSaysOtherwise() throws DriverException {
        describe(PASID, 1);
        DriverTable table = tables.table(contexts);
        tables.attach(table, ENDPOINT);
        assertThat(translated(dma, 0)).isEqualTo(PAGES);
        assertThat(translated(plain, 0)).as("without a PASID").isEqualTo(-1);
        set(CONTEXTS + PASID * 64, 0);
        assertThat(translated(dma, 0)).isEqualTo(PAGES);
        tables.invalidateContext(table, PASID);
        assertThat(translated(dma, 0)).isEqualTo(-1);
        describe(PASID, 1);
        assertThat(translated(dma, 0)).isEqualTo(PAGES);
        set(CONTEXTS + PASID * 64, 0);
        tables.invalidate(table);
        assertThat(translated(dma, 0)).isEqualTo(-1);
    }

    @Test
    void afterAResetContextsAreWhereTheyWere() throws DriverException {
        describe(PASID, 1);
        DriverTable table = tables.table(contexts);
        tables.attach(table, ENDPOINT);
        assertThat(translated(dma, 0)).isEqualTo(PAGES);
        machine.driver.reset();
        assertThat(translated(dma, 0)).isEqualTo(PAGES);
    }

    @Test
    void aPageThatADeviceAsksForByItsPasidIsThereAfterTheAnswer() throws DriverException {
        describe(PASID, 1);
        DriverTable table = tables.table(contexts);
        tables.attach(table, ENDPOINT);
        assertThat(translated(dma, 2 * PAGE)).isEqualTo(-1);
        List<Response> answers = new ArrayList<>();
        machine.iommu.requestPage(
                space,
                9,
                Rights.READ | Rights.USER,
                true,
                2 * PAGE,
                (_, _, response) -> answers.add(response));
        machine.turn();
        List<PageRequestReport> asked = new ArrayList<>();
        tables.onPageRequest(asked::add);
        machine.driver.pollEvents();
        assertThat(asked).hasSize(1);
        assertThat(asked.getFirst().pasid()).isEqualTo(PASID);
        map(2, PAGES + 2 * PAGE);
        tables.respond(asked.getFirst(), CODE_SUCCESS);
        assertThat(answers).containsExactly(Response.SUCCESS);
        assertThat(translated(dma, 2 * PAGE)).isEqualTo(PAGES + 2 * PAGE);
    }

    @Test
    void aDriverAsksForNoTableThatTheEndpointDoesNotTake() throws DriverException {
        List<DriverTable> wrong =
                List.of(
                        tables.table(TABLES, 48),
                        tables.table(new TableShape.Contexts(0, 0, CONTEXTS, 21)));
        for (DriverTable table : wrong) {
            assertThatThrownBy(() -> tables.attach(table, ENDPOINT))
                    .isInstanceOf(DriverException.class)
                    .hasMessage("endpoint 1 takes no such table or PASID");
        }
        DriverTable table = tables.table(contexts);
        assertThatThrownBy(() -> tables.attach(table, ENDPOINT, PASID))
                .isInstanceOf(DriverException.class);
        LocalMachine later = new LocalMachine(Profile.TABLES_2023, ENDPOINT);
        DriverTable there = later.driver.tables().table(contexts);
        assertThatThrownBy(() -> later.driver.tables().attach(there, ENDPOINT))
                .isInstanceOf(DriverException.class);
        assertThat(machine.iommu.domainCount()).isZero();
    }
}
