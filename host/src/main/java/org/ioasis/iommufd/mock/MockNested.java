// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;

/**
 * A table of a guest: a cache of four entries that shows which were forgotten. Under its context's
 * lock.
 */
final class MockNested implements NestedDomain {
    private final int[] cache = new int[IommufdTest.IOTLB_NUM];
    private final Entries entries = new CacheEntries();
    private final @Nullable MockViommu viommu;

    /** Data is one of the driver's own type, or it is refused. */
    MockNested(UserData data, @Nullable MockViommu viommu) throws IommufdException {
        this.viommu = viommu;
        if (data.type() != IommufdTest.HWPT_DATA_SELFTEST) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "data of type 0x%x is not the mock's".formatted(data.type()));
        }
        MemorySegment given =
                data.read(
                        IommufdTest.HWPT_DATA_SELFTEST,
                        IommufdTest.HWPT_SELFTEST_PAGETABLE_TYPE,
                        IommufdTest.HWPT_SELFTEST_SIZE);
        Arrays.fill(cache, given.get(JAVA_INT, IommufdTest.HWPT_SELFTEST_IOTLB));
    }

    /** The vIOMMU it is behind, if it is behind one. */
    @Nullable MockViommu viommu() {
        return viommu;
    }

    int cached(int entry) {
        return cache[entry];
    }

    @Override
    public long invalidate(int type, MemorySegment array, long offset, int entryLength, int count) {
        if (type != IommufdTest.INVALIDATE_DATA_SELFTEST
                || (count != 0 && entryLength != IommufdTest.INVALIDATE_SIZE)) {
            return Handled.refused(0, InvalidationRefusal.TYPE);
        }
        return entries.run(array, offset, entryLength, count);
    }

    private final class CacheEntries extends Entries {
        CacheEntries() {
            super(IommufdTest.INVALIDATE_SIZE);
        }

        @Override
        protected @Nullable InvalidationRefusal entry(MemorySegment array, long offset) {
            return forget(
                    cache,
                    array.get(JAVA_INT_UNALIGNED, offset + IommufdTest.INVALIDATE_FLAGS),
                    array.get(JAVA_INT_UNALIGNED, offset + IommufdTest.INVALIDATE_IOTLB_ID));
        }
    }

    /** Forgets one entry of a cache or all. */
    static @Nullable InvalidationRefusal forget(int[] cache, int flags, int id) {
        InvalidationRefusal refusal = check(flags, id, cache.length);
        if (refusal == null && (flags & IommufdTest.INVALIDATE_FLAG_ALL) != 0) {
            Arrays.fill(cache, 0);
        } else if (refusal == null) {
            cache[id] = 0;
        }
        return refusal;
    }

    static @Nullable InvalidationRefusal check(int flags, int id, int length) {
        if ((flags & ~IommufdTest.INVALIDATE_FLAG_ALL) != 0) {
            return InvalidationRefusal.FLAG;
        }
        return Integer.compareUnsigned(id, length) >= 0 ? InvalidationRefusal.VALUE : null;
    }
}
