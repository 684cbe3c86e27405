// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * A page table as a driver of an IOMMU makes it: what a {@link PagingHwpt} owns. IOVAs are those of
 * the address space, output addresses those of held pages. Under its context's lock.
 */
public interface PagingDomain extends HwDomain {
    /** Sizes of leaves, a bit for each power of two. */
    long pageSizes();

    long apertureFirst();

    /** Inclusive. */
    long apertureLast();

    /**
     * Maps what is not mapped, all or nothing.
     *
     * @param length a multiple of the smallest page size, as the addresses are
     * @param largestLeaf no leaf may be larger; a power of two
     */
    void map(
            long iova,
            long address,
            long length,
            boolean isReadable,
            boolean isWritable,
            long largestLeaf,
            FailureInjector failures)
            throws IommufdException;

    /** Unmaps what was mapped by calls of {@link #map} that lie wholly inside. */
    void unmap(long iova, long length);

    /** The output address; the IOVA is mapped. */
    long toPhysical(long iova);

    /** Whether writes of devices can be told afterwards. */
    boolean tracksDirty();

    /** Starts or ends telling; only if {@link #tracksDirty}. */
    void trackDirty(boolean isEnabled);

    /** Whether it has been started. */
    boolean isTrackingDirty();

    /** What was written, leaf by leaf; forgets it if asked to. */
    void dirty(long first, long last, boolean clears, DirtyVisitor visitor);

    /** Told of leaves that were written. */
    interface DirtyVisitor {
        void dirty(long first, long last);
    }
}
