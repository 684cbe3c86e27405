// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.peer.SharedMemory;
import org.ioasis.sys.Errno;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/**
 * The memory that a front end shares, by guest addresses for the device and by user addresses for
 * the rings' places. One object for each session. Loop thread only.
 */
final class MemoryTable {
    private final SharedMemory memory;
    private final List<MemoryRegion> regions = new ArrayList<>();

    MemoryTable(SharedMemory memory) {
        this.memory = memory;
    }

    /**
     * @param fd stays the caller's
     * @return null if it is there now; what is refused has changed nothing
     */
    SharedMemory.@Nullable Refusal add(MemoryRegion region, Fd fd) {
        for (MemoryRegion other : regions) {
            if (region.overlapsInUserSpace(other)) {
                return new SharedMemory.Refusal(
                        Errno.EEXIST, "memory region overlaps another by its user addresses");
            }
        }
        SharedMemory.Refusal refusal =
                memory.add(region.guestFirst(), region.guestLast(), fd, region.offset(), true);
        if (refusal == null) {
            regions.add(region);
        }
        return refusal;
    }

    /**
     * Takes one away.
     *
     * @param whenGone runs when it is unmapped, perhaps at once
     * @return null if that is done or begun
     */
    SharedMemory.@Nullable Refusal remove(MemoryRegion region, Runnable whenGone) {
        for (int i = 0; i < regions.size(); i++) {
            if (regions.get(i).isSame(region)) {
                regions.remove(i);
                return memory.remove(region.guestFirst(), region.guestLast(), whenGone);
            }
        }
        return new SharedMemory.Refusal(Errno.ENOENT, "no memory region is there");
    }

    /** Takes all away, as {@link #remove}. Twice is fine. */
    void removeAll(Runnable whenGone) {
        regions.clear();
        memory.removeAll(whenGone);
    }

    /** True if that many bytes from this user address on lie in one region. */
    boolean has(long userAddress, long length) {
        return find(userAddress, length) != null;
    }

    /** The guest address of a place that the table {@linkplain #has has}. */
    long guestAddress(long userAddress) {
        MemoryRegion region = find(userAddress, 1);
        if (region == null) {
            throw new IllegalArgumentException("no memory at 0x%x".formatted(userAddress));
        }
        return region.guestFirst() + (userAddress - region.userFirst());
    }

    private @Nullable MemoryRegion find(long userAddress, long length) {
        for (MemoryRegion region : regions) {
            long into = userAddress - region.userFirst();
            if (Long.compareUnsigned(userAddress, region.userFirst()) >= 0
                    && Long.compareUnsigned(into, region.size()) < 0
                    && Long.compareUnsigned(length, region.size() - into) <= 0) {
                return region;
            }
        }
        return null;
    }
}
