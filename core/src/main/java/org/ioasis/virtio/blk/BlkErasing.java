// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

/**
 * Limits of discard and write zeroes (virtio 1.4, 5.2.4): how long one request may keep an I/O
 * thread.
 *
 * @param discardSegments most segments in one discard, 1 to 256; 0 does not offer it
 * @param discardSectors most sectors in one segment of it, a positive multiple of 8
 * @param zeroesSegments most segments in one write zeroes request, 1 to 256
 * @param zeroesSectors most sectors in one segment of it, a positive multiple of 8: where there are
 *     no holes that many have to be written
 */
public record BlkErasing(
        int discardSegments, int discardSectors, int zeroesSegments, int zeroesSectors) {
    private static final int SEGMENT_LIMIT = 256;

    /** 16 segments of 1 GiB to discard, one of 32 MiB to zero. */
    public static final BlkErasing DEFAULT = new BlkErasing(16, 1 << 21, 1, 1 << 16);

    /** The same without discard. */
    public static final BlkErasing NO_DISCARD = new BlkErasing(0, 1 << 21, 1, 1 << 16);

    public BlkErasing {
        if ((discardSegments != 0 && !areSegments(discardSegments))
                || !areSegments(zeroesSegments)
                || !areSectors(discardSectors)
                || !areSectors(zeroesSectors)) {
            throw new IllegalArgumentException(
                    "erasing: discard %d of %d sectors, zeroes %d of %d sectors"
                            .formatted(
                                    discardSegments,
                                    discardSectors,
                                    zeroesSegments,
                                    zeroesSectors));
        }
    }

    private static boolean areSegments(int n) {
        return n >= 1 && n <= SEGMENT_LIMIT;
    }

    private static boolean areSectors(int n) {
        return n > 0 && n % 8 == 0;
    }
}
