// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.StateText;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.KeptState;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.PackedState;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;
import org.ioasis.virtqueue.SplitState;
import org.jspecify.annotations.Nullable;

/**
 * A driver whose device writes its state and its chains in flight to memory that stays, and may end
 * at any moment. One thread.
 */
final class KeptDriver {
    final Driver d;
    final MemorySegment region;
    private final RingFormat format;
    private final MemorySegment log;

    /**
     * @param bytes of the memory for the state
     */
    KeptDriver(IommuOptions options, RingFormat format, long bytes) {
        this.format = format;
        d = new Driver(options);
        d.start(d.type.features(), false, format);
        region = Arena.ofAuto().allocate(bytes, 8);
        log = Arena.ofAuto().allocate(format.logBytes(Driver.QUEUE_SIZE), 8);
        kept().begin(region);
        // The device has an empty ring already: it gets it once more, with a log.
        d.device.handover().take(REQUESTQ, _ -> {});
        give(newLog());
    }

    KeptDriver(RingFormat format) {
        this(Driver.OPTIONS, format, StateRecords.bytes(StateRecords.CAPACITY_MIN));
    }

    KeptState kept() {
        return requireNonNull(d.type.keptState());
    }

    private ChainLog newLog() {
        return format.newLog(log, Driver.QUEUE_SIZE);
    }

    private void give(ChainLog chains) {
        chains.numberFrom(kept().nextNumber());
        // Where it is says the log, if somebody has used it.
        RingState start = format == RingFormat.PACKED ? PackedState.at(0, true) : SplitState.at(0);
        boolean isGiven =
                d.device
                        .handover()
                        .give(
                                REQUESTQ,
                                Driver.QUEUE_SIZE,
                                d.requests.descAddress(),
                                d.requests.driverAddress(),
                                d.requests.deviceAddress(),
                                start,
                                chains);
        assertThat(isGiven).isTrue();
    }

    /** The process ends, and the next one goes on; what keeps it from that, or null. */
    @Nullable String end() {
        return end(d.iommu.options());
    }

    /** The same with another configuration. */
    @Nullable String end(IommuOptions options) {
        d.exchange(options, d.type.features());
        d.device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        d.device.writeDriverFeatures(
                d.type.features()
                        | Virtio.F_VERSION_1
                        | Virtio.F_INDIRECT_DESC
                        | (format == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0));
        d.device.writeStatus(d.device.status() | Virtio.STATUS_FEATURES_OK);
        d.device.writeStatus(d.device.status() | Virtio.STATUS_DRIVER_OK);
        ChainLog chains = newLog();
        String problem = kept().goOn(region, chains.numbersOut());
        if (problem == null) {
            give(chains);
            d.turn();
        }
        return problem;
    }

    /** Another request stands where that of a chain of a split ring stood. */
    void becomes(int head, byte[] request) {
        MemorySegment descriptor = descriptor(head);
        long at = descriptor.get(ValueLayout.JAVA_LONG, SplitRing.DESC_ADDR) - Driver.IN;
        MemorySegment.copy(
                request, 0, d.bytes(Driver.IN), ValueLayout.JAVA_BYTE, at, request.length);
        descriptor.set(ValueLayout.JAVA_INT, SplitRing.DESC_LEN, request.length);
    }

    /** So many bytes of the answer to a chain of a split ring can be written. */
    void hasRoom(int head, int bytes) {
        int next = descriptor(head).get(ValueLayout.JAVA_SHORT, SplitRing.DESC_NEXT);
        descriptor(next).set(ValueLayout.JAVA_INT, SplitRing.DESC_LEN, bytes);
    }

    private MemorySegment descriptor(int index) {
        long at = d.requests.descAddress() - Driver.REQUEST_RING;
        return d.bytes(Driver.REQUEST_RING)
                .asSlice(at + (long) index * SplitRing.DESC_SIZE, SplitRing.DESC_SIZE);
    }

    String state() {
        return StateText.of(d.iommu);
    }
}
