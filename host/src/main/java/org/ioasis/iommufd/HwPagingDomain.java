// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.ioasis.iommu.pagetable.DirtyVisitor;

/**
 * What a {@link PagingHwpt} owns of the engine: a mapping store, or a page table of a format. IOVAs
 * are those of the address space, output addresses those of held pages. Under its context's lock.
 */
public interface HwPagingDomain extends HwDomain {
    /** Sizes of leaves, a bit for each power of two. */
    long pageSizes();

    long apertureFirst();

    /** Inclusive. */
    long apertureLast();

    /**
     * Maps what is not mapped, all or nothing.
     *
     * @param length a multiple of the smallest page size, as the addresses are
     */
    void map(
            long iova,
            long address,
            long length,
            boolean isReadable,
            boolean isWritable,
            FailureInjector failures)
            throws IommufdException;

    /**
     * Unmaps what was mapped by calls of {@link #map} that lie wholly inside. When it returns no
     * device reaches it any more.
     */
    void unmap(long iova, long length);

    /** The output address; the IOVA is mapped. */
    long toPhysical(long iova);

    /**
     * How many IOVAs from this one on lead to output addresses side by side, as far as one look
     * tells: those to the end of its leaf, or only this one. The IOVA is mapped.
     */
    default long sideBySide(long iova) {
        return 1;
    }

    /** Whether writes of devices can be told afterwards. */
    default boolean tracksDirty() {
        return false;
    }

    /** Starts or ends telling; only if {@link #tracksDirty}. */
    default void trackDirty(boolean isEnabled) {
        throw new IllegalStateException("what is written cannot be told");
    }

    /** Whether it has been started. */
    default boolean isTrackingDirty() {
        return false;
    }

    /** What was written, leaf by leaf; forgets it if asked to. Only if {@link #tracksDirty}. */
    default void dirty(long first, long last, boolean clears, DirtyVisitor visitor) {
        throw new IllegalStateException("what is written cannot be told");
    }
}
