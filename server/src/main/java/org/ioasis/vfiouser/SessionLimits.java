// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import org.ioasis.peer.SharedMemory;

/**
 * What one client may make us keep, beside the regions that its {@link
 * org.ioasis.memory.GuestMemory} takes. Immutable; any thread.
 *
 * @param bytes address space of the mapped DMA regions together, in bytes
 * @param outputBytes replies that the client has not read yet, but for a report of written pages,
 *     for which it is waited; a client that lets more pile up is not coming back for them, and its
 *     session ends
 */
public record SessionLimits(long bytes, int outputBytes) {
    /** 16 TiB, 64 KiB. */
    public static final SessionLimits DEFAULT =
            new SessionLimits(SharedMemory.USUAL_BYTES, 64 << 10);

    public SessionLimits {
        if (bytes < Codec.PAGE_SIZE || outputBytes < Codec.MESSAGE_MAX) {
            throw new IllegalArgumentException(
                    "limits out of bounds: %d bytes, %d bytes of output"
                            .formatted(bytes, outputBytes));
        }
    }
}
