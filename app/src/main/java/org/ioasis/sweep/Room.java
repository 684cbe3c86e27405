// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import org.ioasis.iommu.iotlb.Iotlb;

/**
 * What a sweep takes of the heap when a recording is at its limits, and so how many designs can be
 * simulated side by side. Any thread.
 */
public final class Room {
    /** The arrays of {@link Trace}. */
    private static final long TRACE_BYTES =
            33L * TraceBuilder.OPERATIONS_MAX + 29L * TraceBuilder.BUFFERS_MAX;

    /** What is mapped while it is read: an entry of a tree with two numbers, and its address. */
    private static final long READING_BYTES = 120L * TraceBuilder.BUFFERS_MAX;

    /**
     * One design: tables twice, an IOTLB twice, and of each buffer where it is, how long it was
     * reachable (twice, to sort it) and what waits for a flush (half as much again while it grows).
     */
    private static final long CELL_BYTES =
            Simulation.TABLES_MAX
                    + Speed.TABLES_MAX
                    + 2 * 32L * Iotlb.ENTRIES_MAX
                    + (3 * 8 + 48) * (long) TraceBuilder.BUFFERS_MAX;

    private Room() {}

    /**
     * How many designs at a time.
     *
     * @param heap its bytes; a third of them are for what is new
     * @param processors that there are: never more
     */
    public static int workers(long heap, int processors) {
        // The next recording is read while others still simulate the one before it.
        long left = heap / 3 * 2 - 2 * TRACE_BYTES - READING_BYTES;
        return Math.clamp(left / CELL_BYTES, 1, processors);
    }
}
