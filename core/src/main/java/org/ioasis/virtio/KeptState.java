// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * What a device knows of its driver beside what is in its rings, as it is written down in memory
 * that outlives the process: the next one goes on from there, together with the logs of chains of
 * the rings ({@code virtqueue.ChainLog}). What a request changes is there before the driver can see
 * its answer, with the answer: so a request that is taken again is answered and not carried out
 * again.
 *
 * <p>Device's thread, while the device runs and before it has a ring.
 */
public interface KeptState {
    /** Bytes that it wants; a multiple of 8. */
    long bytes();

    /** Whose requests change it: the queue whose log of chains belongs to it. */
    int queue();

    /**
     * Writes there from now on, beginning with what is so now.
     *
     * @param region aligned to 8; with any contents, and shared with who is not trusted. If it has
     *     less than {@link #bytes}, less is kept; if it has too little for anything, nothing is
     */
    void begin(MemorySegment region);

    /** As {@link #begin}, in the middle of the device's work: the same is written elsewhere. */
    void moveTo(MemorySegment region);

    /**
     * Takes over what is there, and writes there from now on.
     *
     * @param region as for {@link #begin}; nothing that is read there is believed
     * @param numbersOut what the log of {@link #queue} says of chains in flight
     * @return null, or why there is no state that the device can go on with; then nothing is
     *     written, and nothing reaches memory through the device before it is reset
     */
    @Nullable String goOn(MemorySegment region, long[] numbersOut);

    /** The state is gone without a trace: as {@link #goOn} when it fails. */
    void lose();

    /** The number from which on chains of {@link #queue} can be counted; at least 1. */
    long nextNumber();

    /** True from {@link #begin}, or {@link #goOn} if it succeeds, until {@link #letGo}. */
    boolean isWriting();

    /** Writes nothing more, and leaves what is there. Twice is fine. */
    void letGo();
}
