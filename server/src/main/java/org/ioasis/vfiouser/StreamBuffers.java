// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The memory that a socket's sessions receive and send with, one after the other: a client that
 * comes and goes as fast as it can costs no more than one that stays. Loop thread only.
 */
final class StreamBuffers {
    private final MemorySegment input;
    private final MemorySegment reply;
    private final MemorySegment output;

    /**
     * @param outputBytes replies that may wait for a client to read them
     */
    StreamBuffers(int outputBytes) {
        Arena arena = Arena.ofAuto();
        input = arena.allocate(Codec.MESSAGE_MAX, 8);
        reply = arena.allocate(Codec.MESSAGE_MAX, 8);
        output = arena.allocate(outputBytes, 8);
    }

    /** The next client finds nothing of the one before. */
    void clear() {
        input.fill((byte) 0);
        reply.fill((byte) 0);
    }

    /** The message that is being received. */
    MemorySegment input() {
        return input;
    }

    /** The reply that is being written. */
    MemorySegment reply() {
        return reply;
    }

    /** Replies that the client has not taken. */
    MemorySegment output() {
        return output;
    }
}
