// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.HW_INFO_TYPE_DEFAULT;
import static org.ioasis.spec.IommufdNesting.HWPT_DATA_VTD_S1;
import static org.ioasis.spec.IommufdNesting.HW_INFO_VTD;
import static org.ioasis.spec.IommufdNesting.VTD_INFO_CAP;
import static org.ioasis.spec.IommufdNesting.VTD_INFO_ECAP;
import static org.ioasis.spec.IommufdNesting.VTD_INFO_SIZE;
import static org.ioasis.spec.IommufdNesting.VTD_S1_SIZE;
import static org.ioasis.spec.VtdRegisters.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.engine.Architecture;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.iommufd.engine.EngineNested;

/**
 * VT-d in scalable mode, as {@code /dev/iommu} shows it: first stages of guests stand right behind
 * a page table, one by one for each PASID. Under the lock of the context that calls.
 */
public final class VtdIommu implements Architecture {
    /** All in a first stage that there is. */
    public static final long CAP = CAP_FL5LP | CAP_FL1GP;

    private static final long PASID_BITS = 20;

    /** All of the scalable mode but requests of supervisors. */
    public static final long ECAP =
            ECAP_NEST
                    | ECAP_PRS
                    | ECAP_EAFS
                    | ECAP_PASID
                    | ECAP_SMTS
                    | ECAP_SLTS
                    | ECAP_FLTS
                    | (PASID_BITS - 1) << ECAP_PSS_AT;

    private final EngineIommu iommu;
    private final long cap;
    private final long ecap;

    private VtdIommu(EngineIommu iommu, long cap, long ecap) {
        this.iommu = iommu;
        this.cap = cap;
        this.ecap = ecap;
    }

    /**
     * For an {@link EngineIommu} that is to be one, with registers that say less or as they are.
     */
    public static Architecture.Maker maker(long cap, long ecap) {
        return iommu -> new VtdIommu(iommu, cap, ecap);
    }

    boolean hasCap(long bit) {
        return (cap & bit) != 0;
    }

    boolean hasEcap(long bit) {
        return (ecap & bit) != 0;
    }

    @Override
    public boolean hasGuests() {
        return hasEcap(ECAP_NEST);
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        if (type != HW_INFO_TYPE_DEFAULT && type != HW_INFO_VTD) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
        }
        byte[] data = new byte[VTD_INFO_SIZE];
        ByteBuffer.wrap(data)
                .order(ByteOrder.nativeOrder())
                .putLong(VTD_INFO_CAP, cap)
                .putLong(VTD_INFO_ECAP, ecap);
        return new HwInfo(HW_INFO_VTD, data);
    }

    @Override
    public EngineNested nested(EngineDomain parent, int flags, UserData data)
            throws IommufdException {
        if (!hasGuests() || (flags & ~HWPT_ALLOC_PASID) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "a first stage is for PASIDs or not, where there are any");
        }
        if (data.type() != HWPT_DATA_VTD_S1) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "data of type 0x%x is not VT-d's".formatted(data.type()));
        }
        Stage stage = FirstStage.of(this, data.read(HWPT_DATA_VTD_S1, VTD_S1_SIZE, VTD_S1_SIZE));
        return new VtdNested(iommu, parent, stage);
    }
}
