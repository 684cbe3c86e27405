// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import org.ioasis.virtio.Job;

/**
 * One request on its way through the disk; one of a fixed pool. Belongs to the device's thread,
 * except in phase IO, when it belongs to an I/O thread.
 */
final class Request extends Job<Request> implements Runnable {
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
        /** See what became of that. */
        IO_DONE,
        /** Copy the chunk that was read to guest memory. */
        DRAIN,
        /** Copy the disk's id to guest memory. */
        ID,
        /** Write the status byte. */
        REPLY
    }

    /** The bounce buffer. */
    final MemorySegment buffer;

    /** The bounce buffer, for the store. */
    final ByteBuffer view;

    private final BlockIo io;

    Phase phase = Phase.HEADER;

    /** What to do in phase IO: a request type of the spec. */
    int type;

    /** What it counts for. */
    Counts.Answers counter;

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

    /** What the I/O thread reports. */
    boolean ioOk;

    private final Counts.Answers others;

    /**
     * @param others what it counts for as long as its type is not known
     */
    Request(int descriptorLimit, MemorySegment buffer, BlockIo io, Counts.Answers others) {
        super(descriptorLimit);
        this.buffer = buffer;
        this.view = buffer.asByteBuffer();
        this.io = io;
        this.others = others;
        counter = others;
    }

    @Override
    protected void begin() {
        phase = Phase.HEADER;
        counter = others;
        dataLength = 0;
        done = 0;
        chunk = 0;
        written = 0;
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
        io.perform(this);
    }
}
