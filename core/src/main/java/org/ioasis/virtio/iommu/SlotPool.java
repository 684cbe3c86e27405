// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.Arrays;
import org.ioasis.memory.Count;
import org.jspecify.annotations.Nullable;

/**
 * The slots of one device: made when they are needed, used again, and never more than {@link
 * VirtioIommuDevice#REQUEST_LIMIT}. A slot that is with the engine when its queue is reset counts
 * until the engine answers it; when the device is reset the engine forgets all. Device's thread;
 * {@link #heldBack} any.
 */
final class SlotPool {
    private final RequestSlot.Answered answered;

    /** Those that are free come first. An array, since a list would have to be walked. */
    private final RequestSlot[] free = new RequestSlot[VirtioIommuDevice.REQUEST_LIMIT];

    private int freeCount;
    private final Count heldBack = new Count();
    private int slots;

    // Resets of the device.
    private int epoch;

    SlotPool(RequestSlot.Answered answered) {
        this.answered = answered;
    }

    /** How often there was none. Any thread. */
    long heldBack() {
        return heldBack.read();
    }

    /** One for a new request; null if the limit is reached. */
    @Nullable RequestSlot take() {
        RequestSlot slot;
        if (freeCount > 0) {
            slot = free[--freeCount];
        } else {
            if (slots == VirtioIommuDevice.REQUEST_LIMIT) {
                heldBack.increment();
                return null;
            }
            slots++;
            slot = new RequestSlot(VirtioIommuDevice.QUEUE_SIZE_MAX, answered);
        }
        slot.epoch = epoch;
        return slot;
    }

    void giveBack(RequestSlot slot) {
        // The engine may still answer one of before, late: it has no place any more.
        if (isOfNow(slot)) {
            free[freeCount++] = slot;
        }
    }

    /** True unless the device was reset since it was taken: then the engine has forgotten it. */
    boolean isOfNow(RequestSlot slot) {
        return slot.epoch == epoch;
    }

    /** The device is reset. */
    void forgetDevice() {
        epoch++;
        slots = freeCount;
        // What is with the engine never comes back, and would stay as long as its place is not
        // used.
        Arrays.fill(free, freeCount, free.length, null);
    }
}
