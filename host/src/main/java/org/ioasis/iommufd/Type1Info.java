// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.ioasis.spec.VfioType1.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Iommufd;

/**
 * What a container of type 1 says of itself: struct vfio_iommu_type1_info with its chain of
 * capabilities, in the order in which they are added. One thread.
 */
public final class Type1Info {
    private final long pageSizes;
    private final List<MemorySegment> capabilities = new ArrayList<>();
    private int total = INFO_SIZE;

    /**
     * @param pageSizes a bit for each size of a leaf
     */
    public Type1Info(long pageSizes) {
        this.pageSizes = pageSizes;
    }

    private MemorySegment add(int id, int size) {
        // Each begins at a multiple of its widest field.
        MemorySegment body = Arena.ofAuto().allocate((size + 7) & -8, 8);
        body.set(JAVA_SHORT, CAP_ID, (short) id);
        body.set(JAVA_SHORT, CAP_VERSION, (short) 1);
        capabilities.add(body);
        total += (int) body.byteSize();
        return body;
    }

    /** How many more mappings are taken. */
    public void addAvailable(int mappings) {
        add(CAP_DMA_AVAIL, CAP_DMA_AVAIL_SIZE).set(JAVA_INT, CAP_DMA_AVAIL_AVAIL, mappings);
    }

    /**
     * How dirty pages can be told.
     *
     * @param sizes of pages, a bit for each
     * @param bytesMax the longest bitmap
     */
    public void addMigration(long sizes, long bytesMax) {
        MemorySegment body = add(CAP_MIGRATION, CAP_MIGRATION_SIZE);
        body.set(JAVA_LONG, CAP_MIGRATION_PGSIZE_BITMAP, sizes);
        body.set(JAVA_LONG, CAP_MIGRATION_MAX_DIRTY_BITMAP_SIZE, bytesMax);
    }

    /** Which IOVAs may be mapped. */
    public void addRanges(List<IovaRange> ranges) {
        MemorySegment body =
                add(
                        CAP_IOVA_RANGE,
                        CAP_IOVA_RANGE_RANGES + ranges.size() * Iommufd.IOVA_RANGE_SIZE);
        body.set(JAVA_INT, CAP_IOVA_RANGE_NR, ranges.size());
        long at = CAP_IOVA_RANGE_RANGES;
        for (IovaRange range : ranges) {
            body.set(JAVA_LONG, at, range.first());
            body.set(JAVA_LONG, at + Long.BYTES, range.last());
            at += Iommufd.IOVA_RANGE_SIZE;
        }
    }

    /**
     * The bytes of it: without the capabilities, and with the size that they need, if there is no
     * room for them.
     *
     * @param room of the caller, at least {@link org.ioasis.spec.VfioType1#INFO_MIN}
     */
    public MemorySegment layout(long room) {
        MemorySegment info = Arena.ofAuto().allocate(total, 8);
        info.set(JAVA_INT, INFO_ARGSZ, total);
        info.set(JAVA_INT, INFO_FLAGS, INFO_PGSIZES | INFO_CAPS);
        info.set(JAVA_LONG, INFO_IOVA_PGSIZES, pageSizes);
        if (room < total) {
            return info.asSlice(0, Math.min(room, INFO_SIZE));
        }
        info.set(JAVA_INT, INFO_CAP_OFFSET, INFO_SIZE);
        long at = INFO_SIZE;
        for (MemorySegment capability : capabilities) {
            long next = at + capability.byteSize();
            MemorySegment.copy(capability, 0, info, at, capability.byteSize());
            info.set(JAVA_INT, at + CAP_NEXT, next == total ? 0 : (int) next);
            at = next;
        }
        return info;
    }
}
