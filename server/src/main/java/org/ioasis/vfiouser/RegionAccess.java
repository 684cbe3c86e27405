// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import org.ioasis.pci.PciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;

/**
 * A function's BARs and configuration space as the numbered regions of a VFIO device: checks where
 * an access lies and takes it apart into what a function answers to. Loop thread only.
 */
final class RegionAccess {
    private final PciFunction function;

    RegionAccess(PciFunction function) {
        this.function = function;
    }

    /** Bytes of a region; 0 if there is none. */
    long size(int region) {
        if (region >= VfioUser.VFIO_PCI_BAR0_REGION_INDEX
                && region <= VfioUser.VFIO_PCI_BAR5_REGION_INDEX) {
            return function.barSize(region);
        }
        return region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX ? Pci.CONFIG_SPACE_SIZE : 0;
    }

    /** False if that is no access that the function has: nothing is read. */
    boolean read(int region, long offset, int count, MemorySegment data, long at) {
        if (!isAccess(region, offset, count)) {
            return false;
        }
        if (region != VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            Codec.register(data, at, count, function.barRead(region, offset, count));
            return true;
        }
        for (int done = 0; done < count; ) {
            int from = (int) offset + done;
            int size = pieceSize(from, count - done);
            Codec.register(data, at + done, size, function.configRead(from, size));
            done += size;
        }
        return true;
    }

    /** False if that is no access that the function has: nothing is written. */
    boolean write(int region, long offset, int count, MemorySegment data, long at) {
        if (!isAccess(region, offset, count)) {
            return false;
        }
        if (region != VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            function.barWrite(region, offset, count, Codec.register(data, at, count));
            return true;
        }
        for (int done = 0; done < count; ) {
            int to = (int) offset + done;
            int size = pieceSize(to, count - done);
            function.configWrite(to, size, (int) Codec.register(data, at + done, size));
            done += size;
        }
        return true;
    }

    /** In a region; of a BAR as much as a register. */
    private boolean isAccess(int region, long offset, int count) {
        // Neither the offset nor its sum with count can overflow this way round.
        return offset >= 0
                && offset <= size(region) - count
                && (region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX
                        || count == 1
                        || count == 2
                        || count == 4
                        || count == 8);
    }

    /** The largest naturally aligned access of at most 4 bytes. */
    private static int pieceSize(int offset, int left) {
        if (left >= 4 && offset % 4 == 0) {
            return 4;
        }
        return left >= 2 && offset % 2 == 0 ? 2 : 1;
    }
}
