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
import static org.ioasis.spec.VirtioIommuTables.ATTACH_TAIL;
import static org.ioasis.spec.VirtioIommuTables.INVALIDATE_TAIL;
import static org.ioasis.spec.VirtioIommuTables.RESPONSE_TAIL;
import static org.ioasis.spec.VirtioIommuTables.T_ATTACH_TABLE;
import static org.ioasis.spec.VirtioIommuTables.T_INVALIDATE;
import static org.ioasis.spec.VirtioIommuTables.T_PAGE_RESPONSE;

/** The requests of a driver (virtio 1.4, 5.13.6), and one for all that are none. */
public enum RequestType {
    ATTACH(ATTACH_SIZE),
    DETACH(DETACH_SIZE),
    MAP(MAP_SIZE),
    UNMAP(UNMAP_SIZE),
    PROBE(PROBE_SIZE),
    /** With a {@link Profile}, like the next two. */
    ATTACH_TABLE(ATTACH_TAIL),
    INVALIDATE(INVALIDATE_TAIL),
    PAGE_RESPONSE(RESPONSE_TAIL),
    UNKNOWN(HEAD_SIZE);

    /** Those that every device has. */
    static final RequestType[] OF_1_4 = {ATTACH, DETACH, MAP, UNMAP, PROBE, UNKNOWN};

    /** Bytes of the device-readable part. */
    final int readableSize;

    RequestType(int readableSize) {
        this.readableSize = readableSize;
    }

    /**
     * @param hasTables what drafts add is known too
     */
    static RequestType of(int wire, boolean hasTables) {
        return switch (wire) {
            case T_ATTACH -> ATTACH;
            case T_DETACH -> DETACH;
            case T_MAP -> MAP;
            case T_UNMAP -> UNMAP;
            case T_PROBE -> PROBE;
            case T_ATTACH_TABLE -> hasTables ? ATTACH_TABLE : UNKNOWN;
            case T_INVALIDATE -> hasTables ? INVALIDATE : UNKNOWN;
            case T_PAGE_RESPONSE -> hasTables ? PAGE_RESPONSE : UNKNOWN;
            default -> UNKNOWN;
        };
    }
}
