// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserArray;
import org.ioasis.iommufd.UserData;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;

/**
 * A table of a guest: a cache of four entries that shows which were forgotten. Under its context's
 * lock.
 */
final class MockNested implements NestedDomain {
    private final int[] cache = new int[IommufdTest.IOTLB_NUM];
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
    public void invalidate(UserArray entries) throws IommufdException {
        if (entries.type() != IommufdTest.INVALIDATE_DATA_SELFTEST
                || (entries.count() != 0 && entries.entryLength() != IommufdTest.INVALIDATE_SIZE)) {
            throw new IommufdException(Errno.EINVAL, "the entries are not the mock's");
        }
        for (int i = 0; i < entries.count(); i++) {
            MemorySegment entry =
                    entries.read(i, IommufdTest.INVALIDATE_SIZE, IommufdTest.INVALIDATE_SIZE);
            forget(
                    cache,
                    entry.get(JAVA_INT, IommufdTest.INVALIDATE_FLAGS),
                    entry.get(JAVA_INT, IommufdTest.INVALIDATE_IOTLB_ID));
            entries.advance();
        }
    }

    /** Forgets one entry of a cache or all. */
    static void forget(int[] cache, int flags, int id) throws IommufdException {
        check(cache, flags, id);
        if ((flags & IommufdTest.INVALIDATE_FLAG_ALL) != 0) {
            Arrays.fill(cache, 0);
        } else {
            cache[id] = 0;
        }
    }

    static void check(int[] cache, int flags, int id) throws IommufdException {
        if ((flags & ~IommufdTest.INVALIDATE_FLAG_ALL) != 0) {
            throw new IommufdException(Errno.EOPNOTSUPP, "unknown flag of an invalidation");
        }
        if (Integer.compareUnsigned(id, cache.length) >= 0) {
            throw new IommufdException(Errno.EINVAL, "the cache has no entry " + id);
        }
    }
}
