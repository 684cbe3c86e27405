// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.Callable;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The trace's file, with a writer that comes too late and one that does not. */
@Timeout(60)
class TraceTest {
    private static final InstantSource CLOCK =
            InstantSource.fixed(Instant.parse("2026-01-02T03:04:05.000006Z"));
    private static final String TIME = "2026-01-02T03:04:05.000006Z ";

    @TempDir Path folder;

    @Test
    void whatTheQueueHasNoRoomForIsCountedAndSaid() throws Exception {
        Path file = folder.resolve("trace");
        Trace trace = Trace.idle(TraceConfig.of(file, false, 1), 4, CLOCK);
        IommuObserver observer = trace.observer("m/i");

        for (int i = 0; i < 10; i++) {
            observer.answered(new IommuRequest.Probe(i), Status.OK, "");
        }
        trace.begin();
        trace.close();

        assertThat(Files.readAllLines(file))
                .containsExactly(
                        TIME + "trace begun",
                        TIME + "trace 6 entries are lost: more happened than could be written",
                        TIME + "m/i PROBE endpoint=0x0 -> OK",
                        TIME + "m/i PROBE endpoint=0x1 -> OK",
                        TIME + "m/i PROBE endpoint=0x2 -> OK",
                        TIME + "m/i PROBE endpoint=0x3 -> OK");
    }

    private static void traced(TraceConfig config, int endpoint) throws Exception {
        Trace trace = Trace.idle(config, 4, CLOCK);
        trace.observer("m/i").answered(new IommuRequest.Probe(endpoint), Status.OK, "");
        trace.begin();
        trace.close();
    }

    @Test
    void anEarlierTraceIsWrittenOnAndOfTheOtherFormOrFullRefused() throws Exception {
        Path file = folder.resolve("trace");
        TraceConfig config = new TraceConfig(file, false, 4096);
        traced(config, 1);
        // Killed in the middle of a line.
        Files.writeString(file, TIME + "m/i PRO", StandardOpenOption.APPEND);
        traced(config, 2);

        assertThat(Files.readAllLines(file))
                .containsExactly(
                        TIME + "trace begun",
                        TIME + "m/i PROBE endpoint=0x1 -> OK",
                        TIME + "m/i PRO",
                        TIME + "trace begun",
                        TIME + "m/i PROBE endpoint=0x2 -> OK");
        assertThatThrownBy(() -> traced(new TraceConfig(file, true, 4096), 3))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(file + " is there and is not a trace of Ioasis as JSON");
        long size = Files.size(file);
        traced(new TraceConfig(file, false, size + 1024), 3);
        long now = Files.size(file);
        assertThat(now).isGreaterThan(size);
        assertThatThrownBy(() -> traced(new TraceConfig(file, false, now + 1023), 4))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(
                        "%s has %d bytes, and a trace may have %d"
                                .formatted(file, now, now + 1023));
        assertThat(Files.size(file)).isEqualTo(now);
    }

    @Test
    void aFaultNamesTheMapThatWasRefusedOrTheUnmapBefore() throws Exception {
        Path file = folder.resolve("trace");
        Trace trace = Trace.idle(TraceConfig.of(file, false, 1), 100, CLOCK);
        trace.count("m/i", () -> 7);
        IommuObserver observer = trace.observer("m/i");
        observer.answered(new IommuRequest.Attach(1, 9, 0), Status.OK, "");
        observer.answered(new IommuRequest.Unmap(9, 0x5000, 0x6fff), Status.OK, "");
        observer.answered(new IommuRequest.Map(9, 0x1000, 0x1fff, 0, 3), Status.NOMEM, "planted");
        observer.answered(new IommuRequest.Map(8, 0x2000, 0x2fff, 0, 3), Status.NOMEM, "planted");
        observer.refusedAccess(fault(0x1800));
        observer.refusedAccess(fault(0x5000));
        observer.refusedAccess(fault(0x2000));
        observer.answered(new IommuRequest.Detach(1, 9), Status.OK, "");
        observer.refusedAccess(fault(0x1800));
        trace.begin();
        trace.close();

        String access = TIME + "m/i fault: endpoint 0x1, WRITE at 0x%x: not mapped%s";
        assertThat(Files.readAllLines(file))
                .filteredOn(line -> line.contains("fault") || line.contains("refused,"))
                .containsExactly(
                        access.formatted(
                                0x1800,
                                "; before: 0x1000..0x1fff: MAP refused at 2026-01-02T03:04:05.000006Z"
                                        + " with NOMEM, planted"),
                        access.formatted(
                                0x5000,
                                "; before: 0x5000..0x6fff: UNMAP at 2026-01-02T03:04:05.000006Z"),
                        access.formatted(0x2000, ""),
                        access.formatted(0x1800, ""),
                        TIME + "m/i 7 more accesses were refused, faster than they are told of");
    }

    private static Fault fault(long address) {
        return new Fault(
                FaultReason.MAPPING, Kind.MAPPED, 1, -1, address, Access.WRITE, "not mapped", 1);
    }

    @Test
    void causesOfAFaultAreRememberedInBounds() {
        Causes causes = new Causes();
        Instant time = CLOCK.instant();
        causes.answered(time, new IommuRequest.Attach(1, 9, 0), Status.OK, "");
        for (long i = 0; i <= Causes.REMEMBERED; i++) {
            causes.answered(
                    time, new IommuRequest.Unmap(9, i << 12, (i << 12) + 0xfff), Status.OK, "");
        }

        assertThat(causes.of(fault(0))).isEmpty();
        assertThat(causes.of(fault(0x1000))).startsWith("0x1000..0x1fff: UNMAP at ");
        causes.reset();
        assertThat(causes.of(fault(0x1000))).isEmpty();
    }

