// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.ioasis.spec.Iommufd.HW_INFO_TYPE_DEFAULT;
import static org.ioasis.spec.IommufdNesting.AMD_INFO_EFR;
import static org.ioasis.spec.IommufdNesting.AMD_INFO_EFR2;
import static org.ioasis.spec.IommufdNesting.AMD_INFO_SIZE;
import static org.ioasis.spec.IommufdNesting.HW_INFO_AMD;
import static org.ioasis.spec.IommufdNesting.VIOMMU_AMD;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.iommufd.engine.Architecture;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.spec.AmdFeatures;
import org.jspecify.annotations.Nullable;

/**
 * An AMD IOMMU as {@code /dev/iommu} shows it. Its information and the data of a guest's table are
 * Linux's; that a guest has a vIOMMU and its commands are carried out is ours, since Linux has the
 * parts and does not join them. Under the lock of the context that calls.
 */
public final class AmdIommu implements Architecture {
    private final EngineIommu iommu;
    private final long efr;

    private AmdIommu(EngineIommu iommu, long efr) {
        this.iommu = iommu;
        this.efr = efr;
    }

    /**
     * For an {@link EngineIommu} that is to be one.
     *
     * @param efr its Extended Feature Register
     */
    public static Architecture.Maker maker(long efr) {
        return iommu -> new AmdIommu(iommu, efr);
    }

    boolean hasFiveLevels() {
        return (efr >>> AmdFeatures.GATS_AT & AmdFeatures.GATS_MASK) >= AmdFeatures.GATS_5_LEVELS;
    }

    @Override
    public boolean hasGuests() {
        return (efr & AmdFeatures.GT) != 0;
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        if (type != HW_INFO_TYPE_DEFAULT && type != HW_INFO_AMD) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
        }
        byte[] data = new byte[AMD_INFO_SIZE];
        ByteBuffer.wrap(data)
                .order(ByteOrder.nativeOrder())
                .putLong(AMD_INFO_EFR, efr)
                .putLong(AMD_INFO_EFR2, 0);
        return new HwInfo(HW_INFO_AMD, data);
    }

    @Override
    public boolean hasViommu(int type) {
        return type == VIOMMU_AMD && hasGuests();
    }

    @Override
    public @Nullable ViommuDriver viommu(
            Viommu viommu, int type, EngineDomain parent, @Nullable UserData data) {
        return hasViommu(type) ? new AmdViommu(iommu, this, viommu, parent) : null;
    }
}
