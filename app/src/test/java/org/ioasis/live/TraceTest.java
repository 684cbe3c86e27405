// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.IommuObserver;
import org.ioasis.virtio.iommu.IommuRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The trace's file, with a writer that comes too late and one that does not. */
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
