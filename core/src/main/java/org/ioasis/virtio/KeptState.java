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
    /** Whether the {@link #queue} was taken back and where, by what is written down. */
    enum Suspension {
        /** It was not, or there is no state. */
        NONE,
        HERE,
        ELSEWHERE
    }

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

    /**
     * As {@link #begin}, in the middle of the device's work: the same is written elsewhere, or once
     * more where it is.
     */
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

    /**
     * The {@link #queue} was taken back at that place, as the transport says it. Written down, so
     * that the next one knows a queue that comes back there for the same.
     */
    void suspend(int base);

    /** The {@link #queue} is given again, and its log says so. */
    void resume();

    /** What {@link #suspend} has left there. */
    Suspension suspension(MemorySegment region, int base);

    /**
     * There is no state to go on with: as {@link #goOn} when it fails.
     *
     * @param region what is there is nobody's after a reset; or null
     */
    void lose(@Nullable MemorySegment region);

    /** The number from which on chains of {@link #queue} can be counted; at least 1. */
    long nextNumber();

    /** True from {@link #begin}, or {@link #goOn} if it succeeds, until {@link #letGo}. */
    boolean isWriting();

    /** Writes nothing more, and leaves what is there. Twice is fine. */
    void letGo();
}
