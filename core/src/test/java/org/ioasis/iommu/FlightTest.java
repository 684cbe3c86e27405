// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;
import static org.ioasis.iommu.mapping.MapFlags.WRITE;

import java.util.List;
import java.util.Map;
import jdk.jfr.consumer.RecordedEvent;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Flight;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.virtqueue.Allocation;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a flight recording has of translation, faults and waits, with the events' own settings. */
final class FlightTest {
    private static final int TIMES = 20_000;
    private static final int ATTEMPTS = 20;

    private final Machine m = new Machine(Machine.strict().name("vm0/left").build());
    private final Dma dma = m.dma(m.plug(0x11));

    @BeforeEach
    void attachAndMap() {
        m.attach(0x11, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        m.map(7, 0x5000, 0x5fff, RAM, READ | WRITE);
    }

    /** A section of so many translations. */
    private void section(int translations) {
        dma.enter();
        for (int i = 0; i < translations; i++) {
            assertThat(dma.resolve(0x5000, 8, Access.WRITE)).isEqualTo(Outcome.OK);
        }
        dma.leave();
    }

    @Test
    void oneSectionInSoManyIsAnEventWithWhatItHasTranslated() {
        List<RecordedEvent> events =
                Flight.of(
                        Map.of(),
                        () -> {
                            for (int i = 0; i < 3 * SectionEvent.INTERVAL; i++) {
                                section(i % SectionEvent.INTERVAL == 0 ? 5 : 1);
                            }
                        });

        assertThat(events).hasSize(3);
        for (RecordedEvent event : events) {
            assertThat(event.getEventType().getName()).isEqualTo("org.ioasis.Section");
            assertThat(event.getString("iommu")).isEqualTo("vm0/left");
            assertThat(event.getLong("endpoint")).isEqualTo(0x11);
            assertThat(event.getInt("pasid")).isEqualTo(-1);
            assertThat(event.getString("domain")).isEqualTo("domain 0x7");
            assertThat(event.getInt("translations")).isEqualTo(5);
            assertThat(event.getBoolean("isFaulted")).isFalse();
            assertThat(event.getDuration()).isPositive();
        }
    }

    @Test
    void aSectionThatIsOpenWhenARecordingStartsIsNone() {
        dma.enter();

        assertThat(Flight.of(Map.of(), dma::leave)).isEmpty();
    }

    @Test
    void aRefusedAccessIsAnEventWithItsExplanation() {
        m.unmap(7, 0, 0xfff);

        assertThat(
                        Flight.textOf(
                                Map.of("org.ioasis.Section#enabled", "false"),
                                () -> {
                                    m.access(dma, 0x10, Access.READ);
                                    m.access(dma, 0x20, Access.READ); // the same page: not again
                                    m.access(dma, 0x9000, Access.WRITE);
                                }))
                .containsExactly(
                        "Fault iommu=vm0/left endpoint=0x11 pasid=-1 access=READ address=0x10"
                                + " reason=MAPPING explanation=not mapped in domain 0x7; nearest is"
                                + " 0x5000..0x5fff; the driver unmapped 0x0..0xfff a moment ago, 1"
                                + " UNMAP before",
                        "Fault iommu=vm0/left endpoint=0x11 pasid=-1 access=WRITE address=0x9000"
                                + " reason=MAPPING explanation=not mapped in domain 0x7; nearest is"
                                + " 0x5000..0x5fff");
    }

    @Test
    void onlyAnUnmapThatWaitsIsAnEvent() {
        assertThat(
                        Flight.textOf(
                                Map.of("org.ioasis.Section#enabled", "false"),
                                () -> {
                                    m.unmap(7, 0, 0xfff);
                                    try (Lease lease = m.pin(dma, 0x5000, 16)) {
                                        assertThat(lease.isRevoked()).isFalse();
                                        m.requests.unmap(7, 0x5000, 0x5fff, new Replies.One());
                                        m.guards.poll();
                                    }
                                    m.guards.poll();
                                }))
                .containsExactly(
                        "UnmapWait iommu=vm0/left domain=domain 0x7 first=0x5000 last=0x5fff");
    }

    @Test
    void anUnmapThatAResetForgetsIsNoEvent() {
        assertThat(
                        Flight.of(
                                Map.of("org.ioasis.Section#enabled", "false"),
                                () -> {
                                    Guard other = m.guards.open();
                                    other.enter();
                                    m.requests.unmap(7, 0, 0xfff, new Replies.One());
                                    other.leave();
                                    m.reset();
                                    m.guards.poll();
                                }))
                .isEmpty();
    }

    @Test
    void translationsAndWaitsMakeNoGarbageWhileTheyAreRecorded() {
        Allocation allocation = new Allocation();
        Guard other = m.guards.open();
        Replies.One reply = new Replies.One();
        long[] least = new long[2];

        List<RecordedEvent> events =
                Flight.of(
                        Map.of(),
                        () -> {
                            least[0] =
                                    allocation.leastOf(
                                            ATTEMPTS,
                                            () -> {
                                                for (int i = 0; i < TIMES; i++) {
                                                    dma.enter();
                                                    dma.resolve(0x5000, 8, Access.READ);
                                                    dma.leave();
                                                }
                                            });
                            least[1] =
                                    allocation.leastOf(
                                            ATTEMPTS,
                                            () -> {
                                                for (int i = 0; i < TIMES; i++) {
                                                    m.requests.map(
                                                            7, 0x9000, 0x9fff, RAM, READ, reply);
                                                    other.enter();
                                                    m.requests.unmap(7, 0x9000, 0x9fff, reply);
                                                    other.leave();
                                                    m.guards.poll();
                                                }
                                            });
                        });

        assertThat(least[0]).isLessThan(TIMES);
        assertThat(least[1]).isLessThan(TIMES);
        assertThat(events)
                .extracting(event -> event.getEventType().getName())
                .contains("org.ioasis.Section", "org.ioasis.UnmapWait");
    }
}
