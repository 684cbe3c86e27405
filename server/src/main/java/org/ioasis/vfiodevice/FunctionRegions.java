// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.RegionAccess;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Mapping;

/**
 * A function's BARs and configuration space as one file: which region begins where, and a transfer
 * taken apart into the accesses that a bus would see, each naturally aligned and as wide as it can
 * be (drivers/vfio/pci/vfio_pci_rdwr.c). Loop thread.
 */
final class FunctionRegions {
    /** Bytes that are moved between program and function at a time. */
    private static final int PIECE = 512;

    private static final long OFFSET_MASK = (1L << VfioDevice.REGION_SHIFT) - 1;

    private final RegionAccess registers;
    private final MemorySegment piece = Arena.ofAuto().allocate(PIECE, Long.BYTES);

    FunctionRegions(PciFunction function) {
        registers = new RegionAccess(function);
    }

    /** Bytes of a region; 0 if there is none. */
    long size(int region) {
        return registers.size(region);
    }

    /** Where a region begins in the file. */
    static long offset(int region) {
        return (long) region << VfioDevice.REGION_SHIFT;
    }

    /**
     * Reads from or writes to the function, as much as lies in one region.
     *
     * @return bytes that were moved, or a negative errno if none were
     */
    long transfer(Caller caller, boolean isWrite, long address, long length, long position) {
        int region = (int) (position >>> VfioDevice.REGION_SHIFT);
        long offset = position & OFFSET_MASK;
        long size = region >= VfioUser.VFIO_PCI_NUM_REGIONS ? 0 : size(region);
        if (offset >= size) {
            return -Errno.EINVAL.number();
        }
        long count = Math.min(length, size - offset);
        long done = 0;
        while (done < count) {
            int bytes = (int) Math.min(PIECE, count - done);
            if (isWrite && caller.read(address + done, piece, 0, bytes) != 0) {
                break;
            }
            move(region, isWrite, offset + done, bytes);
            if (!isWrite && caller.write(address + done, piece, 0, bytes) != 0) {
                break;
            }
            done += bytes;
        }
        return done == 0 && count > 0 ? -Errno.EFAULT.number() : done;
    }

    private void move(int region, boolean isWrite, long offset, int bytes) {
        for (int done = 0; done < bytes; ) {
            long at = offset + done;
            int width = width(at, bytes - done);
            boolean _ =
                    isWrite
                            ? registers.write(region, at, width, piece, done)
                            : registers.read(region, at, width, piece, done);
            done += width;
        }
        // Of an access of the function's to memory that its program has cut short: this call's end.
        Mapping.raiseLate();
    }

    private static int width(long offset, int left) {
        int width = Long.BYTES;
        while (width > left || offset % width != 0) {
            width /= 2;
        }
        return width;
    }
}
