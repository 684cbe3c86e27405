// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.pci.PciFunction;
import org.ioasis.spec.Pci;
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

    private final PciFunction function;
    private final MemorySegment piece = Arena.ofAuto().allocate(PIECE, Long.BYTES);

    FunctionRegions(PciFunction function) {
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
            move(region, isWrite, (int) (offset + done), bytes);
            if (!isWrite && caller.write(address + done, piece, 0, bytes) != 0) {
                break;
            }
            done += bytes;
        }
        return done == 0 && count > 0 ? -Errno.EFAULT.number() : done;
    }

    private void move(int region, boolean isWrite, int offset, int bytes) {
        boolean isConfig = region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX;
        int widest = isConfig ? Integer.BYTES : Long.BYTES;
        for (int done = 0; done < bytes; ) {
            int at = offset + done;
            int width = width(at, bytes - done, widest);
            if (isWrite) {
                long value = get(done, width);
                if (isConfig) {
                    function.configWrite(at, width, (int) value);
                } else {
                    function.barWrite(region, at, width, value);
                }
            } else {
                put(
                        done,
                        width,
                        isConfig
                                ? function.configRead(at, width)
                                : function.barRead(region, at, width));
            }
            done += width;
        }
        // Of an access of the function's to memory that its program has cut short: this call's end.
        Mapping.raiseLate();
    }

    private static int width(int offset, int left, int widest) {
        int width = widest;
        while (width > left || offset % width != 0) {
            width /= 2;
        }
        return width;
    }

    private long get(long at, int width) {
        return switch (width) {
            case 1 -> piece.get(JAVA_BYTE, at) & 0xffL;
            case 2 -> piece.get(JAVA_SHORT_UNALIGNED, at) & 0xffffL;
            case 4 -> piece.get(JAVA_INT_UNALIGNED, at) & 0xffff_ffffL;
            default -> piece.get(JAVA_LONG_UNALIGNED, at);
        };
    }

    private void put(long at, int width, long value) {
        switch (width) {
            case 1 -> piece.set(JAVA_BYTE, at, (byte) value);
            case 2 -> piece.set(JAVA_SHORT_UNALIGNED, at, (short) value);
            case 4 -> piece.set(JAVA_INT_UNALIGNED, at, (int) value);
            default -> piece.set(JAVA_LONG_UNALIGNED, at, value);
        }
    }
}
