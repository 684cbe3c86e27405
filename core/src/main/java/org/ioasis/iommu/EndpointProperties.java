// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.List;
import org.ioasis.memory.Ranges;

/**
 * What is particular about one endpoint. Immutable.
 *
 * @param pageSizeMask page sizes that it can use, 0 for all that the IOMMU has; the lowest common
 *     bit is the granule
 * @param inputFirst first IOVA that it can put on the bus
 * @param inputLast last one, inclusive
 * @param reserved its reserved regions
 */
public record EndpointProperties(
        long pageSizeMask, long inputFirst, long inputLast, ReservedWindows reserved) {

    public EndpointProperties {
        if (Ranges.isBelow(inputLast, inputFirst)) {
            throw new IllegalArgumentException(
                    "input range ends before it starts: 0x%x..0x%x"
                            .formatted(inputFirst, inputLast));
        }
    }

    /** An endpoint without any limit of its own. */
    public static final EndpointProperties UNLIMITED =
            new EndpointProperties(0, 0, -1L, ReservedWindows.NONE);

    /** An endpoint whose only particularity are its reserved regions. */
    public static EndpointProperties reserving(List<ReservedRegion> regions) {
        return new EndpointProperties(0, 0, -1L, ReservedWindows.of(regions));
    }
}
