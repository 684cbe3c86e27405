// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioIommu.EVENTQ;
import static org.ioasis.spec.VirtioIommu.FAULT_ADDRESS;
import static org.ioasis.spec.VirtioIommu.FAULT_ENDPOINT;
import static org.ioasis.spec.VirtioIommu.FAULT_FLAGS;
import static org.ioasis.spec.VirtioIommu.FAULT_F_ADDRESS;
import static org.ioasis.spec.VirtioIommu.FAULT_F_READ;
import static org.ioasis.spec.VirtioIommu.FAULT_F_WRITE;
import static org.ioasis.spec.VirtioIommu.FAULT_REASON;
import static org.ioasis.spec.VirtioIommu.FAULT_RESERVED;
import static org.ioasis.spec.VirtioIommu.FAULT_R_DOMAIN;
import static org.ioasis.spec.VirtioIommu.FAULT_R_MAPPING;
import static org.ioasis.spec.VirtioIommu.FAULT_SIZE;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.function.Consumer;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtqueue.DriverQueue;

/**
 * The event queue (5.13.6.9): every descriptor has a buffer that is with the device, but for the
 * moment in which it is read. Driver's thread.
 */
final class EventRing {
    private static final int STRIDE = 64;
    private static final ValueLayout.OfShort LE16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Transport device;
    private final DriverQueue ring;
    private final DriverMemory.Piece buffers;
    private final DriverCounts counts;

    // A report is copied before it is looked at: the device may write it again.
    private final byte[] copy;
    private final MemorySegment report;

    /**
     * @param withPageRequests reports are the longer ones of a draft, and may be page requests
     */
    EventRing(
            Transport device,
            DriverQueue ring,
            DriverMemory.Piece buffers,
            DriverCounts counts,
            boolean withPageRequests) {
        copy = new byte[withPageRequests ? VirtioIommuTables.FAULT_SIZE : FAULT_SIZE];
        report = MemorySegment.ofArray(copy);
        this.device = device;
        this.ring = ring;
        this.buffers = buffers;
        this.counts = counts;
    }

    static long bufferBytes(int size) {
        return (long) STRIDE * size;
    }

    /** Gives the device all buffers that it does not have. */
    void fill() {
        while (ring.hasRoom(1)) {
            int name = ring.begin();
            ring.writable(buffers.address() + (long) STRIDE * name, copy.length);
            ring.offer();
        }
        ring.expose();
        if (ring.shouldKick()) {
            device.kick(EVENTQ);
        }
    }

    /**
     * Hands over what has come, as much as the queue holds at most.
     *
     * @return how many events came, those that are ignored included
     */
    int poll(Consumer<? super FaultReport> listener, Consumer<? super PageRequestReport> whenAsked)
            throws BrokenException {
        int events = 0;
        try {
            while (events < ring.size()) {
                int name = ring.take();
                if (name == DriverQueue.NONE) {
                    break;
                }
                if (name == DriverQueue.BROKEN) {
                    throw new BrokenException("event queue: " + ring.brokenReason());
                }
                events++;
                if (ring.written() < FAULT_SIZE) {
                    counts.ignoredEvents++;
                } else {
                    // What is missing of the longer form says nothing.
                    Arrays.fill(copy, (byte) 0);
                    long written = Math.min(ring.written(), copy.length);
                    MemorySegment.copy(buffers.segment(), (long) STRIDE * name, report, 0, written);
                    tell(listener, whenAsked);
                }
            }
        } finally {
            // Whatever the listener does, the device does not run out of buffers.
            if (events > 0) {
                fill();
            }
        }
        return events;
    }

    private void tell(
            Consumer<? super FaultReport> listener, Consumer<? super PageRequestReport> whenAsked) {
        // Reserved bytes say that it is of a form that is not known; reserved1 says nothing.
        if (copy[FAULT_RESERVED] != 0
                || copy[FAULT_RESERVED + 1] != 0
                || copy[FAULT_RESERVED + 2] != 0) {
            counts.ignoredEvents++;
            return;
        }
        int flags = report.get(LE32, FAULT_FLAGS);
        if (copy.length > FAULT_SIZE && (flags & VirtioIommuTables.FAULT_PAGE_REQUEST) != 0) {
            tell(flags, whenAsked);
            return;
        }
        boolean hasAddress = (flags & FAULT_F_ADDRESS) != 0;
        FaultReport fault =
                new FaultReport(
                        reason(report.get(JAVA_BYTE, FAULT_REASON)),
                        report.get(LE32, FAULT_ENDPOINT),
                        (flags & FAULT_F_READ) != 0,
                        (flags & FAULT_F_WRITE) != 0,
                        hasAddress,
                        hasAddress ? report.get(LE64, FAULT_ADDRESS) : 0);
        counts.faults++;
        listener.accept(fault);
    }

    /** One that does not say of which group or where cannot be answered. */
    private void tell(int flags, Consumer<? super PageRequestReport> whenAsked) {
        int needed = VirtioIommuTables.FAULT_HAS_GROUP | VirtioIommuTables.FAULT_HAS_ADDRESS;
        if ((flags & needed) != needed) {
            counts.ignoredEvents++;
            return;
        }
        boolean hasPasid = (flags & VirtioIommuTables.FAULT_HAS_PASID) != 0;
        counts.pageRequests++;
        whenAsked.accept(
                new PageRequestReport(
                        report.get(LE32, FAULT_ENDPOINT),
                        hasPasid ? report.get(LE32, VirtioIommuTables.FAULT_PASID) : -1,
                        Short.toUnsignedInt(report.get(LE16, VirtioIommuTables.FAULT_GROUP)),
                        (flags & VirtioIommuTables.FAULT_READ) != 0,
                        (flags & VirtioIommuTables.FAULT_WRITE) != 0,
                        (flags & VirtioIommuTables.FAULT_LAST) != 0,
                        report.get(LE64, FAULT_ADDRESS)));
    }

    private static FaultReport.Reason reason(byte value) {
        return switch (value) {
            case FAULT_R_DOMAIN -> FaultReport.Reason.DOMAIN;
            case FAULT_R_MAPPING -> FaultReport.Reason.MAPPING;
            // UNKNOWN, and what later versions add (5.13.6.9.1).
            default -> FaultReport.Reason.UNKNOWN;
        };
    }
}
