// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Access;
import org.ioasis.memory.HandClock;
import org.ioasis.virtqueue.Allocation;
import org.junit.jupiter.api.Test;

/** Faults on their way: bounded in number and rate, coalesced, explained only when kept. */
class FaultQueueTest {
    private final HandClock clock = new HandClock();
    private final List<String> explained = new ArrayList<>();
    private final FaultQueue queue = new FaultQueue(4, 10, clock);

    private void report(int endpoint, long address, Access access) {
        queue.report(
                FaultReason.MAPPING,
                Kind.MAPPED,
                endpoint,
                -1,
                address,
                access,
                () -> {
                    explained.add(Long.toHexString(address));
                    return "why " + address;
                });
    }

    @Test
    void aFaultSaysItsNumbersAsOtherPlacesDo() {
        queue.report(
                FaultReason.MAPPING,
                Kind.WALKED,
                0x88,
                5,
                -0x1000,
                Access.READ,
                () -> "why",
                () -> new Fault.Table(TwoStageFault.FIRST, WalkFault.TRANSLATION, 2, 0x5000));

        assertThat(queue.poll())
                .hasToString(
                        "MAPPING READ of endpoint 0x88 PASID 5 at 0xfffffffffffff000, WALKED,"
                                + " FIRST TRANSLATION at level 2 for 0x5000: why");
    }

    private int drain() {
        int n = 0;
        while (queue.poll() != null) {
            n++;
        }
        return n;
    }

    @Test
    void faultsComeOutInOrderAndPeekLeavesThem() {
        assertThat(queue.peek()).isNull();
        assertThat(queue.poll()).isNull();
        report(1, 0x1000, Access.READ);
        report(2, 0x2000, Access.WRITE);

        assertThat(queue.peek())
                .isEqualTo(
                        new Fault(
                                FaultReason.MAPPING,
                                Kind.MAPPED,
                                1,
                                -1,
                                0x1000,
                                Access.READ,
                                "why 4096",
                                1));
        assertThat(queue.poll()).isEqualTo(queue.recent().getFirst());
        assertThat(queue.isEmpty()).isFalse();
        assertThat(queue.poll())
                .isEqualTo(
                        new Fault(
                                FaultReason.MAPPING,
                                Kind.MAPPED,
                                2,
                                -1,
                                0x2000,
                                Access.WRITE,
                                "why 8192",
                                1));
        assertThat(queue.isEmpty()).isTrue();
    }

    @Test
    void faultsAlikeOnOnePageAreOneEntry() {
        report(1, 0x1000, Access.READ);
        report(1, 0x1fff, Access.READ);
        report(1, 0x1800, Access.READ);
        report(1, 0x1000, Access.WRITE);
        report(2, 0x1000, Access.READ);
        report(1, 0x2000, Access.READ);

        assertThat(queue.recent()).extracting(Fault::count).containsExactly(3L, 1L, 1L, 1L);
        assertThat(queue.reported()).isEqualTo(6);
        assertThat(queue.dropped()).isZero();
        assertThat(explained).hasSize(4);
    }

    @Test
    void reasonsAreNotMixed() {
        report(1, 0x1000, Access.READ);
        queue.report(FaultReason.DOMAIN, Kind.BLOCKED, 1, -1, 0x1000, Access.READ, () -> "");

        assertThat(queue.recent()).hasSize(2);
    }

    @Test
    void aFullQueueDropsCountsAndDoesNotExplain() {
        for (int i = 0; i < 100; i++) {
            report(1, i * 0x1000L, Access.READ);
        }

        assertThat(queue.reported()).isEqualTo(100);
        assertThat(queue.dropped()).isEqualTo(96);
        assertThat(explained).hasSize(4);
        assertThat(drain()).isEqualTo(4);
    }

    @Test
    void whatEachEndpointDidFirstIsKeptWhoeverFloods() {
        for (int i = 0; i < 100; i++) {
            report(1, i * 0x1000L, Access.READ);
        }
        report(2, 0x5000, Access.WRITE);
        report(2, 0x6000, Access.WRITE);
        report(2, 0x7000, Access.WRITE);

        assertThat(queue.firsts())
                .extracting(Fault::endpoint, Fault::address)
                .containsExactly(
                        tuple(1, 0L), tuple(1, 0x1000L), tuple(2, 0x5000L), tuple(2, 0x6000L));
        assertThat(queue.waiting()).hasSize(4).allMatch(fault -> fault.endpoint() == 1);
        assertThat(queue.dropped()).isEqualTo(99);
        queue.clear();
        assertThat(queue.firsts()).isEmpty();
        for (int i = 0; i < FaultQueue.FIRSTS_MAX + 10; i++) {
            report(i, 0x1000, Access.READ);
        }
        assertThat(queue.firsts()).hasSize(FaultQueue.FIRSTS_MAX);
    }

