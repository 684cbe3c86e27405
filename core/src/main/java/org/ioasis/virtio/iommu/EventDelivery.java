// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Wire.LE32;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.Pop;
import org.jspecify.annotations.Nullable;

/**
 * Tells the driver of faults through the event queue (virtio 1.4, 5.13.6.9), once it has shown that
 * it is ready. Device's thread; counters any.
 */
final class EventDelivery {
    private final FaultQueue faults;
    private final Injections injections;
    private final Count smallBuffers = new Count();
    private final Count delivered = new Count();
    private final MemorySegment event = MemorySegment.ofArray(new byte[FAULT_SIZE]);
    private final Chain chain = new Chain(VirtioIommuDevice.QUEUE_SIZE_MAX);

    private @Nullable IommuObserver observer;
    private @Nullable List<Fault> told;
    private boolean isDriverReady;
    private int kicks;
    private boolean isAbsent;

    EventDelivery(FaultQueue faults, Injections injections) {
        this.faults = faults;
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

    /** A driver has started the device. */
    void start() {
        isDriverReady = false;
        kicks = 0;
    }

    /** The queue is gone, or the device. */
    void forget() {
        isAbsent = false;
    }

    /** True while it waits for memory that is absent; renewed by the next try. */
    boolean isAbsent() {
        return isAbsent;
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
     * Gives waiting faults to the driver as far as it has put buffers there; the rest waits (P-07).
     * Returns whether the queue could be used.
     */
    boolean deliver(VirtioDevice running) {
        if (!isDriverReady) {
            return true;
        }
        DeviceQueue queue = running.queue(EVENTQ);
        injections.dropEvents(faults);
        if (faults.isEmpty() && queue.unpublished() == 0) {
            return true;
        }
        Pop pop = Pop.GOT;
        boolean isBufferAbsent = false;
        Outcome published;
        boolean interrupt;
        running.dma().enter();
        try {
            while (pop == Pop.GOT && !isBufferAbsent && !faults.isEmpty()) {
                pop = queue.pop(chain);
                if (pop == Pop.EMPTY) {
                    pop = queue.resumeKicks();
                } else if (pop == Pop.GOT) {
                    isBufferAbsent = !deliverInto(queue);
                }
            }
            published = queue.publish();
            interrupt = published == Outcome.OK && queue.shouldInterrupt();
        } finally {
            running.dma().leave();
        }
        if (interrupt) {
            running.interrupt(EVENTQ);
        }
        tellOfEvents();
        isAbsent = isBufferAbsent || pop == Pop.ABSENT || published == Outcome.ABSENT;
        return pop != Pop.BROKEN && published != Outcome.FAULT && published != Outcome.REFUSED;
    }

    /**
     * Writes the oldest fault into the buffer just popped. False if the buffer is absent and was
     * put back.
     */
    private boolean deliverInto(DeviceQueue queue) {
        if (chain.writableLength() < FAULT_SIZE) {
            // Never spread over several buffers (D-64); an older, shorter format does not exist.
            queue.push(chain, 0);
            smallBuffers.increment();
            return true;
        }
        Fault fault = faults.peek();
        if (fault == null) {
            queue.unpop();
            return true;
        }
        encode(fault);
        Outcome outcome = chain.copyOut(0, event, 0, FAULT_SIZE);
        if (outcome == Outcome.ABSENT) {
            queue.unpop();
            return false;
        }
        if (outcome == Outcome.OK) {
            if (!injections.doublesEvent()) {
                faults.poll();
            }
            delivered.increment();
            if (observer != null) {
                noteEvent(fault);
            }
        }
        queue.push(chain, outcome == Outcome.OK ? FAULT_SIZE : 0);
        return true;
    }

    /** For {@link #tellOfEvents}: nobody is told inside of a guarded section. */
    private void noteEvent(Fault fault) {
        List<Fault> events = told;
        if (events == null) {
            events = new ArrayList<>();
            told = events;
        }
        events.add(fault);
    }

    /** Tells who watches what the section before has delivered. */
    private void tellOfEvents() {
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
