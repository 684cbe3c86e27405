// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import java.lang.foreign.MemorySegment;

/**
 * What is at the other end of a {@link VirtioNet}. Called on the device's thread, outside guarded
 * sections; must not block. Frames for the guest come by {@link Station#receive}.
 */
@FunctionalInterface
public interface Link {
    /** What became of a frame. */
    enum Sent {
        /** It is on its way, and its memory can be used again. */
        TAKEN,

        /** Nobody will ever get it. */
        LOST,

        /** There is no room now: {@link Station#writable} is called when there is. */
        FULL
    }

    /**
     * Sends a frame of the guest's.
     *
     * @param frame native memory; the frame begins at 0
     * @param length at least an Ethernet header
     */
    Sent send(MemorySegment frame, int length);
}