    @Test
    void aFullQueueDropsThoughTheRateWouldAllowMore() {
        for (int i = 0; i < 4; i++) {
            report(1, i * 0x1000L, Access.READ);
        }
        for (int i = 4; i < 10; i++) {
            clock.advance(1_000_000_000L);
            report(1, i * 0x1000L, Access.READ);
        }

        assertThat(queue.dropped()).isEqualTo(6);
        assertThat(explained).containsExactly("0", "1000", "2000", "3000");
        assertThat(queue.waiting())
                .extracting(Fault::address)
                .containsExactly(0L, 0x1000L, 0x2000L, 0x3000L);
    }

    @Test
    void theRateIsLimitedAfterABurst() {
        for (int i = 0; i < 4; i++) {
            report(1, i * 0x1000L, Access.READ);
        }
        assertThat(drain()).isEqualTo(4);

        report(1, 0x10000, Access.READ);
        assertThat(queue.isEmpty()).as("burst is used up").isTrue();
        clock.advance(99_999_999);
        report(1, 0x11000, Access.READ);
        assertThat(queue.isEmpty()).as("one nanosecond too early").isTrue();
        clock.advance(1);
        report(1, 0x12000, Access.READ);
        report(1, 0x13000, Access.READ);
        assertThat(drain()).isEqualTo(1);
        clock.advance(1_000_000_000L * 3600);
        for (int i = 0; i < 10; i++) {
            report(1, 0x20000 + i * 0x1000L, Access.READ);
        }
        assertThat(drain()).as("no more than a burst is saved up").isEqualTo(4);
    }

    @Test
    void whatIsLeftOfATokensTimeCountsForTheNext() {
        for (int i = 0; i < 4; i++) {
            report(1, i * 0x1000L, Access.READ);
        }
        drain();
        int kept = 0;
        for (int i = 0; i < 20; i++) {
            clock.advance(150_000_000); // one and a half tokens
            report(1, 0x10000 + i * 0x2000L, Access.READ);
            report(1, 0x11000 + i * 0x2000L, Access.READ);
            kept += drain();
        }

        assertThat(kept).isEqualTo(30);
    }

    @Test
    void arrivalIsToldForNewEntriesOnly() {
        List<String> told = new ArrayList<>();
        queue.onArrival(() -> told.add("new"));

        report(1, 0x1000, Access.READ);
        report(1, 0x1004, Access.READ);
        report(1, 0x2000, Access.READ);

        assertThat(told).hasSize(2);
    }

    @Test
    void clearForgetsWhatWaitsAndKeepsTheCounts() {
        report(1, 0x1000, Access.READ);
        queue.clear();

        assertThat(queue.isEmpty()).isTrue();
        assertThat(queue.peek()).isNull();
        assertThat(queue.recent()).isEmpty();
        assertThat(queue.reported()).isEqualTo(1);
        report(1, 0x1000, Access.READ);
        assertThat(queue.recent()).hasSize(1);
    }

    @Test
    void onlyTheLastDeliveredOnesAreKeptForDiagnostics() {
        for (int i = 0; i < 40; i++) {
            clock.advance(100_000_000);
            report(1, i * 0x1000L, Access.READ);
            queue.poll();
        }

        assertThat(queue.recent()).hasSize(16);
        assertThat(queue.recent().getLast().address()).isEqualTo(39 * 0x1000L);
    }

    @Test
    void limitsThatMakeNoSenseAreRefused() {
        assertThatThrownBy(() -> new FaultQueue(0, 1, clock))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new FaultQueue(1, 0, clock))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aFaultThatIsNotKeptAllocatesNothing() {
        Supplier<String> explanation = () -> "never";
        for (int i = 0; i < 8; i++) {
            report(1, i * 0x1000L, Access.READ);
        }
        Runnable round =
                () -> {
                    for (int i = 0; i < 10_000; i++) {
                        long address = 0x100000 + i * 0x1000L;
                        queue.report(
                                FaultReason.MAPPING,
                                Kind.MAPPED,
                                1,
                                -1,
                                address,
                                Access.READ,
                                explanation);
                        queue.report(
                                FaultReason.MAPPING,
                                Kind.MAPPED,
                                1,
                                -1,
                                0x1000,
                                Access.READ,
                                explanation);
                    }
                };

        assertThat(new Allocation().leastOf(20, round)).isLessThan(10_000);
    }
}
