// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The memory that a socket's sessions receive and send with, one after the other: a peer that comes
 * and goes as fast as it can costs no more than one that stays. Loop thread only.
 */
public final class StreamBuffers {
    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;

    /**
     * @param messageBytes of the largest message that is received
     * @param replyBytes of the largest one that is sent
     * @param outputBytes replies that may wait for a peer to read them
     */
    public StreamBuffers(int messageBytes, int replyBytes, int outputBytes) {
        Arena arena = Arena.ofAuto();
        input = arena.allocate(messageBytes, 8);
        reply = arena.allocate(replyBytes, 8);
        output = arena.allocate(outputBytes, 8);
    }

    /** The next peer finds nothing of the one before. */
    public void clear() {
        input.fill((byte) 0);
        reply.fill((byte) 0);
    }

    /** The message that is being received. */
    public MemorySegment input() {
        return input;
    }

    /** The reply that is being written. */
    public MemorySegment reply() {
        return reply;
    }

    /** Replies that the peer has not taken. */
    public MemorySegment output() {
        return output;
    }
}
