// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommuTables.*;
import static org.ioasis.virtio.iommu.Wire.LE16;
import static org.ioasis.virtio.iommu.Wire.LE32;
import static org.ioasis.virtio.iommu.Wire.LE64;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.fault.PageRequest;
import org.ioasis.iommu.pagetable.Rights;

/** A page request as the event queue tells of it (drafts of 2021). Any thread. */
final class PageRequestEvent {
    private PageRequestEvent() {}

    static void encode(PageRequest request, MemorySegment event) {
        event.fill((byte) 0);
        int rights = request.rights();
        boolean hasPasid = request.pasid() >= 0;
        int flags =
                FAULT_PAGE_REQUEST
                        | FAULT_HAS_ADDRESS
                        | FAULT_HAS_GROUP
                        | ((rights & Rights.READ) == 0 ? 0 : FAULT_READ)
                        | ((rights & Rights.WRITE) == 0 ? 0 : FAULT_WRITE)
                        | ((rights & Rights.EXECUTE) == 0 ? 0 : FAULT_EXEC)
                        | ((rights & Rights.USER) == 0 ? FAULT_PRIV : 0)
                        | (request.isLast() ? FAULT_LAST : 0)
                        | (hasPasid ? FAULT_HAS_PASID : 0);
        event.set(LE32, FAULT_FLAGS, flags);
        event.set(LE32, FAULT_ENDPOINT, request.endpoint());
        event.set(LE32, FAULT_PASID, hasPasid ? request.pasid() : 0);
        event.set(LE64, FAULT_ADDRESS, request.address());
        event.set(LE16, FAULT_GROUP, (short) request.group());
    }
}
