// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import org.ioasis.virtqueue.Chain;
import org.jspecify.annotations.Nullable;

/**
 * One request on its way through the device; one of a fixed pool. Belongs to the device's thread,
 * except in phase IO between dispatch and completion, when it belongs to an I/O thread: the
 * executors' hand-over orders the two.
 */
final class Request implements Runnable {
    /** What has to be done next. */
    enum Phase {
        /** Read and check the header. */
        HEADER,
        /** Copy and check the segments of a discard or write zeroes. */
        SEGMENTS,
        /** Copy the next chunk of a write from guest memory. */
        FILL,
        /** Read from, write to, erase in or flush the store. */
        IO,
        /** Copy the chunk that was read to guest memory. */
        DRAIN,
        /** Copy the disk's id to guest memory. */
        ID,
        /** Write the status byte. */
        REPLY
    }

    final Chain chain;

    /** The bounce buffer. */
    final MemorySegment buffer;

    /** The bounce buffer, for the store. */
    final ByteBuffer view;

    private final VirtioBlk owner;

    /** The queue that it came from and goes back to. */
    int queue;

    /** Which life of the queue (from reset to reset) this belongs to. */
    int life;

    Phase phase = Phase.HEADER;

    /** What to do in phase IO: a request type of the spec. */
    int type;

    /** Which group of {@link Counts} it counts for. */
    int counter;

    /** Byte in the store where the data begins. */
    long position;

    long dataLength;

    /** Bytes of data that have gone all the way. */
    long done;

    /** Bytes in the bounce buffer, which follow those. */
    int chunk;

    /** Bytes written to the chain from its first writable byte on, without a gap. */
    long written;

    int status;

    /** Was kept because memory was absent, and has not gone on since. */
    boolean waited;

    /** What the I/O thread reports. */
    boolean ioOk;

    /** Next in whichever list this is in: it is never in two. */
    @Nullable Request next;

    Request(VirtioBlk owner, Chain chain, MemorySegment buffer) {
        this.owner = owner;
        this.chain = chain;
        this.buffer = buffer;
        this.view = buffer.asByteBuffer();
    }

    void begin(int life, int queue) {
        this.life = life;
        this.queue = queue;
        phase = Phase.HEADER;
        counter = Counts.OTHERS;
        dataLength = 0;
        done = 0;
        chunk = 0;
        written = 0;
        waited = false;
    }

    void reply(int status) {
        this.status = status;
        phase = Phase.REPLY;
    }

    /** Length of the next chunk. */
    int nextChunk() {
        return (int) Math.min(buffer.byteSize(), dataLength - done);
    }

    /** On an I/O thread: the blocking part. */
    @Override
    public void run() {
        owner.performIo(this);
    }
}
