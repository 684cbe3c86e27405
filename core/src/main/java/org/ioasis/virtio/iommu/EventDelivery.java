// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Wire.LE32;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.fault.PageRequest;
import org.ioasis.iommu.fault.PageRequests;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.Step;
import org.jspecify.annotations.Nullable;

/**
 * Tells the driver of faults (virtio 1.4, 5.13.6.9), and with a {@link Profile} of page requests,
 * through the event queue, once it has shown that it is ready. Device's thread; counters any.
 */
final class EventDelivery {
    private final FaultQueue faults;
    private final PageRequests requests;
    private final Injections injections;
    private final Count smallBuffers = new Count();
    private final Count delivered = new Count();
    private final Count requestsDelivered = new Count();
    private final MemorySegment event =
            MemorySegment.ofArray(new byte[VirtioIommuTables.FAULT_SIZE]);

    private @Nullable IommuObserver observer;
    private @Nullable List<Fault> told;
    private boolean isDriverReady;
    private boolean hasPageRequests;
    private boolean isFaultNext;
    private int kicks;

    EventDelivery(FaultQueue faults, PageRequests requests, Injections injections) {
        this.faults = faults;
        this.requests = requests;
        this.injections = injections;
    }

    void observe(@Nullable IommuObserver watcher) {
        observer = watcher;
    }

    /** Event buffers given back because no fault report fits in. Any thread. */
    long smallBuffers() {
        return smallBuffers.read();
    }

    /** Faults that the driver was told of. Any thread. */
    long delivered() {
        return delivered.read();
    }

    /** Page requests that the driver was told of. Any thread. */
    long requestsDelivered() {
        return requestsDelivered.read();
    }

    /**
     * A driver has started the device.
     *
     * @param withPageRequests it takes them, and the longer reports that they come in
     */
    void start(boolean withPageRequests) {
        hasPageRequests = withPageRequests;
        isFaultNext = false;
        isDriverReady = false;
        kicks = 0;
    }

    boolean isDriverReady() {
        return isDriverReady;
    }

    /** Kicks of this queue, as far as it matters: 0, 1, or more. */
    int kicks() {
        return Math.min(kicks, 2);
    }

    /** Takes over what was saved. */
    void restore(boolean isReady, int savedKicks) {
        isDriverReady = isReady;
        kicks = savedKicks;
    }

    /**
     * The first one comes from the frame at DRIVER_OK. Linux fills the queue after DRIVER_OK,
     * without a kick, and crashes on an event that comes before it is done: so only its own kick,
     * or a request, shows that it is.
     */
    void kicked() {
        kicks++;
        isDriverReady |= kicks > 1;
    }

    /** A request has come. */
    void driverIsReady() {
        isDriverReady = true;
    }

    /**
     * True if there is a fault or a page request to tell and a driver that is ready for it. As far
     * as there are buffers; the rest waits (P-07).
     */
    boolean isDue() {
        if (!isDriverReady) {
            return false;
        }
        injections.dropEvents(faults);
        return !faults.isEmpty() || isRequestDue();
    }

    private boolean isRequestDue() {
        return hasPageRequests && requests.peek() != null;
    }

    /**
     * Writes the oldest page request or fault into the buffer just taken. A page request is first,
     * since somebody waits for its answer; while there are both they take turns, so that a device
     * that asks all the time keeps no fault from the driver. Inside a guarded section.
     */
    Step fill(RequestSlot buffer) {
        PageRequest request = hasPageRequests ? requests.peek() : null;
        return request == null || (isFaultNext && !faults.isEmpty())
                ? fillFault(buffer)
                : fill(buffer, request);
    }

    private Step fill(RequestSlot buffer, PageRequest request) {
        int size = VirtioIommuTables.FAULT_SIZE;
        if (buffer.chain().writableLength() < size) {
            smallBuffers.increment();
            return buffer.finish(0);
        }
        PageRequestEvent.encode(request, event);
        Outcome outcome = buffer.chain().copyOut(0, event, 0, size);
        if (outcome == Outcome.ABSENT) {
            return Step.PUT_BACK;
        }
        if (outcome != Outcome.OK) {
            return buffer.finish(0);
        }
        requests.told();
        isFaultNext = true;
        requestsDelivered.increment();
        return buffer.finish(size);
    }

    private Step fillFault(RequestSlot buffer) {
        if (buffer.chain().writableLength() < FAULT_SIZE) {
            // Never spread over several buffers (D-64); an older, shorter format does not exist.
            smallBuffers.increment();
            return buffer.finish(0);
        }
        Fault fault = requireNonNull(faults.peek());
        encode(fault);
        int size = size(buffer, fault);
        Outcome outcome = buffer.chain().copyOut(0, event, 0, size);
        if (outcome == Outcome.ABSENT) {
            return Step.PUT_BACK;
        }
        if (outcome != Outcome.OK) {
            return buffer.finish(0);
        }
        if (!injections.doublesEvent()) {
            faults.poll();
        }
        isFaultNext = false;
        delivered.increment();
        if (observer != null) {
            noteEvent(fault);
        }
        return buffer.finish(size);
    }

    /**
     * The longer report says the PASID, where the driver takes such and there is room: new fields
     * stand at its end only, so that the shorter one is its beginning.
     */
    private int size(RequestSlot buffer, Fault fault) {
        int longer = VirtioIommuTables.FAULT_SIZE;
        if (!hasPageRequests || buffer.chain().writableLength() < longer) {
            return FAULT_SIZE;
        }
        if (fault.pasid() >= 0) {
            int flags = event.get(LE32, FAULT_FLAGS) | VirtioIommuTables.FAULT_HAS_PASID;
            event.set(LE32, FAULT_FLAGS, flags);
            event.set(LE32, VirtioIommuTables.FAULT_PASID, fault.pasid());
        }
        return longer;
    }

    /** For {@link #tell}: nobody is told inside of a guarded section. */
    private void noteEvent(Fault fault) {
        List<Fault> events = told;
        if (events == null) {
            events = new ArrayList<>();
            told = events;
        }
        events.add(fault);
    }

    /** Tells who watches what the section before has delivered, and what was lost in it. */
    void tell() {
        injections.tellOfLost();
        List<Fault> events = told;
        IommuObserver watcher = observer;
        if (events != null && watcher != null) {
            events.forEach(watcher::delivered);
        }
        told = null;
    }

    private void encode(Fault fault) {
        event.fill((byte) 0);
        event.set(
                JAVA_BYTE,
                FAULT_REASON,
                (byte) (fault.reason() == FaultReason.DOMAIN ? FAULT_R_DOMAIN : FAULT_R_MAPPING));
        int access = fault.access() == Access.WRITE ? FAULT_F_WRITE : FAULT_F_READ;
        event.set(LE32, FAULT_FLAGS, access | FAULT_F_ADDRESS);
        event.set(LE32, FAULT_ENDPOINT, fault.endpoint());
        event.set(LE64, FAULT_ADDRESS, fault.address());
    }
}
