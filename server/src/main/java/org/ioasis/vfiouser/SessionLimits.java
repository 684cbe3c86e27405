// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import org.ioasis.memory.GuestMemory;

/**
 * What one client may make us keep. Immutable; any thread.
 *
 * @param regions DMA regions at a time; what is announced as max_dma_maps
 * @param bytes address space of the mapped DMA regions together, in bytes
 * @param outputBytes replies that the client has not read yet; a client that lets more pile up is
 *     not coming back for them, and its session ends
 */
public record SessionLimits(int regions, long bytes, int outputBytes) {
    /** As many regions as VFIO allows, 16 TiB, 64 KiB. */
    public static final SessionLimits DEFAULT =
            new SessionLimits(GuestMemory.REGION_LIMIT, 1L << 44, 64 << 10);

    /** The usual limits with another one of regions. */
    public static SessionLimits ofRegions(int limit) {
        return new SessionLimits(limit, DEFAULT.bytes, DEFAULT.outputBytes);
    }

    public SessionLimits {
        if (regions < 1
                || regions > GuestMemory.REGION_LIMIT
                || bytes < Codec.PAGE_SIZE
                || outputBytes < Codec.MESSAGE_MAX) {
            throw new IllegalArgumentException(
                    "limits out of bounds: %d regions, %d bytes, %d bytes of output"
                            .formatted(regions, bytes, outputBytes));
        }
    }
}