    @Test
    void aTraceThatWasMovedAwayGoesOnInANewFile() throws Exception {
        Path file = folder.resolve("trace");
        Path moved = folder.resolve("trace.1");
        Trace trace = Trace.idle(TraceConfig.of(file, false, 1), 4, CLOCK);
        IommuObserver observer = trace.observer("m/i");
        observer.answered(new IommuRequest.Probe(1), Status.OK, "");
        trace.begin();
        await(() -> Files.readAllLines(file).size() == 2);
        Files.move(file, moved);
        trace.reopen();
        await(() -> Files.exists(file));
        observer.answered(new IommuRequest.Probe(2), Status.OK, "");
        trace.close();

        assertThat(Files.readAllLines(moved))
                .containsExactly(TIME + "trace begun", TIME + "m/i PROBE endpoint=0x1 -> OK");
        assertThat(Files.readAllLines(file))
                .containsExactly(TIME + "trace begun", TIME + "m/i PROBE endpoint=0x2 -> OK");
    }

    private static void await(Callable<Boolean> condition) throws Exception {
        while (!condition.call()) {
            Thread.sleep(5);
        }
    }

    @Test
    void fileStaysWithinItsLimitAndSaysWhatIsLeftOut() throws Exception {
        for (boolean isJson : List.of(false, true)) {
            Path file = folder.resolve("trace" + isJson);
            Trace trace = Trace.idle(new TraceConfig(file, isJson, 4096), 1000, CLOCK);
            IommuObserver observer = trace.observer("m/i");
            for (int i = 0; i < 500; i++) {
                observer.answered(new IommuRequest.Probe(1), Status.OK, "");
            }
            trace.begin();
            trace.close();

            List<String> lines = Files.readAllLines(file);
            assertThat(Files.size(file)).isBetween(3500L, 4096L);
            int written = lines.size() - 2;
            assertThat(lines.getFirst())
                    .isEqualTo(
                            isJson
                                    ? "{\"time\":\"2026-01-02T03:04:05.000006Z\",\"iommu\":\"trace\","
                                            + "\"kind\":\"begun\"}"
                                    : TIME + "trace begun");
            assertThat(lines.subList(1, written)).allMatch(line -> line.contains("PROBE"));
            assertThat(lines.subList(written, written + 2))
                    .containsExactly(
                            isJson
                                    ? "{\"time\":\"2026-01-02T03:04:05.000006Z\",\"iommu\":\"trace\","
                                            + "\"kind\":\"full\",\"limit\":4096}"
                                    : TIME
                                            + "trace the limit of 4096 bytes is reached: what follows"
                                            + " is only counted",
                            isJson
                                    ? "{\"time\":\"2026-01-02T03:04:05.000006Z\",\"iommu\":\"trace\","
                                            + "\"kind\":\"left out\",\"count\":%d}"
                                                    .formatted(501 - written)
                                    : TIME
                                            + "trace %d entries came after the limit was reached"
                                                    .formatted(501 - written));
        }
    }

    @Test
    void everyKindOfEntryHasItsLine() throws Exception {
        Fault fault =
                new Fault(
                        FaultReason.MAPPING,
                        Kind.MAPPED,
                        0x10,
                        -1,
                        -0x1000L,
                        Access.WRITE,
                        "not mapped",
                        3);
        for (boolean isJson : List.of(false, true)) {
            Path file = folder.resolve("trace" + isJson);
            Trace trace = Trace.idle(TraceConfig.of(file, isJson, 1), 100, CLOCK);
            trace.begin();
            IommuObserver observer = trace.observer("m/i");
            observer.started(1);
            observer.reset();
            observer.answered(new IommuRequest.Unknown(200, 3, 0), null, "why");
            observer.answered(new IommuRequest.Attach(-1, -2, 1), Status.OK, "");
            observer.answered(new IommuRequest.Detach(1, 2), Status.INVAL, "because");
            observer.waits(new IommuRequest.Unmap(1, 0, -1L));
            observer.answered(new IommuRequest.Map(1, 0, -1L, 0, 12), Status.INVAL, "x");
            observer.refusedAccess(fault);
            observer.delivered(fault);
            observer.injected("planted");
            trace.close();
            trace.close();

            List<String> lines = Files.readAllLines(file);
            assertThat(lines).hasSize(11);
            if (isJson) {
                assertThat(lines).allMatch(line -> line.startsWith("{\"time\":\"2026-01-02T"));
                assertThat(lines.get(4)).contains("\"endpoint\":4294967295,\"domain\":4294967294");
            } else {
                assertThat(lines)
                        .containsExactly(
                                TIME + "trace begun",
                                TIME + "m/i started, features 0x1",
                                TIME + "m/i reset",
                                TIME
                                        + "m/i UNKNOWN type=200, 3 bytes to read and 0 to write"
                                        + " -> given back: why",
                                TIME
                                        + "m/i ATTACH endpoint=0xffffffff domain=0xfffffffe BYPASS"
                                        + " -> OK",
                                TIME + "m/i DETACH endpoint=0x1 domain=0x2 -> INVAL: because",
                                TIME + "m/i UNMAP domain=0x1 virt=0x0..0xffffffffffffffff waits",
                                TIME
                                        + "m/i MAP domain=0x1 virt=0x0..0xffffffffffffffff phys=0x0"
                                        + " MMIO|0x8 -> INVAL: x",
                                TIME
                                        + "m/i fault: endpoint 0x10, WRITE at 0xfffffffffffff000:"
                                        + " not mapped (3 times)",
                                TIME
                                        + "m/i event: endpoint 0x10, WRITE at 0xfffffffffffff000:"
                                        + " not mapped (3 times)",
                                TIME + "m/i injected: planted");
            }
        }
    }
}
