// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.live.Entry;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.IommuRequest;
import org.junit.jupiter.api.Test;

/** What is kept for the page, and what is not. */
class WatchTest {
    private final Watch watch = new Watch(List.of(), InstantSource.fixed(Instant.EPOCH));

    private static Entry map(int i) {
        return new Entry.Answered(
                new IommuRequest.Map(1, i * 0x1000L, i * 0x1000L + 0xfff, 0, 3), Status.OK, "");
    }

    private static Entry unmap(int i) {
        return new Entry.Answered(
                new IommuRequest.Unmap(1, i * 0x1000L, i * 0x1000L + 0xfff), Status.OK, "");
    }

    private static Entry fault(int i) {
        return new Entry.Refused(
                new Fault(
                        FaultReason.MAPPING,
                        Kind.MAPPED,
                        7,
                        -1,
                        i * 0x1000L,
                        Access.READ,
                        "not mapped",
                        1),
                "");
    }

    @Test
    void whatTheQueueHasNoRoomForIsCountedAndTheRestKept() {
        for (int i = 0; i < Watch.QUEUE; i++) {
            watch.add("m/i", fault(i));
        }
        assertThat(watch.lost()).isZero();
        watch.add("m/i", fault(Watch.QUEUE));
        assertThat(watch.lost()).isEqualTo(1);
        watch.drain();
        watch.add("m/i", fault(1));
        assertThat(watch.lost()).isEqualTo(1);
    }

    @Test
    void aThousandRequestsAreKeptAndTheOldestGo() {
        for (int i = 0; i < Watch.REQUESTS + 3; i++) {
            watch.add("m/i", map(i));
        }
        watch.drain();
        List<Watch.Numbered> kept = watch.requestsAfter(0);
        assertThat(kept).hasSize(1000);
        assertThat(kept.getFirst().number()).isEqualTo(4);
        assertThat(kept.getLast().timed().entry()).isEqualTo(map(Watch.REQUESTS + 2));
        assertThat(watch.requestsAfter(kept.getLast().number() - 2)).hasSize(2);
    }

    @Test
    void faultsAndUnmapsAreKeptInBoundsOfTheirOwn() {
        for (int i = 0; i < Watch.UNMAPS + 2; i++) {
            watch.add("m/i", unmap(i));
        }
        for (int i = 0; i < Watch.FAULTS + 2; i++) {
            watch.add("m/i", fault(i));
        }
        for (int i = 0; i < 2 * Watch.REQUESTS; i++) {
            watch.add("m/i", map(i));
        }
        watch.drain();
        assertThat(watch.unmaps("m/i")).hasSize(Watch.UNMAPS);
        assertThat(watch.unmaps("m/i").getFirst().timed().entry()).isEqualTo(unmap(2));
        assertThat(watch.unmaps("m/other")).isEmpty();
        assertThat(watch.faultsAfter(0)).hasSize(Watch.FAULTS);
        assertThat(watch.faultsAfter(0).getFirst().timed().entry()).isEqualTo(fault(2));
    }

    @Test
    void samplesOfADelayAreTakenOnce() {
        Delay delay = new Delay();
        assertThat(delay.take()).isEqualTo(new Delay.Taken(-1, -1));
        delay.add(10);
        delay.add(30);
        assertThat(delay.take()).isEqualTo(new Delay.Taken(20, 30));
        assertThat(delay.take()).isEqualTo(new Delay.Taken(-1, -1));
    }
}
