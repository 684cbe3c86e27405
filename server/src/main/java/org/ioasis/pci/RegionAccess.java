// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Errno;

/**
 * A function's BARs and configuration space as the numbered regions of a VFIO device, whoever asks
 * for them: checks where an access lies and takes it apart into what a function answers to. Loop
 * thread only.
 */
public final class RegionAccess implements Regions {
    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final PciFunction function;

    public RegionAccess(PciFunction function) {
        this.function = function;
    }

    @Override
    public long size(int region) {
        if (region >= VfioUser.VFIO_PCI_BAR0_REGION_INDEX
                && region <= VfioUser.VFIO_PCI_BAR5_REGION_INDEX) {
            return function.barSize(region);
        }
        return region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX ? function.configSize() : 0;
    }

    /** False if that is no access that the function has: nothing is read. */
    public boolean read(int region, long offset, int count, MemorySegment data, long at) {
        if (!isAccess(region, offset, count)) {
            return false;
        }
        if (region != VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            register(data, at, count, function.barRead(region, offset, count));
            return true;
        }
        for (int done = 0; done < count; ) {
            int from = (int) offset + done;
            int size = pieceSize(from, count - done);
            register(data, at + done, size, function.configRead(from, size));
            done += size;
        }
        return true;
    }

    /** False if that is no access that the function has: nothing is written. */
    public boolean write(int region, long offset, int count, MemorySegment data, long at) {
        if (!isAccess(region, offset, count)) {
            return false;
        }
        if (region != VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            function.barWrite(region, offset, count, register(data, at, count));
            return true;
        }
        for (int done = 0; done < count; ) {
            int to = (int) offset + done;
            int size = pieceSize(to, count - done);
            function.configWrite(to, size, (int) register(data, at + done, size));
            done += size;
        }
        return true;
    }

    @Override
    public void read(
            int region, long offset, int count, MemorySegment data, long at, Answer answer) {
        answer.done(read(region, offset, count, data, at) ? 0 : Errno.EINVAL);
    }

    @Override
    public void write(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            boolean isPosted,
            Answer answer) {
        answer.done(write(region, offset, count, data, at) ? 0 : Errno.EINVAL);
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

    /** What a register access carries: 1, 2, 4 or 8 bytes, little-endian; zero-extended. */
    public static long register(MemorySegment data, long at, int size) {
        return switch (size) {
            case 1 -> data.get(ValueLayout.JAVA_BYTE, at) & 0xffL;
            case 2 -> data.get(U16, at) & 0xffffL;
            case 4 -> data.get(U32, at) & 0xffff_ffffL;
            case 8 -> data.get(U64, at);
            default -> throw new IllegalArgumentException("register of " + size + " bytes");
        };
    }

    /** The same, to be carried. */
    public static void register(MemorySegment data, long at, int size, long value) {
        switch (size) {
            case 1 -> data.set(ValueLayout.JAVA_BYTE, at, (byte) value);
            case 2 -> data.set(U16, at, (short) value);
            case 4 -> data.set(U32, at, (int) value);
            case 8 -> data.set(U64, at, value);
            default -> throw new IllegalArgumentException("register of " + size + " bytes");
        }
    }
}
