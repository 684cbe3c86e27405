// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtqueue;

import org.ioasis.memory.Dma;
import org.ioasis.spec.SplitRing;

/**
 * How driver and device lay out a virtqueue in memory (virtio 1.4, 2.6), as they have agreed with
 * the features. Any thread.
 */
public enum RingFormat {
    /** A table of descriptors, a ring of available chains and one of used ones. 2.7. */
    SPLIT {
        @Override
        public boolean isSize(int size, int max) {
            return size >= 1 && size <= max && Integer.bitCount(size) == 1;
        }

        @Override
        public boolean isLayout(int size, long desc, long driver, long device) {
            return isPlace(desc, SplitRing.descBytes(size), SplitRing.DESC_SIZE)
                    && isPlace(driver, SplitRing.availBytes(size), SplitRing.AVAIL_ALIGN)
                    && isPlace(device, SplitRing.usedBytes(size), SplitRing.USED_ALIGN);
        }

        @Override
        public DeviceQueue newQueue(Dma dma, int sizeMax) {
            return new SplitQueue(dma, sizeMax);
        }
    };

    /** True if a queue may have {@code size} entries, {@code max} at most. */
    public abstract boolean isSize(int size, int max);

    /**
     * True if the three parts of a queue with {@code size} entries are aligned and none runs over
     * the end of the address space.
     *
     * @param desc address of the descriptor area
     * @param driver address of the driver area
     * @param device address of the device area
     */
    public abstract boolean isLayout(int size, long desc, long driver, long device);

    /**
     * The device's side of a queue, stopped.
     *
     * @param sizeMax the largest size that {@link DeviceQueue#start} may ask for
     * @throws IllegalArgumentException if that is no size
     */
    public abstract DeviceQueue newQueue(Dma dma, int sizeMax);

    private static boolean isPlace(long address, long length, int alignment) {
        return (address & (alignment - 1)) == 0
                && Long.compareUnsigned(address, address + length - 1) <= 0;
    }
}
