// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommuTables.CODE_INVALID;
import static org.ioasis.spec.VirtioIommuTables.CODE_SUCCESS;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Our driver with tables of its own at our device, and a process that shares its memory with it.
 */
class DriverTablesTest {
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int ENDPOINT = 1;
    private static final int PASID = 5;
    private static final long PAGE = 0x1000;
    private static final long ADDRESS = 0x000f_ffff_ffff_f000L;
    private static final long ENTRY = 7;
    private static final long SPACE = 0x7f12_3456_0000L;

    private final LocalMachine machine = new LocalMachine(Profile.TABLES_2023, ENDPOINT, 2);
    private final DriverTables tables = machine.driver.tables();
    private final MemorySegment ram = requireNonNull(machine.ram.segment());
    private final Endpoint endpoint = requireNonNull(machine.iommu.endpoint(ENDPOINT));
    private final Attachment space = requireNonNull(endpoint.open(PASID));
    private final Dma dma = machine.iommu.askingDma(space, machine.memory, machine.guard);
    private final MemorySegment word = MemorySegment.ofArray(new long[1]);
    private long next = 0x10_0000;
    private final long root = allocate();
    private final DriverTable table = tables.table(root, 48);
    private int group;

    DriverTablesTest() throws DriverException {}

    private long allocate() {
        long page = next;
        next += PAGE;
        ram.asSlice(page, PAGE).fill((byte) 0);
        return page;
    }

    private long get(long address) {
        return ram.get(LE64, address);
    }

    private void set(long address, long value) {
        ram.set(LE64, address, value);
    }

    private void map(long iova, long entry) {
        long at = root;
        for (int shift = 39; shift > 12; shift -= 9) {
            long slot = at + (iova >>> shift & 0x1ff) * 8;
            if (get(slot) == 0) {
                set(slot, allocate() | ENTRY);
            }
            at = get(slot) & ADDRESS;
        }
        set(at + (iova >>> 12 & 0x1ff) * 8, entry);
    }

    private Outcome write(long iova, long value) {
        word.set(LE64, 0, value);
        dma.enter();
        try {
            return dma.write(iova, word, 0, 8);
        } finally {
            dma.leave();
        }
    }

    private long read(long iova) {
        dma.enter();
        try {
            return dma.read(iova, word, 0, 8) == Outcome.OK ? word.get(LE64, 0) : -1;
        } finally {
            dma.leave();
        }
    }

    @Test
    void whatTheDriverWritesIntoItsTableIsReachedUntilItSaysOtherwise() throws DriverException {
        map(SPACE, 0x40_0000 | ENTRY);
        tables.attach(table, ENDPOINT, PASID);
        assertThat(table.users()).isEqualTo(1);
        assertThat(write(SPACE, 7)).isEqualTo(Outcome.OK);
        assertThat(get(0x40_0000)).isEqualTo(7);
        map(SPACE, 0);
        tables.invalidate(table, SPACE, SPACE + PAGE - 1);
        assertThat(write(SPACE, 8)).isEqualTo(Outcome.FAULT);
        map(SPACE, 0x40_0000 | ENTRY);
        assertThat(write(SPACE, 9)).isEqualTo(Outcome.OK);
        map(SPACE, 0);
        tables.invalidate(table);
        assertThat(write(SPACE, 10)).isEqualTo(Outcome.FAULT);
        tables.detach(table, ENDPOINT);
        assertThat(table.users()).isZero();
        tables.close(table);
    }

