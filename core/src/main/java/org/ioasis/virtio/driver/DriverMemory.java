// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

import java.lang.foreign.MemorySegment;

/**
 * Memory for the rings and buffers of one driver, seen by both sides: handed out piece by piece,
 * given back as a whole when the device was reset. Driver's thread.
 */
public final class DriverMemory {
    /** A part of it. */
    public record Piece(MemorySegment segment, long address) {}

    private final MemorySegment segment;
    private final long address;
    private long used;

    /**
     * @param segment as the driver sees it
     * @param address where the device sees it; both aligned to 4096
     */
    public DriverMemory(MemorySegment segment, long address) {
        if ((address & 4095) != 0 || (segment.address() & 4095) != 0) {
            throw new IllegalArgumentException("memory of a driver begins at a page");
        }
        this.segment = segment;
        this.address = address;
    }

    /** The next {@code bytes}, from a cache line of their own on, all zeros. */
    public Piece take(long bytes) throws DriverException {
        long first = (used + 127) & -128;
        if (bytes > segment.byteSize() - first) {
            throw new DriverException(
                    "%d bytes of memory for the driver, and %d more are needed"
                            .formatted(segment.byteSize(), bytes - (segment.byteSize() - first)));
        }
        used = first + bytes;
        MemorySegment piece = segment.asSlice(first, bytes);
        piece.fill((byte) 0);
        return new Piece(piece, address + first);
    }

    /** All of it is free again: no device uses any of it. */
    public void giveBack() {
        used = 0;
    }
}
