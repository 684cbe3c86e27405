// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.*;

import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.MemoryAddress;
import org.ioasis.spec.VirtioIommuTables;

/** What events of flight recordings say of a request. Device's thread. */
abstract class RequestFields extends Event {
    private static final long NONE = -1;

    @Label("IOMMU")
    String iommu = "";

    @Label("Type")
    String type = "";

    @Label("Status")
    @Description("Empty if it was given back without one")
    String status = "";

    @Label("Endpoint")
    @Description("-1 if the request names none")
    long endpoint = NONE;

    @Label("Domain")
    @Description("-1 if the request names none")
    long domain = NONE;

    @Label("First Address")
    @Description("Of what a MAP or an UNMAP names")
    @MemoryAddress
    long first;

    @Label("Last Address")
    @MemoryAddress
    long last;

    @Label("Guest Address")
    @Description("Where a MAP leads")
    @MemoryAddress
    long output;

    /** Takes over what the slot holds. */
    final void take(String ofIommu, RequestSlot slot) {
        iommu = ofIommu;
        type = slot.type.name();
        status = slot.status == null ? "" : slot.status.name();
        endpoint = NONE;
        domain = NONE;
        first = 0;
        last = 0;
        output = 0;
        if (!slot.holds(slot.type.readableSize)) {
            return;
        }
        switch (slot.type) {
            case ATTACH -> {
                endpoint = u32(slot, ATTACH_ENDPOINT);
                domain = u32(slot, ATTACH_DOMAIN);
            }
            case DETACH -> {
                endpoint = u32(slot, DETACH_ENDPOINT);
                domain = u32(slot, DETACH_DOMAIN);
            }
            case MAP -> {
                domain = u32(slot, MAP_DOMAIN);
                first = slot.le64(MAP_VIRT_START);
                last = slot.le64(MAP_VIRT_END);
                output = slot.le64(MAP_PHYS_START);
            }
            case UNMAP -> {
                domain = u32(slot, UNMAP_DOMAIN);
                first = slot.le64(UNMAP_VIRT_START);
                last = slot.le64(UNMAP_VIRT_END);
            }
            case PROBE -> endpoint = u32(slot, PROBE_ENDPOINT);
            case ATTACH_TABLE -> {
                endpoint = u32(slot, VirtioIommuTables.ATTACH_ENDPOINT);
                domain = u32(slot, VirtioIommuTables.ATTACH_DOMAIN);
            }
            case INVALIDATE -> domain = u32(slot, VirtioIommuTables.INVALIDATE_DOMAIN);
            case PAGE_RESPONSE -> endpoint = u32(slot, VirtioIommuTables.RESPONSE_ENDPOINT);
            case UNKNOWN -> {}
        }
    }

    private static long u32(RequestSlot slot, int offset) {
        return Integer.toUnsignedLong(slot.le32(offset));
    }
}
