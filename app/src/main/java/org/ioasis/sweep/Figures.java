// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serializable;

/**
 * What a design would have done with a trace. The same each time but for {@link
 * #translationsPerSecond}. Immutable.
 *
 * @param translations addresses that were looked up: an access has one for each page that it
 *     touches
 * @param hits of those that the IOTLB answered
 * @param evictions translations that the IOTLB dropped for want of room
 * @param pages pages that were mapped, of whatever size
 * @param tableBytesMax most bytes of tables at a time, with those that wait for a flush
 * @param unmaps UNMAPs that removed something
 * @param invalidations commands to the IOTLB: for an UNMAP, a batch of them, or a domain's end
 * @param refusedMaps buffers that the design has no place for
 * @param skipped accesses to those
 * @param reach how long buffers could be reached after their UNMAP
 * @param translationsPerSecond of one thread, through the IOTLB and our walker, on this machine
 */
public record Figures(
        long translations,
        long hits,
        long evictions,
        long pages,
        long tableBytesMax,
        long unmaps,
        long invalidations,
        long refusedMaps,
        long skipped,
        Reach reach,
        double translationsPerSecond)
        implements Serializable {

    /**
     * How long it was, from the answer of the UNMAP to the flush, that the IOTLB may have led a
     * device to a buffer: 0 for one whose translations were gone when the UNMAP was answered. One
     * that was evicted meanwhile counts until the flush, for nobody knows that it was.
     *
     * @param buffers that were unmapped
     * @param reachable of those that could be reached for longer than 0 ns
     */
    public record Reach(long buffers, long reachable, long median, long p99, long max)
            implements Serializable {}

    /** Part of the translations that needed no walk. */
    public double hitRate() {
        return translations == 0 ? 0 : (double) hits / translations;
    }

    /** The same with another speed, for who compares all the rest. */
    public Figures withSpeed(double speed) {
        return new Figures(
                translations,
                hits,
                evictions,
                pages,
                tableBytesMax,
                unmaps,
                invalidations,
                refusedMaps,
                skipped,
                reach,
                speed);
    }
}
