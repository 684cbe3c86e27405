// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.request;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.StateText;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Who watches the device sees everything; what is planted happens; and neither costs otherwise. */
class WatchedDeviceTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final int PROBE_ANSWER = 512 + TAIL_SIZE;
    private static final long TABLES = 4 << 20;
    private static final long TAKEN = 5;

    private final Driver d = Driver.started();
    private final Dma dma = d.plug(1);
    private final List<String> seen = new ArrayList<>();
    private final List<Long> since = new ArrayList<>();

    /** What is to run later, and after how many nanoseconds. */
    private final List<Runnable> later = new ArrayList<>();

    private final List<Long> delays = new ArrayList<>();

    /** Writes down what it is told. */
    private final class Recorder implements IommuObserver {
        @Override
        public long taken() {
            assertThat(d.guard.isOpen()).as("a clock is looked at inside a section").isFalse();
            return TAKEN;
        }

        @Override
        public void answeredSince(long taken) {
            since.add(taken);
        }

        @Override
        public void started(long features) {
            seen.add("started");
        }

        @Override
        public void reset() {
            seen.add("reset");
        }

        @Override
        public void answered(IommuRequest request, @Nullable Status status, String why) {
            seen.add(request + " " + (status == null ? "given back" : status) + " " + why);
        }

        @Override
        public void waits(IommuRequest request) {
            seen.add(request + " waits");
        }

        @Override
        public void refusedAccess(Fault fault) {
            seen.add("fault 0x%x".formatted(fault.address()));
        }

        @Override
        public void delivered(Fault fault) {
            seen.add("event 0x%x".formatted(fault.address()));
        }

        @Override
        public void injected(String what) {
            seen.add("injected " + what);
        }
    }

    /** With mapping tables of so many bytes, and a driver. */
    private static Driver withTables(long bytes) {
        Driver driver =
                new Driver(
                        OPTIONS,
                        VirtioIommuDevice.FEATURES,
                        Arena.ofAuto(),
                        guards ->
                                MappingStores.forPageSizes(
                                        OPTIONS.pageSizeMask(), SegmentTables.pool(bytes, guards)));
        driver.start(driver.type.features());
        driver.plug(1);
        driver.status(attach(1, 7, 0));
        return driver;
    }

    private void watch() {
        d.type.observe(new Recorder());
    }

    private void plant(Injection injection) {
        d.type.inject(
                injection,
                (task, nanos) -> {
                    later.add(task);
                    delays.add(nanos);
                });
    }

    @Test
    void eachAnswerComesWithWhenItsRequestWasTaken() {
        watch();
        for (int i = 0; i < 3; i++) {
            d.send(attach(1, 7, 0), TAIL_SIZE);
        }
        d.kick();

        assertThat(since).containsExactly(TAKEN, TAKEN, TAKEN);
    }

    private void access(long iova) {
        dma.enter();
        try {
            assertThat(dma.resolve(iova, 1, Access.READ)).isEqualTo(Outcome.FAULT);
        } finally {
            dma.leave();
        }
        d.turn();
    }

    /** The address of the next event, or -1. */
    private long event() {
        byte[] bytes = d.eventBytes();
        return bytes == null
                ? -1
                : ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(FAULT_ADDRESS);
    }

    // --- what is refused

    @ParameterizedTest
    @CsvSource({
        "map_nomem, 0, map_nomem must be 1 to 1000000000",
        "map_nomem, 1000000001, map_nomem must be 1 to 1000000000",
        "unmap_delay_ms, -1, unmap_delay_ms must be 0 to 60000",
        "unmap_delay_ms, 60001, unmap_delay_ms must be 0 to 60000",
        "drop_events, -1, drop_events must be 0 to 1000000000",
        "double_events, 1000000001, double_events must be 0 to 1000000000",
        "truncate_probe, 513, truncate_probe must be 0 to 512",
        "truncate_probe, 4294967297, truncate_probe must be 0 to 512",
        "colour, 1, colour is not one of"
    })
    void injectionThatIsNoneIsRefused(String name, long value, String reason) {
        assertThatThrownBy(() -> Injection.of(name, value))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(reason);
    }

    // --- who watches

    @Test
    void everyAnswerIsSeenWithItsReason() {
        watch();
        d.status(map(7, 0, 0xfff, 0, RW));
        d.status(attach(9, 7, 0));
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, 0x2000, RW));
        d.status(map(7, 0x1000, 0x1fff, 0x2000, RW));
        d.status(map(7, 0x4000, 0x4fff, 0, 0x18));
        d.status(unmap(7, 0x1000, 0x17ff));
        d.status(detach(1, 8));
        d.ask(request(200, 0), TAIL_SIZE);
        d.ask(probe(1), PROBE_ANSWER);
        d.ask(probe(1), TAIL_SIZE);

        assertThat(seen)
                .containsExactly(
                        "MAP domain=0x7 virt=0x0..0xfff phys=0x0 READ|WRITE NOENT there is no domain"
                                + " 0x7: nothing is attached to it",
                        "ATTACH endpoint=0x9 domain=0x7 NOENT there is no endpoint 0x9: the topology"
                                + " table and the server disagree",
                        "ATTACH endpoint=0x1 domain=0x7 OK ",
                        "MAP domain=0x7 virt=0x1000..0x1fff phys=0x2000 READ|WRITE OK ",
                        "MAP domain=0x7 virt=0x1000..0x1fff phys=0x2000 READ|WRITE INVAL overlaps the"
                                + " mapping 0x1000..0x1fff",
                        "MAP domain=0x7 virt=0x4000..0x4fff phys=0x0 0x18 INVAL unknown flags 0x18",
                        "UNMAP domain=0x7 virt=0x1000..0x17ff RANGE cuts through the mapping"
                                + " 0x1000..0x1fff",
                        "DETACH endpoint=0x1 domain=0x8 INVAL endpoint 0x1 is attached to domain 0x7"
                                + " and not 0x8",
                        "UNKNOWN type=200, 8 bytes to read and 4 to write given back no type of"
                                + " request is known by this number",
                        "PROBE endpoint=0x1 OK ",
                        "PROBE endpoint=0x1 INVAL the buffer is smaller than probe_size");
    }

    /** For whoever asked for another kind, whichever that was. */
    @Test
    void aDomainThatIsOfAnotherKindIsSaidToBeOfWhich() {
        Driver own = Driver.of(OPTIONS, Profile.TABLES_2023);
        own.plug(1);
        own.plug(2);
        own.plug(3);
        own.start(own.type.features());
        GuestTable table = new GuestTable(own.bytes(Driver.DMA), Driver.DMA, Driver.DMA);
        own.status(attach(1, 7, 0));
        own.status(attach(2, 8, ATTACH_F_BYPASS));
        own.status(table.attach(3, 9));
        own.type.observe(new Recorder());
        own.status(attach(1, 8, 0));
        own.status(attach(1, 9, 0));
        own.status(attach(2, 7, ATTACH_F_BYPASS));
        own.status(table.attach(3, 7));
        own.status(GuestTable.invalidate(7));
        own.status(GuestTable.invalidate(8));
        own.status(map(8, 0, 0xfff, 0, RW));
        own.status(unmap(9, 0, 0xfff));

        String mappings = "one for mappings";
        String bypass = "a bypass domain";
        String ofTheDriver = "one with a table of the driver's own";
        assertThat(seen)
                .extracting(line -> line.substring(line.indexOf("INVAL ")))
                .containsExactly(
                        "INVAL domain 0x8 exists already and is " + bypass,
                        "INVAL domain 0x9 exists already and is " + ofTheDriver,
                        "INVAL domain 0x7 exists already and is " + mappings,
                        "INVAL domain 0x7 exists already and is " + mappings,
                        "INVAL domain 0x7 is " + mappings + " and has no table",
                        "INVAL domain 0x8 is " + bypass + " and has no table",
                        "INVAL domain 0x8 is " + bypass + " and has no mappings",
                        "INVAL domain 0x9 is " + ofTheDriver + " and has no mappings");
    }

    @Test
    void mapThatFindsALimitIsSeenWithTheLimitItFound() {
        Driver small = withTables(16 << 12);
        small.type.observe(new Recorder());
        int status = S_OK;
        for (long at = 0; status == S_OK; at += 1L << 21) {
            status = small.status(map(7, at, at + 0xfff, 0, RW));
        }
        assertThat(status).isEqualTo(S_NOMEM);
        assertThat(seen.getLast())
                .endsWith(
                        "NOMEM the IOMMU's memory for mapping tables has no room for the tables of"
                                + " this mapping");

        watch();
        d.status(attach(1, 7, 0));
        for (long i = 0; i <= OPTIONS.mappingLimit(); i++) {
            status = d.status(map(7, i << 12, (i << 12) + 0xfff, 0, RW));
        }
        assertThat(status).isEqualTo(S_NOMEM);
        assertThat(seen.getLast()).endsWith("NOMEM limit of 1024 mappings is reached");
    }

    @Test
    void limitIsToldWithoutAnyoneWhoWatchesAndNothingElseIs() {
        List<String> limits = new ArrayList<>();
        d.type.onLimit(() -> limits.add(d.type.limit()));
        d.status(attach(1, 7, 0));
        for (long i = 0; i < OPTIONS.mappingLimit(); i++) {
            d.status(map(7, i << 12, (i << 12) + 0xfff, 0, RW));
        }
        assertThat(d.status(map(7, 0, 0xfff, 0, RW))).isEqualTo(S_INVAL);
        assertThat(limits).isEmpty();

        long next = OPTIONS.mappingLimit() << 12;
        assertThat(d.status(map(7, next, next + 0xfff, 0, RW))).isEqualTo(S_NOMEM);
        assertThat(limits)
                .containsExactly(
                        "MAP domain=0x7 virt=0x400000..0x400fff phys=0x0 READ|WRITE -> NOMEM:"
                                + " limit of 1024 mappings is reached");
    }

    @Test
    void answerThatComesLaterIsSeenTwiceAndFaultsEventsAndResetsOnce() throws Exception {
        watch();
        d.addEventBuffers(2, FAULT_SIZE);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, Driver.DMA, RW));
        try (Lease lease =
                requireNonNull(dma.pin(0x1000, 1, Access.READ, d.clock.getAsLong() + 1000))) {
            d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
            d.kick();
            assertThat(lease.isRevoked()).isFalse();
        }
        d.guards.poll();
        d.turn();
        access(0x5000);
        d.device.writeStatus(0);
        d.device.writeStatus(0);
        d.start(d.type.features());

        assertThat(seen.subList(2, seen.size()))
                .containsExactly(
                        "UNMAP domain=0x7 virt=0x1000..0x1fff waits",
                        "UNMAP domain=0x7 virt=0x1000..0x1fff OK ",
                        "fault 0x5000",
                        "event 0x5000",
                        "reset",
                        "started");
    }

    @Test
    void whoNoLongerWatchesIsToldNothing() {
        watch();
        d.type.observe(null);
        d.addEventBuffers(1, FAULT_SIZE);
        d.status(attach(1, 7, 0));
        access(0x5000);
        plant(new Injection.MapNoMemory(5));
        d.device.writeStatus(0);

        assertThat(seen).isEmpty();
    }

    // --- what is planted

    @Test
    void nthMapFailsOnceAndMapsNothing() {
        watch();
        d.status(attach(1, 7, 0));
        plant(new Injection.MapNoMemory(2));

        assertThat(d.status(map(7, 0x1000, 0x1fff, 0, RW))).isEqualTo(S_OK);
        String before = StateText.of(d.iommu);
        assertThat(d.status(map(7, 0x2000, 0x2fff, 0, RW))).isEqualTo(S_NOMEM);
        assertThat(StateText.of(d.iommu)).isEqualTo(before);
        access(0x2000);
        assertThat(d.iommu.faults().recent().getLast().explanation())
                .endsWith("the driver's MAP of 0x2000..0x2fff was refused with NOMEM (planted)");
        assertThat(d.status(map(7, 0x2000, 0x2fff, 0, RW))).isEqualTo(S_OK);
        assertThat(seen)
                .contains(
                        "injected planted: map_nomem 2",
                        "MAP domain=0x7 virt=0x2000..0x2fff phys=0x0 READ|WRITE NOMEM planted");
    }

    @Test
    void delayedUnmapIsDoneAtOnceAndAnsweredLater() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, Driver.DMA, RW));
        plant(new Injection.UnmapDelay(250));

        d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        d.kick();

        assertThat(d.answer()).isNull();
        assertThat(delays).containsExactly(250_000_000L);
        access(0x1000);
        // Others are not held up, and an answer of 0 ms is none of it.
        assertThat(d.status(map(7, 0x1000, 0x1fff, Driver.DMA, RW))).isEqualTo(S_OK);
        plant(new Injection.UnmapDelay(0));
        assertThat(d.status(unmap(7, 0x1000, 0x1fff))).isEqualTo(S_OK);
        later.getFirst().run();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
    }

    @Test
    void answerThatIsDelayedPastAResetIsDropped() {
        d.status(attach(1, 7, 0));
        plant(new Injection.UnmapDelay(1));
        d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        d.kick();

        d.device.writeStatus(0);
        d.start(d.type.features());
        later.getFirst().run();
        d.turn();

        assertThat(d.answer()).isNull();
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }

    @Test
    void eventsAreLostAndDoubledAsManyAsWerePlanted() {
        watch();
        d.addEventBuffers(8, FAULT_SIZE);
        d.status(attach(1, 7, 0));
        plant(new Injection.EventsDropped(2));
        access(0x1000);
        access(0x2000);
        access(0x3000);
        plant(new Injection.EventsDoubled(1));
        access(0x4000);
        access(0x5000);

        assertThat(List.of(event(), event(), event(), event(), event()))
                .containsExactly(0x3000L, 0x4000L, 0x4000L, 0x5000L, -1L);
        assertThat(d.type.eventsDelivered()).isEqualTo(4);
        assertThat(seen)
                .contains(
                        "injected event is lost: endpoint 0x1, READ at 0x1000",
                        "injected event is lost: endpoint 0x1, READ at 0x2000")
                .doesNotContain("injected event is lost: endpoint 0x1, READ at 0x3000");
    }

    @Test
    void probeEndsEarlyOnceAndWritesNoMore() {
        plant(new Injection.ProbeTruncated(10));

        Answer cut = d.ask(probe(1), PROBE_ANSWER);
        assertThat(cut.written()).isEqualTo(10);
        assertThat(cut.bytes()[10]).isEqualTo((byte) 0xee);
        assertThat(d.ask(probe(1), PROBE_ANSWER).written()).isEqualTo(PROBE_ANSWER);
    }

    @Test
    void whatIsTakenBackDoesNotHappen() {
        watch();
        plant(new Injection.MapNoMemory(1));
        plant(new Injection.UnmapDelay(100));
        plant(new Injection.EventsDropped(3));
        plant(new Injection.EventsDoubled(3));
        plant(new Injection.ProbeTruncated(0));
        plant(new Injection.None());
        d.addEventBuffers(4, FAULT_SIZE);

        d.status(attach(1, 7, 0));
        assertThat(d.status(map(7, 0x1000, 0x1fff, 0, RW))).isEqualTo(S_OK);
        assertThat(d.status(unmap(7, 0x1000, 0x1fff))).isEqualTo(S_OK);
        assertThat(d.ask(probe(1), PROBE_ANSWER).written()).isEqualTo(PROBE_ANSWER);
        access(0x1000);
        assertThat(event()).isEqualTo(0x1000);
        assertThat(event()).isEqualTo(-1);
        assertThat(seen).contains("injected planted: none");
    }

    // --- what it costs otherwise

    @Test
    void requestsThatNobodyWatchesAllocateNothing() {
        Driver quiet = withTables(TABLES);
        // What has been watched and planted once leaves nothing behind.
        quiet.type.observe(new Recorder());
        quiet.type.observe(null);
        quiet.type.inject(new Injection.MapNoMemory(1), (task, nanos) -> {});
        quiet.status(map(7, 0, 0xfff, 0, RW));
        List<byte[]> requests =
                List.of(
                        map(7, 0x1000, 0x4fff, 0x2000, RW),
                        map(7, 0x1000, 0x1fff, 0x2000, RW),
                        unmap(7, 0x2000, 0x2fff),
                        // That of an endpoint which is there makes a list, once.
                        probe(9),
                        attach(1, 7, 0),
                        unmap(7, 0x1000, 0x4fff));

        long least = quiet.leastAllocation(requests, PROBE_ANSWER);

        assertThat(seen).isEmpty();
        assertThat(least).as("bytes for 60 requests").isZero();
    }
}
