// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import java.util.List;
import org.ioasis.spec.SplitRing;

/**
 * A chain that was popped and not given back, for saved states. Immutable.
 *
 * @param head the name under which it goes back
 * @param descriptors of the ring that it has; 0 in a split ring, which need not know
 * @param readableCount how many of the pieces, the first ones, the device may read; it may write
 *     the others
 */
public record ChainState(int head, int descriptors, int readableCount, List<Piece> pieces) {
    /** A buffer of the driver; {@code length} is {@code 0..2^32-1}. */
    public record Piece(long address, long length) {}

    public ChainState {
        pieces = List.copyOf(pieces);
    }

    /** True if a queue of this format with {@code size} entries can have given such a chain. */
    public boolean isPossible(RingFormat format, int size) {
        long total = 0;
        for (Piece piece : pieces) {
            if (Chain.wraps(piece.address(), piece.length())) {
                return false;
            }
            total += piece.length();
        }
        return head >= 0
                && head < (format == RingFormat.SPLIT ? size : 0x10000)
                && descriptors >= (format == RingFormat.SPLIT ? 0 : 1)
                && descriptors <= (format == RingFormat.SPLIT ? 0 : size)
                && !pieces.isEmpty()
                && pieces.size() <= size
                && readableCount >= 0
                && readableCount <= pieces.size()
                && total <= SplitRing.CHAIN_BYTES_MAX;
    }

    /** Bytes that the device may write. */
    public long writableLength() {
        return pieces.stream().skip(readableCount).mapToLong(Piece::length).sum();
    }
}
