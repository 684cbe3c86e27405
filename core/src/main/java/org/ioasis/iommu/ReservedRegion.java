// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.memory.Ranges;

/**
 * A range of IOVAs that is special for an endpoint. Immutable.
 *
 * @param first first IOVA
 * @param last last IOVA, inclusive, unsigned
 */
public record ReservedRegion(long first, long last, Kind kind) {
    /** What is special about it. */
    public enum Kind {
        /** Not usable for mappings. */
        RESERVED,
        /** Doorbell of message signaled interrupts: accesses are not translated. */
        MSI,
        /**
         * The IOMMU has an identity mapping of its own there (firmware memory): the endpoint whose
         * region it is, and no other, reads and writes it untranslated in any domain.
         */
        IDENTITY
    }

    public ReservedRegion {
        if (Ranges.isBelow(last, first)) {
            throw new IllegalArgumentException(
                    "reserved region ends before it starts: 0x%x..0x%x".formatted(first, last));
        }
    }

    boolean overlaps(long otherFirst, long otherLast) {
        return Ranges.overlap(first, last, otherFirst, otherLast);
    }
}
