// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioBlk.CONFIG_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_CAPACITY;
import static org.ioasis.spec.VirtioBlk.CONFIG_DISCARD_SECTOR_ALIGNMENT;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_DISCARD_SECTORS;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_DISCARD_SEG;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_WRITE_ZEROES_SECTORS;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_WRITE_ZEROES_SEG;
import static org.ioasis.spec.VirtioBlk.CONFIG_MIN_IO_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_NUM_QUEUES;
import static org.ioasis.spec.VirtioBlk.CONFIG_OPT_IO_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_PHYSICAL_BLOCK_EXP;
import static org.ioasis.spec.VirtioBlk.CONFIG_SEG_MAX;
import static org.ioasis.spec.VirtioBlk.CONFIG_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_SIZE_MAX;
import static org.ioasis.spec.VirtioBlk.CONFIG_WRITE_ZEROES_MAY_UNMAP;
import static org.ioasis.spec.VirtioBlk.F_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.F_DISCARD;
import static org.ioasis.spec.VirtioBlk.F_FLUSH;
import static org.ioasis.spec.VirtioBlk.F_MQ;
import static org.ioasis.spec.VirtioBlk.F_RO;
import static org.ioasis.spec.VirtioBlk.F_SEG_MAX;
import static org.ioasis.spec.VirtioBlk.F_SIZE_MAX;
import static org.ioasis.spec.VirtioBlk.F_TOPOLOGY;
import static org.ioasis.spec.VirtioBlk.F_WRITE_ZEROES;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What a disk offers: its features and its configuration (virtio 1.4, 5.2.3 and 5.2.4). Never
 * changes; fields of features that are not offered are 0. Any thread.
 */
final class BlkConfig {
    private static final ValueLayout.OfShort LE16 = JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final MemorySegment bytes = MemorySegment.ofArray(new byte[CONFIG_SIZE]);
    private final long features;

    BlkConfig(BlkSettings settings, BlockStore store) {
        BlkBlocks blocks = settings.blocks();
        bytes.set(LE64, CONFIG_CAPACITY, settings.sectorsOf(store));
        bytes.set(LE32, CONFIG_SIZE_MAX, settings.sizeMax());
        bytes.set(LE32, CONFIG_SEG_MAX, settings.segMax());
        bytes.set(LE32, CONFIG_BLK_SIZE, blocks.size());
        bytes.set(JAVA_BYTE, CONFIG_PHYSICAL_BLOCK_EXP, (byte) blocks.physicalExponent());
        bytes.set(LE16, CONFIG_MIN_IO_SIZE, (short) blocks.minimumIo());
        bytes.set(LE32, CONFIG_OPT_IO_SIZE, blocks.optimalIo());
        long offered = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY;
        if (settings.sizeMax() != 0) {
            offered |= F_SIZE_MAX;
        }
        if (settings.queueCount() > 1) {
            offered |= F_MQ;
            bytes.set(LE16, CONFIG_NUM_QUEUES, (short) settings.queueCount());
        }
        if (store.isReadOnly()) {
            offered |= F_RO;
        } else {
            offered |= F_WRITE_ZEROES;
            setErasing(settings, store);
            if (settings.discardSegments() > 0) {
                offered |= F_DISCARD;
            }
        }
        features = offered;
    }

    private void setErasing(BlkSettings settings, BlockStore store) {
        BlkErasing erasing = settings.erasing();
        if (settings.discardSegments() > 0) {
            bytes.set(LE32, CONFIG_MAX_DISCARD_SECTORS, erasing.discardSectors());
            bytes.set(LE32, CONFIG_MAX_DISCARD_SEG, settings.discardSegments());
            bytes.set(LE32, CONFIG_DISCARD_SECTOR_ALIGNMENT, settings.blocks().sectors());
        }
        bytes.set(LE32, CONFIG_MAX_WRITE_ZEROES_SECTORS, erasing.zeroesSectors());
        bytes.set(LE32, CONFIG_MAX_WRITE_ZEROES_SEG, settings.zeroesSegments());
        byte mayUnmap = (byte) (store.canDeallocate() ? 1 : 0);
        bytes.set(JAVA_BYTE, CONFIG_WRITE_ZEROES_MAY_UNMAP, mayUnmap);
    }

    /** The features offered. */
    long features() {
        return features;
    }

    /** {@code size} bytes from {@code offset} on, little-endian. */
    long read(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | Byte.toUnsignedLong(bytes.get(JAVA_BYTE, offset + i));
        }
        return value;
    }
}
