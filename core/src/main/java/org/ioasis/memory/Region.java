// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * One contiguous range of guest-physical memory as the VMM shared it. Immutable; any thread.
 *
 * @param gpaFirst first guest-physical address
 * @param gpaLast last guest-physical address, inclusive, unsigned
 * @param segment the memory, exactly {@code gpaLast - gpaFirst + 1} bytes; null where the VMM gave
 *     no file descriptor (ROM): such a range is present but cannot be touched
 * @param isWritable false for read-only memory: writes of devices are refused
 * @param lender makes leases on the region; null if it has none to give
 */
public record Region(
        long gpaFirst,
        long gpaLast,
        @Nullable MemorySegment segment,
        boolean isWritable,
        @Nullable Lender lender) {

    public Region {
        if (Ranges.isBelow(gpaLast, gpaFirst)) {
            throw new IllegalArgumentException(
                    "region ends before it starts: gpa=0x%x..0x%x".formatted(gpaFirst, gpaLast));
        }
        if (segment != null && segment.byteSize() != gpaLast - gpaFirst + 1) {
            throw new IllegalArgumentException(
                    "region gpa=0x%x..0x%x has a segment of %d bytes"
                            .formatted(gpaFirst, gpaLast, segment.byteSize()));
        }
    }

    boolean overlaps(long first, long last) {
        return Ranges.overlap(gpaFirst, gpaLast, first, last);
    }
}
