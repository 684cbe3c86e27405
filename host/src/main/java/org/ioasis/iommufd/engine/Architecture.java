// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.jspecify.annotations.Nullable;

/**
 * What an {@link EngineIommu} is to programs beside its page tables: which registers it shows, and
 * which tables of guests it walks. Under the lock of the context that calls.
 */
public interface Architecture {
    /** None: an IOMMU that has page tables and nothing for guests. */
    Architecture PLAIN = new Architecture() {};

    /** Makes what belongs to one IOMMU. */
    interface Maker {
        Architecture make(EngineIommu iommu);
    }

    /** An access of a device was refused: a guest may want to hear of it. */
    default void faulted(EngineDevice device, Fault fault) {}

    /** Whether guests can have tables behind its page tables. */
    default boolean hasGuests() {
        return false;
    }

    /** As {@link org.ioasis.iommufd.HwDevice#info}. */
    default HwInfo info(int type) throws IommufdException {
        if (type != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
        }
        return new HwInfo(0, new byte[0]);
    }

    /** Makes a table of a guest right behind a page table. */
    default EngineNested nested(EngineDomain parent, int flags, UserData data)
            throws IommufdException {
        throw new IommufdException(
                Errno.EOPNOTSUPP, "the IOMMU has no tables of guests without a vIOMMU");
    }

    default boolean hasViommu(int type) {
        return false;
    }

    /**
     * Makes the driver's part of a vIOMMU.
     *
     * @return null: no such type
     */
    default @Nullable ViommuDriver viommu(
            Viommu viommu, int type, EngineDomain parent, @Nullable UserData data)
            throws IommufdException {
        return null;
    }
}
