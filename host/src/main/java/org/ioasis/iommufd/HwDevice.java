// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A device behind an IOMMU, as the driver of that IOMMU shows it; what only some have is absent
 * unless it says otherwise. Under the lock of the context that it is bound to.
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

    default boolean tracksDirty() {
        return false;
    }

    /** Width of its PASIDs; 0: none. */
    default int pasidBits() {
        return 0;
    }

    /** IOVAs that its DMA never reaches memory at. */
    default List<IovaRange> reserved() {
        return List.of();
    }

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

    /**
     * Makes a table of a guest behind a page table.
     *
     * @throws IommufdException EOPNOTSUPP: there are none
     */
    default NestedDomain nested(HwPagingDomain parent, int flags, UserData data)
            throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "the IOMMU has no tables of guests");
    }

    /**
     * What its IOMMU says of itself.
     *
     * @param type which kind is wanted; 0: the driver's own
     * @throws IommufdException EOPNOTSUPP: no such kind
     */
    default HwInfo info(int type) throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
    }

    /**
     * Makes the driver's part of a vIOMMU.
     *
     * @return null: no such type
     */
    default @Nullable ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data)
            throws IommufdException {
        return null;
    }

    /** Whether {@link #viommu} knows the type. */
    default boolean hasViommu(int type) {
        return false;
    }

    /** The answer to a group of page requests, which somebody has reported for it. */
    default void respond(int pasid, int group, int code) {}
}
