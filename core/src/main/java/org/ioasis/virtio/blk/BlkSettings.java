package org.ioasis.virtio.blk;

import java.nio.charset.StandardCharsets;
import org.ioasis.spec.VirtioBlk;
import org.ioasis.virtqueue.SplitQueue;

/**
 * What can be chosen for a disk. Its bounce buffers take {@code requestLimit * chunkBytes} of
 * memory, allocated once.
 *
 * @param serial what the guest sees as the disk's serial number: ASCII, up to 20 characters
 * @param queueSizeMax entries of the queue: a power of two, 4 to 1024
 * @param requestLimit requests that the device works on at a time, 1 to 1024; chains beyond that
 *     stay in the ring
 * @param chunkBytes size of a bounce buffer: a multiple of 512, up to 1 MiB; longer requests are
 *     done in several steps, so this limits no request
 */
public record BlkSettings(String serial, int queueSizeMax, int requestLimit, int chunkBytes) {
    private static final int LIMIT = 1024;
    private static final int CHUNK_LIMIT = 1 << 20;

    public BlkSettings {
        boolean isSerial =
                serial.length() <= VirtioBlk.ID_BYTES
                        && StandardCharsets.US_ASCII.newEncoder().canEncode(serial);
        boolean isChunk =
                chunkBytes > 0
                        && chunkBytes <= CHUNK_LIMIT
                        && chunkBytes % VirtioBlk.SECTOR_SIZE == 0;
        if (!isSerial
                || !SplitQueue.isSize(queueSizeMax, LIMIT)
                || queueSizeMax < 4
                || requestLimit < 1
                || requestLimit > LIMIT
                || !isChunk) {
            throw new IllegalArgumentException(
                    "disk settings: serial=%s queueSizeMax=%d requestLimit=%d chunkBytes=%d"
                            .formatted(serial, queueSizeMax, requestLimit, chunkBytes));
        }
    }

    /** A queue of 256, and 64 requests with 256 KiB each. */
    public static BlkSettings of(String serial) {
        return new BlkSettings(serial, 256, 64, 256 << 10);
    }
}
