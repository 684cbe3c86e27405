// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A device behind an IOMMU, as the driver of that IOMMU shows it. Under the lock of the context
 * that it is bound to.
 */
public interface HwDevice {
    /** Stands for all transactions without PASID (PASID 0 is never given to anybody). */
    int NO_PASID = 0;

    HwGroup group();

    /**
     * Whether its driver is an object of the context that it is bound to, and ends with it. Others
     * keep their context open until they let go of the device.
     */
    default boolean endsWithContext() {
        return false;
    }

    /** Which IOMMU it is behind. */
    Object iommu();

    /** DMA sees what caches hold. */
    boolean isCoherent();

    /** The IOMMU can make DMA coherent that asks not to be. */
    boolean enforcesCoherency();

    boolean tracksDirty();

    /** Width of its PASIDs; 0: none. */
    int pasidBits();

    /** IOVAs that its DMA never reaches memory at. */
    List<IovaRange> reserved();

    /**
     * Attaches it, in the place of what it was attached to.
     *
     * @throws IommufdException and it is attached to what it was
     */
    void attach(HwDomain domain, int pasid) throws IommufdException;

    /** Its DMA is blocked from now on. */
    void block(int pasid);

    /**
     * Makes a page table.
     *
     * @param flags HWPT_ALLOC_ flags
     */
    HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException;

    /** Makes a table of a guest behind a page table. */
    NestedDomain nested(HwPagingDomain parent, int flags, UserData data) throws IommufdException;

    /**
     * What its IOMMU says of itself.
     *
     * @param type which kind is wanted; 0: the driver's own
     * @throws IommufdException EOPNOTSUPP: no such kind
     */
    HwInfo info(int type) throws IommufdException;

    /**
     * Makes the driver's part of a vIOMMU.
     *
     * @return null: no such type
     */
    @Nullable ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data)
            throws IommufdException;

    /** Whether {@link #viommu} knows the type. */
    boolean hasViommu(int type);

    /** The answer to a group of page requests. */
    void respond(int pasid, int group, int code);
}
