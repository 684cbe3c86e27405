// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import org.ioasis.spec.Pci;
import org.jspecify.annotations.Nullable;

/**
 * A PCI function as whoever stands for its bus sees it: configuration space, BARs, vectors, reset.
 * Lives as long as the machine; sessions with a VMM come and go on it. Loop thread only.
 *
 * <p>Offsets and sizes are checked by the caller: accesses lie within the {@link #configSize} bytes
 * of configuration space or within {@link #barSize}. What the function does not support reads as 0
 * and ignores writes; nothing here throws because of what a guest does.
 */
public interface PciFunction extends PciDevice {
    /** Bytes of configuration space: 256, or 4096 of a function of PCI Express. */
    default int configSize() {
        return Pci.CONFIG_SPACE_SIZE;
    }

    /** Reads {@code size} (1, 2 or 4) naturally aligned bytes, zero-extended. */
    int configRead(int offset, int size);

    void configWrite(int offset, int size, int value);

    /** Bytes of BAR {@code bar} (0..5); 0 if there is none. */
    long barSize(int bar);

    /** Reads {@code size} (1, 2, 4 or 8) bytes, zero-extended. */
    long barRead(int bar, long offset, int size);

    void barWrite(int bar, long offset, int size, long value);

    /**
     * Whether a BAR is memory and nothing else, a whole number of pages: reading and writing it has
     * no other consequence, so that whoever serves the function may let it be mapped.
     */
    default boolean isBarMemory(int bar) {
        return false;
    }

    /**
     * Where the bytes of such a BAR stand from now on; they go on from what they were. Null: where
     * the function has them itself, as at the beginning.
     *
     * @param bytes as many as the BAR has; whoever maps them changes them at any time
     */
    default void barMemory(int bar, @Nullable MemorySegment bytes) {}

    /** What it has done, by the name of what is counted, in the order for people. Any thread. */
    default Map<String, Long> counters() {
        return Map.of();
    }

    @Override
    default boolean isMaster() {
        return (configRead(Pci.COMMAND, 2) & Pci.COMMAND_MASTER) != 0;
    }

    @Override
    default Regions regions() {
        return new RegionAccess(this);
    }
}
