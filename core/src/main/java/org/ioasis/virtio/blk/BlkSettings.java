// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.nio.charset.StandardCharsets;
import org.ioasis.spec.VirtioBlk;
import org.ioasis.virtqueue.RingFormat;

/**
 * What can be chosen for a disk. Its bounce buffers take {@code requestLimit * chunkBytes} of
 * memory, allocated once.
 *
 * @param serial what the guest sees as the disk's serial number: ASCII, up to 20 characters
 * @param queueCount request queues, 1 to 64; more than one is offered as MQ
 * @param queueSizeMax entries of each queue: a power of two, 4 to 1024
 * @param requestLimit requests that the device works on at a time, over all queues, 1 to 1024;
 *     chains beyond that stay in the ring
 * @param chunkBytes size of a bounce buffer: a multiple of the block size, up to 1 MiB; longer
 *     requests are done in several steps, so this limits no request
 * @param segMax most data descriptors that a driver should put into a request, 1 to {@code
 *     queueSizeMax - 2}
 * @param sizeMax most bytes that a driver should put into one descriptor, at least 4096; 0 offers
 *     no such limit
 * @param blocks block size and topology
 * @param erasing limits of discard and write zeroes; what a bounce buffer cannot hold of segments
 *     is not offered
 */
public record BlkSettings(
        String serial,
        int queueCount,
        int queueSizeMax,
        int requestLimit,
        int chunkBytes,
        int segMax,
        int sizeMax,
        BlkBlocks blocks,
        BlkErasing erasing) {
    /** Most request queues. */
    public static final int QUEUE_LIMIT = 64;

    private static final int LIMIT = 1024;
    private static final int CHUNK_LIMIT = 1 << 20;
    private static final int SIZE_MAX_LEAST = 4096;

    public BlkSettings {
        boolean isChunk =
                chunkBytes > 0 && chunkBytes <= CHUNK_LIMIT && chunkBytes % blocks.size() == 0;
        if (!isSerial(serial)
                || queueCount < 1
                || queueCount > QUEUE_LIMIT
                || !RingFormat.SPLIT.isSize(queueSizeMax, LIMIT)
                || queueSizeMax < 4
                || requestLimit < 1
                || requestLimit > LIMIT
                || !isChunk
                || segMax < 1
                || segMax > queueSizeMax - 2
                || (sizeMax != 0 && sizeMax < SIZE_MAX_LEAST)) {
            throw new IllegalArgumentException(
                    ("disk settings: serial=%s queueCount=%d queueSizeMax=%d requestLimit=%d"
                                    + " chunkBytes=%d segMax=%d sizeMax=%d")
                            .formatted(
                                    serial,
                                    queueCount,
                                    queueSizeMax,
                                    requestLimit,
                                    chunkBytes,
                                    segMax,
                                    sizeMax));
        }
    }

    /** One queue, blocks of 512 bytes, and all the segments that the queue has room for. */
    public BlkSettings(String serial, int queueSizeMax, int requestLimit, int chunkBytes) {
        this(
                serial,
                1,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                queueSizeMax - 2,
                0,
                BlkBlocks.OF_512,
                BlkErasing.DEFAULT);
    }

    /** A queue of 256, and 64 requests with 256 KiB each. */
    public static BlkSettings of(String serial) {
        return new BlkSettings(serial, 256, 64, 256 << 10);
    }

    /** The text can be a serial number. */
    public static boolean isSerial(String text) {
        return text.length() <= VirtioBlk.ID_BYTES
                && StandardCharsets.US_ASCII.newEncoder().canEncode(text);
    }

    /** The same with this serial number. */
    public BlkSettings withSerial(String other) {
        return new BlkSettings(
                other,
                queueCount,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                segMax,
                sizeMax,
                blocks,
                erasing);
    }

    /** The same with so many queues. */
    public BlkSettings withQueues(int count) {
        return new BlkSettings(
                serial,
                count,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                segMax,
                sizeMax,
                blocks,
                erasing);
    }

    /** The same with these limits on the shape of requests. */
    public BlkSettings withSegments(int segments, int bytes) {
        return new BlkSettings(
                serial,
                queueCount,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                segments,
                bytes,
                blocks,
                erasing);
    }

    /** The same with these blocks. */
    public BlkSettings withBlocks(BlkBlocks other) {
        return new BlkSettings(
                serial,
                queueCount,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                segMax,
                sizeMax,
                other,
                erasing);
    }

    /** The same with these limits of discard and write zeroes. */
    public BlkSettings withErasing(BlkErasing other) {
        return new BlkSettings(
                serial,
                queueCount,
                queueSizeMax,
                requestLimit,
                chunkBytes,
                segMax,
                sizeMax,
                blocks,
                other);
    }

    /** Sectors of a disk in {@code store}: whole blocks. */
    long sectorsOf(BlockStore store) {
        return (store.capacity() - store.capacity() % blocks.size()) / VirtioBlk.SECTOR_SIZE;
    }

    /** Segments that one request may have: each has its place in the bounce buffer. */
    int discardSegments() {
        return Math.min(erasing.discardSegments(), chunkBytes / VirtioBlk.SEGMENT_SIZE);
    }

    int zeroesSegments() {
        return Math.min(erasing.zeroesSegments(), chunkBytes / VirtioBlk.SEGMENT_SIZE);
    }
}
