// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import org.ioasis.spec.VirtioBlk;

/**
 * The blocks of a disk (virtio 1.4, 5.2.4: blk_size and topology). The driver sees them; a driver
 * that has accepted BLK_SIZE is held to the block size.
 *
 * @param size of a logical block in bytes: 512 or 4096
 * @param physicalExponent log2 of the number of logical blocks in a physical one, 0 to 8
 * @param minimumIo suggested smallest I/O in blocks, 1 to 65535
 * @param optimalIo suggested largest I/O in blocks; 0 says nothing
 */
public record BlkBlocks(int size, int physicalExponent, int minimumIo, int optimalIo) {
    /** 512 bytes each. */
    public static final BlkBlocks OF_512 = new BlkBlocks(VirtioBlk.SECTOR_SIZE, 0, 1, 0);

    /** 4096 bytes each. */
    public static final BlkBlocks OF_4096 = new BlkBlocks(4096, 0, 1, 0);

    public BlkBlocks {
        if ((size != VirtioBlk.SECTOR_SIZE && size != 4096)
                || physicalExponent < 0
                || physicalExponent > 8
                || minimumIo < 1
                || minimumIo > 0xffff
                || optimalIo < 0) {
            throw new IllegalArgumentException(
                    "blocks: size=%d physicalExponent=%d minimumIo=%d optimalIo=%d"
                            .formatted(size, physicalExponent, minimumIo, optimalIo));
        }
    }

    /** 512-byte sectors in a block. */
    int sectors() {
        return size / VirtioBlk.SECTOR_SIZE;
    }
}
