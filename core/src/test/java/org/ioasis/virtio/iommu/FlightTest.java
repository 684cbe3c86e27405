// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.request;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import jdk.jfr.consumer.RecordedEvent;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Flight;
import org.ioasis.memory.Lease;
import org.junit.jupiter.api.Test;

/** What a flight recording has of requests. */
final class FlightTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final int PROBE_ANSWER = 512 + TAIL_SIZE;

    private final Driver d = Driver.started(OPTIONS.toBuilder().name("vm0/iommu").build());
    private final Dma dma = d.plug(1);

    @Test
    void eachRequestIsAnEventWithItsFieldsAndItsAnswer() {
        assertThat(
                        Flight.textOf(
                                Map.of("org.ioasis.Request#threshold", "0 ns"),
                                () -> {
                                    d.status(attach(1, 7, 0));
                                    d.status(map(7, 0x1000, 0x1fff, Driver.DMA, RW));
                                    d.status(unmap(7, 0x1000, 0x1fff));
                                    d.ask(probe(1), PROBE_ANSWER);
                                    d.status(detach(1, 7));
                                }))
                .containsExactly(
                        "Request iommu=vm0/iommu type=ATTACH status=OK endpoint=0x1 domain=0x7"
                                + " first=0x0 last=0x0 output=0x0",
                        "Request iommu=vm0/iommu type=MAP status=OK endpoint=0xffffffffffffffff"
                                + " domain=0x7 first=0x1000 last=0x1fff output=0xc00000",
                        "Request iommu=vm0/iommu type=UNMAP status=OK endpoint=0xffffffffffffffff"
                                + " domain=0x7 first=0x1000 last=0x1fff output=0x0",
                        "Request iommu=vm0/iommu type=PROBE status=OK endpoint=0x1"
                                + " domain=0xffffffffffffffff first=0x0 last=0x0 output=0x0",
                        "Request iommu=vm0/iommu type=DETACH status=OK endpoint=0x1 domain=0x7"
                                + " first=0x0 last=0x0 output=0x0");
    }

    @Test
    void aRefusedRequestIsAnEventOfItsOwnWithTheReason() {
        assertThat(
                        Flight.textOf(
                                Map.of(
                                        "org.ioasis.Refusal#throttle",
                                        "off",
                                        "org.ioasis.Request#enabled",
                                        "false"),
                                () -> {
                                    d.status(attach(9, 7, 0));
                                    d.status(attach(1, 7, 0));
                                    d.ask(request(200, 0), TAIL_SIZE);
                                }))
                .containsExactly(
                        "Refusal reason=there is no endpoint 0x9: the topology table and the server"
                                + " disagree iommu=vm0/iommu type=ATTACH status=NOENT endpoint=0x9"
                                + " domain=0x7 first=0x0 last=0x0 output=0x0",
                        "Refusal reason=no type of request is known by this number iommu=vm0/iommu"
                                + " type=UNKNOWN status= endpoint=0xffffffffffffffff"
                                + " domain=0xffffffffffffffff first=0x0 last=0x0 output=0x0");
    }

    @Test
    void refusalsThatComeTooOftenAreLeftOut() {
        List<RecordedEvent> events =
                Flight.of(
                        Map.of("org.ioasis.Request#enabled", "false"),
                        () -> {
                            for (int i = 0; i < 20_000; i++) {
                                d.status(map(7, 0, 0xfff, 0, RW));
                            }
                        });

        assertThat(events.size()).isBetween(1, 5_000);
    }

    /** A slot serves many requests: an event must not be of the one before. */
    @Test
    void aRequestThatWaitsIsAnEventWhenItIsAnsweredAndAsLongAsItWaited() throws Exception {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, Driver.DMA, RW));
        List<RecordedEvent> events =
                Flight.of(
                        Map.of(
                                "org.ioasis.Section#enabled",
                                "false",
                                "org.ioasis.Request#threshold",
                                "20 ms"),
                        () -> {
                            try (Lease lease =
                                    requireNonNull(
                                            dma.pin(0x1000, 1, Access.READ, Long.MAX_VALUE / 2))) {
                                assertThat(lease.isRevoked()).isFalse();
                                d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
                                d.kick();
                                Thread.sleep(30);
                            } catch (InterruptedException e) {
                                throw new AssertionError(e);
                            }
                            d.guards.poll();
                            d.turn();
                        });

        assertThat(events)
                .extracting(event -> event.getEventType().getName())
                .containsExactlyInAnyOrder("org.ioasis.UnmapWait", "org.ioasis.Request");
        for (RecordedEvent event : events) {
            assertThat(event.getDuration()).isGreaterThan(Duration.ofMillis(20));
            assertThat(event.getLong("first")).isEqualTo(0x1000);
        }
    }

    @Test
    void requestsMakeNoGarbageWhileTheyAreRecorded() {
        d.status(attach(1, 7, 0));
        long[] least = new long[1];

        List<RecordedEvent> events =
                Flight.of(
                        Map.of("org.ioasis.Request#threshold", "0 ns"),
                        () ->
                                least[0] =
                                        d.leastAllocation(
                                                List.of(
                                                        map(7, 0, 0xfff, Driver.DMA, RW),
                                                        unmap(7, 0, 0xfff)),
                                                TAIL_SIZE));

        assertThat(least[0]).isZero();
        assertThat(events).isNotEmpty();
    }
}
