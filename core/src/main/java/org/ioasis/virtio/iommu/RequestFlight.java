// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import org.ioasis.iommu.Status;

/**
 * Tells a flight recording of requests; costs a look at a field if there is none. Device's thread,
 * outside of sections: an event may have to wait for room in its thread's buffer.
 */
final class RequestFlight {
    private final String iommu;
    private final RequestExecution execution;

    /**
     * @param iommu what recordings call it
     */
    RequestFlight(String iommu, RequestExecution execution) {
        this.iommu = iommu;
        this.execution = execution;
    }

    /** The first {@code count} of a batch are carried out now. True if that is recorded. */
    boolean begin(RequestSlot[] batch, int count) {
        if (!RequestEvent.isRecorded()) {
            return false;
        }
        for (int i = 0; i < count; i++) {
            RequestSlot slot = batch[i];
            RequestEvent event = slot.event;
            if (event == null) {
                event = new RequestEvent();
                slot.event = event;
            }
            event.begin();
            slot.isTimed = true;
        }
        return true;
    }

    /** The slot has its answer. */
    void answered(RequestSlot slot) {
        RequestEvent event = slot.event;
        if (event != null && slot.isTimed) {
            event.end();
            if (event.shouldCommit()) {
                event.take(iommu, slot);
                event.commit();
            }
        }
        if (slot.status != Status.OK && RefusalEvent.isRecorded()) {
            refused(slot);
        }
    }

    private void refused(RequestSlot slot) {
        RefusalEvent event = new RefusalEvent();
        // Its place in time: what comes too often is left out by it.
        event.begin();
        event.end();
        if (event.shouldCommit()) {
            event.take(iommu, slot);
            event.reason = execution.reason(slot, IommuRequest.of(slot));
            event.commit();
        }
    }
}
