// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.ATTACH_SIZE;
import static org.ioasis.spec.VirtioIommu.DETACH_SIZE;
import static org.ioasis.spec.VirtioIommu.HEAD_SIZE;
import static org.ioasis.spec.VirtioIommu.MAP_SIZE;
import static org.ioasis.spec.VirtioIommu.PROBE_SIZE;
import static org.ioasis.spec.VirtioIommu.T_ATTACH;
import static org.ioasis.spec.VirtioIommu.T_DETACH;
import static org.ioasis.spec.VirtioIommu.T_MAP;
import static org.ioasis.spec.VirtioIommu.T_PROBE;
import static org.ioasis.spec.VirtioIommu.T_UNMAP;
import static org.ioasis.spec.VirtioIommu.UNMAP_SIZE;

/** The requests of a driver (virtio 1.4, 5.13.6), and one for all that are none. */
public enum RequestType {
    ATTACH(ATTACH_SIZE),
    DETACH(DETACH_SIZE),
    MAP(MAP_SIZE),
    UNMAP(UNMAP_SIZE),
    PROBE(PROBE_SIZE),
    UNKNOWN(HEAD_SIZE);

    /** Bytes of the device-readable part. */
    final int readableSize;

    RequestType(int readableSize) {
        this.readableSize = readableSize;
    }

    static RequestType of(int wire) {
        return switch (wire) {
            case T_ATTACH -> ATTACH;
            case T_DETACH -> DETACH;
            case T_MAP -> MAP;
            case T_UNMAP -> UNMAP;
            case T_PROBE -> PROBE;
            default -> UNKNOWN;
        };
    }
}
