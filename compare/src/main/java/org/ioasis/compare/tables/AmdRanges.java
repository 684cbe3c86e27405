// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.util.ArrayList;
import java.util.List;

/**
 * QEMU's AMD IOMMU says of a command only which domain it was about; of the last ones the ring has
 * the range too. Any thread.
 */
final class AmdRanges {
    // AMD I/O Virtualization Technology (IOMMU) Specification, 2.4.3: INVALIDATE_IOMMU_PAGES.
    private static final int OPCODE_AT = 60;
    private static final int INVALIDATE_PAGES = 3;
    private static final int DOMAIN_AT = 32;
    private static final long SIZE_BIT = 1;
    private static final int PAGE_LG2 = 12;

    private AmdRanges() {}

    /**
     * The events, with the ranges of the commands that are still in the ring.
     *
     * @param commands the last that were carried out, the oldest first
     */
    static List<TraceEvent> added(List<TraceEvent> events, List<TraceEvent.Command> commands) {
        List<TraceEvent.Dropped> ranges = new ArrayList<>();
        for (TraceEvent.Command command : commands) {
            if (command.low() >>> OPCODE_AT == INVALIDATE_PAGES) {
                ranges.add(range(command));
            }
        }
        List<TraceEvent> added = new ArrayList<>(events);
        int next = ranges.size() - 1;
        for (int i = added.size() - 1; i >= 0 && next >= 0; i--) {
            if (added.get(i) instanceof TraceEvent.Dropped dropped
                    && dropped.domain() != TraceEvent.UNTOLD) {
                TraceEvent.Dropped range = ranges.get(next--);
                if (range.domain() != dropped.domain()) {
                    throw new IllegalArgumentException(
                            "the ring has %s where the log has %s".formatted(range, dropped));
                }
                added.set(i, range);
            }
        }
        return added;
    }

    /** With S the size is twice what the ones in a row from bit 12 on say. */
    private static TraceEvent.Dropped range(TraceEvent.Command command) {
        long word = command.high();
        long mask = (1L << PAGE_LG2) - 1;
        if ((word & SIZE_BIT) != 0) {
            int lg2 = PAGE_LG2 + 1 + Long.numberOfTrailingZeros(~(word >> PAGE_LG2));
            mask = lg2 >= Long.SIZE ? -1 : (1L << lg2) - 1;
        }
        long first = word & ~mask;
        int domain = (int) (command.low() >>> DOMAIN_AT) & 0xffff;
        return new TraceEvent.Dropped(domain, first, first | mask);
    }
}
