// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.virtio.Job;

/** A frame of the guest's on its way out, or a buffer for one on its way in. Device's thread. */
final class Transfer extends Job<Transfer> {
    /** Where a frame is between the guest's memory and the link; native, for system calls. */
    final MemorySegment frame;

    int length;

    /** The link has had it. */
    boolean isOver;

    /**
     * @param frameBytes 0 for one that only takes buffers
     */
    Transfer(int descriptorLimit, int frameBytes) {
        super(descriptorLimit);
        frame = Arena.ofAuto().allocate(Math.max(1, frameBytes));
    }

    @Override
    protected void begin() {
        length = 0;
        isOver = false;
    }
}
