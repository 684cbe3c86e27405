// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.function.ObjLongConsumer;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Status;

/**
 * What is planted in one device and has not happened yet. A device has none unless somebody asked
 * for one. Device's thread.
 */
final class Injections {
    private static final long NANOS_PER_MILLI = 1_000_000;

    private final ObjLongConsumer<Runnable> later;
    private long mapsUntilNoMemory;
    private long unmapDelayMillis;
    private long eventsToDrop;
    private long eventsToDouble;
    private int probeBytes = -1;

    /**
     * @param later runs a task on the device's thread when so many nanoseconds have passed
     */
    Injections(ObjLongConsumer<Runnable> later) {
        this.later = later;
    }

    /** Adds one; one of the same kind before it is replaced. */
    void plant(Injection injection) {
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

    /** True if nothing is left to happen. */
    boolean isEmpty() {
        return mapsUntilNoMemory == 0
                && unmapDelayMillis == 0
                && eventsToDrop == 0
                && eventsToDouble == 0
                && probeBytes < 0;
    }

    /** True if this MAP is the one to fail. */
    boolean failsMap() {
        return mapsUntilNoMemory > 0 && --mapsUntilNoMemory == 0;
    }

    long unmapDelayMillis() {
        return unmapDelayMillis;
    }

    /** Answers as {@code slot} would, but later. */
    Completion delayed(RequestSlot slot) {
        long nanos = unmapDelayMillis * NANOS_PER_MILLI;
        return new Completion() {
            @Override
            public void complete(Status status) {
                slot.settled(status);
                later.accept(() -> slot.complete(status), nanos);
            }

            @Override
            public void settled(Status status) {
                slot.settled(status);
            }
        };
    }

    /** True if the next event is to be lost. */
    boolean dropsEvent() {
        return eventsToDrop > 0 && eventsToDrop-- > 0;
    }

    /** True if the event just delivered is to come once more. */
    boolean doublesEvent() {
        return eventsToDouble > 0 && eventsToDouble-- > 0;
    }

    /** Bytes after which the answer to this PROBE ends, or -1. */
    int truncatesProbe() {
        int bytes = probeBytes;
        probeBytes = -1;
        return bytes;
    }
}
