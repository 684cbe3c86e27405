// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.ArrayDeque;
import java.util.function.Consumer;
import java.util.function.ObjLongConsumer;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;

/**
 * What is planted in one device and has not happened yet: nothing, unless somebody asked for it.
 * Device's thread.
 */
final class Injections {
    private static final long NANOS_PER_MILLI = 1_000_000;

    private final Consumer<String> told;
    private final ArrayDeque<Fault> lost = new ArrayDeque<>();
    private ObjLongConsumer<Runnable> later = (task, nanos) -> task.run();
    private long mapsUntilNoMemory;
    private long unmapDelayMillis;
    private long eventsToDrop;
    private long eventsToDouble;
    private int probeBytes = -1;

    /**
     * @param told hears what has happened
     */
    Injections(Consumer<String> told) {
        this.told = told;
    }

    /**
     * Adds one; one of the same kind before it is replaced.
     *
     * @param timer runs a task on the device's thread when so many nanoseconds have passed
     */
    void plant(Injection injection, ObjLongConsumer<Runnable> timer) {
        later = timer;
        told.accept("planted: " + injection.text());
        switch (injection) {
            case Injection.MapNoMemory(long nth) -> mapsUntilNoMemory = nth;
            case Injection.UnmapDelay(long millis) -> unmapDelayMillis = millis;
            case Injection.EventsDropped(long count) -> eventsToDrop = count;
            case Injection.EventsDoubled(long count) -> eventsToDouble = count;
            case Injection.ProbeTruncated(int bytes) -> probeBytes = bytes;
            case Injection.None() -> {
                mapsUntilNoMemory = 0;
                unmapDelayMillis = 0;
                eventsToDrop = 0;
                eventsToDouble = 0;
                probeBytes = -1;
            }
        }
    }

    /** True if this MAP is the one to fail. */
    boolean failsMap() {
        return mapsUntilNoMemory > 0 && --mapsUntilNoMemory == 0;
    }

    /** Who answers this UNMAP: the slot itself, or the same later. */
    Completion ofUnmap(RequestSlot slot) {
        if (unmapDelayMillis == 0) {
            return slot;
        }
        long nanos = unmapDelayMillis * NANOS_PER_MILLI;
        told.accept("UNMAP is answered %d ms late".formatted(unmapDelayMillis));
        return new Completion() {
            @Override
            public void complete(Status status) {
                slot.settled(status);
                later.accept(() -> slot.complete(status), nanos);
            }

            @Override
            public void refused(Refusal refusal) {
                slot.refusal = refusal;
                slot.settled(refusal.status());
                later.accept(() -> slot.refused(refusal), nanos);
            }

            @Override
            public void settled(Status status) {
                slot.settled(status);
            }
        };
    }

    /** Takes the oldest faults away that are to be lost. Inside a guarded section. */
    void dropEvents(FaultQueue faults) {
        while (eventsToDrop > 0) {
            Fault dropped = faults.poll();
            if (dropped == null) {
                return;
            }
            eventsToDrop--;
            lost.add(dropped);
        }
    }

    /** Tells of what was lost: nobody is told inside of a guarded section. */
    void tellOfLost() {
        for (Fault fault = lost.poll(); fault != null; fault = lost.poll()) {
            told.accept(
                    "event is lost: endpoint 0x%x, %s at 0x%x"
                            .formatted(fault.endpoint(), fault.access(), fault.address()));
        }
    }

    /** True if the event just delivered is to come once more. */
    boolean doublesEvent() {
        return eventsToDouble > 0 && eventsToDouble-- > 0;
    }

    /** Bytes after which the answer to this PROBE ends, or -1. */
    int truncatesProbe() {
        int bytes = probeBytes;
        probeBytes = -1;
        if (bytes >= 0) {
            told.accept("answer to PROBE ends after %d bytes".formatted(bytes));
        }
        return bytes;
    }
}
