// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.Status;
import org.ioasis.spec.VirtioIommu;

/** Little-endian fields and status codes of the device's structures. Any thread. */
final class Wire {
    static final ValueLayout.OfShort LE16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private Wire() {}

    static int status(Status status) {
        if (status == Status.OK) {
            return VirtioIommu.S_OK; // nearly always, and then no table is asked
        }
        return switch (status) {
            case OK -> VirtioIommu.S_OK;
            case IOERR -> VirtioIommu.S_IOERR;
            case UNSUPP -> VirtioIommu.S_UNSUPP;
            case DEVERR -> VirtioIommu.S_DEVERR;
            case INVAL -> VirtioIommu.S_INVAL;
            case RANGE -> VirtioIommu.S_RANGE;
            case NOENT -> VirtioIommu.S_NOENT;
            case FAULT -> VirtioIommu.S_FAULT;
            case NOMEM -> VirtioIommu.S_NOMEM;
        };
    }
}