    @Test
    void aDriverAsksForNothingThatIsWrong() throws DriverException {
        assertThatThrownBy(() -> tables.invalidate(table, SPACE, SPACE))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> tables.attach(table, ENDPOINT, 1 << 20))
                .isInstanceOf(DriverException.class)
                .hasMessage("endpoint 1 takes no such table or PASID");
        DriverDomain domain = machine.driver.domain();
        assertThat(domain.id()).as("the first is the table's").isEqualTo(1);
        machine.driver.attach(domain, ENDPOINT);
        assertThatThrownBy(() -> tables.attach(table, ENDPOINT))
                .isInstanceOf(IllegalStateException.class);
        tables.attach(table, 2);
        assertThatThrownBy(() -> machine.driver.attach(domain, 2))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> tables.close(table)).isInstanceOf(IllegalStateException.class);
        LocalMachine plain = new LocalMachine(ENDPOINT);
        assertThatThrownBy(() -> plain.driver.tables().table(root, 48))
                .isInstanceOf(IllegalStateException.class);
        assertThat(plain.driver.probe(ENDPOINT).tables()).isNull();
    }

    @Test
    void aDriverThatNeedsTablesDoesNotStartAPlainDevice() {
        assertThatThrownBy(() ->
                        new LocalMachine(
                                LocalMachine.OPTIONS,
                                VirtioIommuDevice.FEATURES,
                                DriverOptions.DEFAULT.withTables(),
                                ENDPOINT))
                .isInstanceOf(DriverException.class);
    }

    @Test
    void afterAResetTablesAreWhereTheyWere() throws DriverException {
        map(SPACE, 0x40_0000 | ENTRY);
        tables.attach(table, ENDPOINT, PASID);
        tables.attach(table, 2);
        machine.driver.reset();
        assertThat(table.users()).isEqualTo(2);
        assertThat(write(SPACE, 7)).isEqualTo(Outcome.OK);
    }

    @Test
    void afterAResetWhoIsRefusedGoesThroughNoTableAndTheOthersDo() throws DriverException {
        map(SPACE, 0x40_0000 | ENTRY);
        tables.attach(table, 2);
        tables.attach(table, ENDPOINT, PASID);
        machine.iommu.unplug(requireNonNull(machine.iommu.endpoint(2)), () -> {});

        assertThatThrownBy(machine.driver::reset).isInstanceOf(RefusedException.class);

        assertThat(table.users()).isEqualTo(1);
        assertThat(write(SPACE, 7)).isEqualTo(Outcome.OK);
        machine.driver.reset();
        assertThat(table.users()).isEqualTo(1);
        assertThat(write(SPACE, 8)).isEqualTo(Outcome.OK);
    }

    @Test
    void whoIsUnpluggedIsInNoTableAnyMore() throws DriverException {
        tables.attach(table, 2);
        tables.attach(table, ENDPOINT, PASID);
        tables.attach(table, ENDPOINT);
        machine.iommu.unplug(requireNonNull(machine.iommu.endpoint(2)), () -> {});

        machine.driver.unplugged(2);

        assertThat(table.users()).isEqualTo(2);
        machine.driver.unplugged(ENDPOINT); // and it is about to go
        assertThat(table.users()).isZero();
        assertThat(endpoint.isAttached()).isFalse();
        assertThat(space.domain()).isNull();
        tables.close(table);
    }

    // --- shared virtual memory

    /** Asks for a page as a device with PRI does; what was answered. */
    private Response ask(GuestProcess process, long address) throws DriverException {
        List<Response> answers = new ArrayList<>();
        machine.iommu.requestPage(
                space,
                group++ & 0x1ff,
                Rights.READ | Rights.WRITE | Rights.USER,
                true,
                address & -PAGE,
                (_, _, response) -> answers.add(response));
        machine.turn();
        List<PageRequestReport> asked = new ArrayList<>();
        tables.onPageRequest(asked::add);
        machine.driver.pollEvents();
        for (PageRequestReport request : asked) {
            process.serve(request);
        }
        assertThat(answers).hasSize(1);
        return answers.getFirst();
    }

    /** A process of the guest's, with few frames for many pages: the oldest goes out. */
    private final class GuestProcess {
        private final long pages;
        private final Deque<Long> frames = new ArrayDeque<>();
        private final Map<Long, Long> present = new LinkedHashMap<>();
        private final Map<Long, Long> swapped = new HashMap<>();
        private int evictions;

        GuestProcess(long pages, int frames) {
            this.pages = pages;
            for (int i = 0; i < frames; i++) {
                this.frames.add(allocate());
            }
        }

        long address(long page) {
            return SPACE + page * PAGE;
        }

        void serve(PageRequestReport request) throws DriverException {
            assertThat(request.isLast()).isTrue();
            assertThat(request.pasid()).isEqualTo(PASID);
            long page = (request.address() - SPACE) / PAGE;
            boolean isHere = page >= 0 && page < pages;
            if (isHere && !present.containsKey(page)) {
                if (frames.isEmpty()) {
                    takeOut(present.keySet().iterator().next());
                }
                long frame = frames.remove();
                set(frame, swapped.getOrDefault(page, 0L));
                map(address(page), frame | ENTRY);
                present.put(page, frame);
            }
            tables.respond(request, isHere ? CODE_SUCCESS : CODE_INVALID);
        }

        /** Unmaps a page; when the device cannot reach its frame any more that is another's. */
        void takeOut(long page) throws DriverException {
            long frame = requireNonNull(present.remove(page));
            map(address(page), 0);
            tables.invalidate(table, address(page), address(page) + PAGE - 1);
            swapped.put(page, get(frame));
            set(frame, 0xdead_dead_dead_deadL);
            frames.add(frame);
            evictions++;
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void whateverComesAndGoesTheDeviceSeesWhatTheProcessHas(long seed) throws DriverException {
        tables.attach(table, ENDPOINT, PASID);
        Random random = new Random(seed);
        GuestProcess process = new GuestProcess(24, 8);
        Map<Long, Long> model = new HashMap<>();
        int asked = 0;
        int seen = 0;
        for (int i = 0; i < 4000; i++) {
            long page = random.nextInt(24);
            long address = process.address(page);
            if (random.nextInt(4) == 0 && process.present.containsKey(page)) {
                process.takeOut(page);
            } else if (random.nextBoolean()) {
                while (write(address, i) != Outcome.OK) {
                    assertThat(ask(process, address)).isEqualTo(Response.SUCCESS);
                    asked++;
                }
                model.put(page, (long) i);
            } else {
                long found = read(address);
                while (found == -1) {
                    assertThat(ask(process, address)).isEqualTo(Response.SUCCESS);
                    asked++;
                    found = read(address);
                }
                assertThat(found).isEqualTo(model.getOrDefault(page, 0L));
                seen++;
            }
        }
        assertThat(ask(process, process.address(24))).isEqualTo(Response.INVALID);
        assertThat(asked).isGreaterThan(500);
        assertThat(process.evictions).isGreaterThan(500);
        assertThat(seen).isGreaterThan(500);
        assertThat(machine.iommu.pageRequests().open()).isZero();
        assertThat(machine.driver.counts().pageRequests()).isEqualTo(asked + 1);
        assertThat(machine.iommu.faults().reported()).isZero();
    }
}
