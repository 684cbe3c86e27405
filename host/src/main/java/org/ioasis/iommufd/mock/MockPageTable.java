// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.PagingDomain;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;

/**
 * A page table whose page is half of the CPU's, so that the two are never taken for each other. A
 * larger leaf stands in every slot that it spans. Under its context's lock.
 */
final class MockPageTable implements PagingDomain {
    private static final int PAGE_LG2 = Long.numberOfTrailingZeros(IommufdTest.PAGE_SIZE);
    private static final int TABLE_LG2 = 9;
    private static final int MASK = (1 << TABLE_LG2) - 1;

    // A word: address, and in the bits that a page leaves free:
    private static final long PRESENT = 1;
    private static final long DIRTY = 2;
    private static final int SIZE_SHIFT = 2;
    private static final long SIZE_MASK = 0x3f << SIZE_SHIFT;
    private static final long ADDRESS = -IommufdTest.PAGE_SIZE;

    private final Map<Long, long[]> tables = new HashMap<>();
    private final boolean tracksDirty;
    private final long pageSizes;
    private boolean isTracking;

    MockPageTable(boolean tracksDirty, boolean isHuge) {
        this.tracksDirty = tracksDirty;
        pageSizes =
                isHuge
                        ? IommufdTest.PAGE_SIZE | IommufdTest.HUGE_PAGE_SIZE
                        : -IommufdTest.PAGE_SIZE;
    }

    @Override
    public long pageSizes() {
        return pageSizes;
    }

    @Override
    public long apertureFirst() {
        return IommufdTest.APERTURE_START;
    }

    @Override
    public long apertureLast() {
        return IommufdTest.APERTURE_LAST;
    }

    @Override
    public void map(
            long iova,
            long address,
            long length,
            boolean isReadable,
            boolean isWritable,
            long largestLeaf,
            FailureInjector failures)
            throws IommufdException {
        if (failures.fails()) {
            throw new IommufdException(Errno.ENOMEM, "injected failure of a page table");
        }
        for (long done = 0; done < length; ) {
            int lg2 = leaf(iova + done, address + done, length - done, largestLeaf);
            for (long at = 0; at < 1L << lg2; at += IommufdTest.PAGE_SIZE) {
                long page = (iova + done + at) >>> PAGE_LG2;
                long[] table = tables.computeIfAbsent(page >>> TABLE_LG2, _ -> new long[MASK + 1]);
                if (table[(int) page & MASK] != 0) {
                    throw new IllegalStateException(
                            "0x%x is mapped already".formatted(iova + done + at));
                }
                table[(int) page & MASK] =
                        (address + done + at) | ((long) lg2 << SIZE_SHIFT) | PRESENT;
            }
            done += 1L << lg2;
        }
    }

    /** The largest leaf that fits: its size's logarithm. */
    private int leaf(long iova, long address, long length, long largestLeaf) {
        for (int lg2 = 62; lg2 > PAGE_LG2; lg2--) {
            long size = 1L << lg2;
            if ((pageSizes & size) != 0
                    && size <= length
                    && Long.compareUnsigned(size, largestLeaf) <= 0
                    && ((iova | address) & (size - 1)) == 0) {
                return lg2;
            }
        }
        return PAGE_LG2;
    }

    @Override
    public void unmap(long iova, long length) {
        for (long done = 0; done < length; done += IommufdTest.PAGE_SIZE) {
            long page = (iova + done) >>> PAGE_LG2;
            long[] table = tables.get(page >>> TABLE_LG2);
            if (table == null || table[(int) page & MASK] == 0) {
                throw new IllegalStateException("0x%x is not mapped".formatted(iova + done));
            }
            table[(int) page & MASK] = 0;
            if ((page & MASK) == MASK && isEmpty(table)) {
                tables.remove(page >>> TABLE_LG2);
            }
        }
        long end = (iova + length - 1) >>> PAGE_LG2 >>> TABLE_LG2;
        long[] table = tables.get(end);
        if (table != null && isEmpty(table)) {
            tables.remove(end);
        }
    }

    private static boolean isEmpty(long[] table) {
        for (long word : table) {
            if (word != 0) {
                return false;
            }
        }
        return true;
    }

    /** Tables that are there. */
    int tables() {
        return tables.size();
    }

    private long @Nullable [] table(long iova) {
        return tables.get(iova >>> PAGE_LG2 >>> TABLE_LG2);
    }

    private static int slot(long iova) {
        return (int) (iova >>> PAGE_LG2) & MASK;
    }

    /** Whether something is mapped there. */
    boolean isMapped(long iova) {
        long[] table = table(iova);
        return table != null && table[slot(iova)] != 0;
    }

    @Override
    public long toPhysical(long iova) {
        long[] table = table(iova);
        if (table == null || table[slot(iova)] == 0) {
            throw new IllegalStateException("0x%x is not mapped".formatted(iova));
        }
        return (table[slot(iova)] & ADDRESS) | (iova & (IommufdTest.PAGE_SIZE - 1));
    }

    @Override
    public boolean tracksDirty() {
        return tracksDirty;
    }

    @Override
    public void trackDirty(boolean isEnabled) {
        isTracking = isEnabled;
    }

    @Override
    public boolean isTrackingDirty() {
        return isTracking;
    }

    /** A device writes there; false: nothing is mapped. */
    boolean markDirty(long iova) {
        if (!isMapped(iova)) {
            return false;
        }
        long[] table = table(iova);
        if (table != null) {
            table[slot(iova)] |= DIRTY;
        }
        return true;
    }

    @Override
    public void dirty(long first, long last, boolean clears, DirtyVisitor visitor) {
        for (long at = first; ; ) {
            long[] table = table(at);
            long word = table == null ? 0 : table[slot(at)];
            long size =
                    word == 0 ? IommufdTest.PAGE_SIZE : 1L << ((word & SIZE_MASK) >>> SIZE_SHIFT);
            long leafFirst = at & -size;
            long leafLast = leafFirst + size - 1;
            if (word != 0 && takeDirty(leafFirst, leafLast, clears)) {
                visitor.dirty(max(leafFirst, first), min(leafLast, last));
            }
            if (Long.compareUnsigned(leafLast, last) >= 0) {
                return;
            }
            at = leafLast + 1;
        }
    }

    /** A leaf is dirty if one of its slots is. */
    private boolean takeDirty(long first, long last, boolean clears) {
        boolean isDirty = false;
        for (long at = first; Long.compareUnsigned(at, last) < 0; at += IommufdTest.PAGE_SIZE) {
            long[] table = table(at);
            if (table != null && (table[slot(at)] & DIRTY) != 0) {
                isDirty = true;
                if (clears) {
                    table[slot(at)] &= ~DIRTY;
                }
            }
        }
        return isDirty;
    }

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }

    private static long min(long a, long b) {
        return Long.compareUnsigned(a, b) <= 0 ? a : b;
    }
}
