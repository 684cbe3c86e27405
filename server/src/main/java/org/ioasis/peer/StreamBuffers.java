// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The memory that a socket's sessions receive and send with, one after the other: a peer that comes
 * and goes as fast as it can costs no more than one that stays. Loop thread only.
 */
public final class StreamBuffers {
    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;
    private final int largeBytes;
    private @Nullable MemorySegment large;

    /** For sessions without large replies. */
    public StreamBuffers(int messageBytes, int replyBytes, int outputBytes) {
        this(messageBytes, replyBytes, outputBytes, 0);
    }

    /**
     * @param messageBytes of the largest message that is received
     * @param replyBytes of the largest one that is sent, but for the large ones
     * @param outputBytes replies that may wait for a peer to read them
     * @param largeBytes of the largest of those that most sessions never send; only the first that
     *     does costs as much
     */
    public StreamBuffers(int messageBytes, int replyBytes, int outputBytes, int largeBytes) {
        this.largeBytes = largeBytes;
        Arena arena = Arena.ofAuto();
        input = arena.allocate(messageBytes, 8);
        reply = arena.allocate(replyBytes, 8);
        output = arena.allocate(outputBytes, 8);
    }

    /** The next peer finds nothing of the one before. */
    public void clear() {
        input.fill((byte) 0);
        reply.fill((byte) 0);
        if (large != null) {
            large.fill((byte) 0);
        }
    }

    /** The message that is being received. */
    public MemorySegment input() {
        return input;
    }

    /** The reply that is being written. */
    public MemorySegment reply() {
        return reply;
    }

    /** The large reply that is being written, or that waits for the peer to take it. */
    public MemorySegment large() {
        MemorySegment made = large;
        if (made == null) {
            made = Arena.ofAuto().allocate(largeBytes, 8);
            large = made;
        }
        return made;
    }

    /** Replies that the peer has not taken. */
    public MemorySegment output() {
        return output;
    }
}
