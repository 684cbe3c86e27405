// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.nio.charset.StandardCharsets;
import java.util.OptionalInt;
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

    /** The text can be a serial number. */
    public static boolean isSerial(String text) {
        return text.length() <= VirtioBlk.ID_BYTES
                && StandardCharsets.US_ASCII.newEncoder().canEncode(text);
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

    /**
     * Settings one by one, beginning with no serial number, one queue of 256, blocks of 512 bytes,
     * and 64 requests with 256 KiB each.
     */
    public static Builder builder() {
        return new Builder();
    }

    /** Settings one by one, beginning with these. */
    public Builder toBuilder() {
        return builder()
                .serial(serial)
                .queueCount(queueCount)
                .queueSizeMax(queueSizeMax)
                .requestLimit(requestLimit)
                .chunkBytes(chunkBytes)
                .segMax(segMax)
                .sizeMax(sizeMax)
                .blocks(blocks)
                .erasing(erasing);
    }

    /** Settings one by one. One thread. */
    public static final class Builder {
        private String serial = "";
        private int queueCount = 1;
        private int queueSizeMax = 256;
        private int requestLimit = 64;
        private int chunkBytes = 256 << 10;
        private OptionalInt segMax = OptionalInt.empty();
        private int sizeMax;
        private BlkBlocks blocks = BlkBlocks.OF_512;
        private BlkErasing erasing = BlkErasing.DEFAULT;

        private Builder() {}

        public Builder serial(String value) {
            serial = value;
            return this;
        }

        public Builder queueCount(int value) {
            queueCount = value;
            return this;
        }

        public Builder queueSizeMax(int value) {
            queueSizeMax = value;
            return this;
        }

        public Builder requestLimit(int value) {
            requestLimit = value;
            return this;
        }

        public Builder chunkBytes(int value) {
            chunkBytes = value;
            return this;
        }

        /** All that a queue has room for unless it is called. */
        public Builder segMax(int value) {
            segMax = OptionalInt.of(value);
            return this;
        }

        public Builder sizeMax(int value) {
            sizeMax = value;
            return this;
        }

        public Builder blocks(BlkBlocks value) {
            blocks = value;
            return this;
        }

        public Builder erasing(BlkErasing value) {
            erasing = value;
            return this;
        }

        public BlkSettings build() {
            return new BlkSettings(
                    serial,
                    queueCount,
                    queueSizeMax,
                    requestLimit,
                    chunkBytes,
                    segMax.orElse(queueSizeMax - 2),
                    sizeMax,
                    blocks,
                    erasing);
        }
    }
}
