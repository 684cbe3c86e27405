// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.spec.Iommufd.HW_INFO_TYPE_DEFAULT;
import static org.ioasis.spec.IommufdNesting.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.iommufd.engine.Architecture;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineDomain;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.memory.Access;
import org.ioasis.spec.Smmuv3Command;
import org.jspecify.annotations.Nullable;

/**
 * An SMMUv3 as {@code /dev/iommu} shows it: guests have a vIOMMU, and behind it for each device
 * what the first two words of its stream table entry say. Under the lock of the context that calls.
 */
public final class Smmuv3Iommu implements Architecture {
    /** Bits of addresses behind stage 2. */
    static final int OUTPUT_BITS = 48;

    /** Queues that a guest fills itself, as a power of two. */
    static final int QUEUES_LG2 = 1;

    /** Names that a guest's devices may have at a vIOMMU with such queues. */
    static final int STREAMS_LG2 = 20;

    // What this SMMU says of itself (SMMUv3, 6.3): both stages, AArch64 tables with all granules,
    // ATS and PRI, 16 bits of ASID and VMID; 20 bits of substreams; ranges in invalidations.
    private static final int[] IDR = {
        0x3 | 0x2 << 2 | 1 << 10 | 1 << 12 | 1 << 16 | 1 << 18,
        20 << 6 | 20,
        0,
        1 << 10,
        0,
        0x5 | 7 << 4,
    };

    /** AIDR: version 3.2. */
    private static final int AIDR = 2;

    private final EngineIommu iommu;
    private final boolean hasQueues;
    private final Map<EngineDevice, Smmuv3Viommu> guests = new HashMap<>();
    private long hostFaults;

    private Smmuv3Iommu(EngineIommu iommu, boolean hasQueues) {
        this.iommu = iommu;
        this.hasQueues = hasQueues;
    }

    /** For an {@link EngineIommu} that is to be one. */
    public static Architecture.Maker maker() {
        return iommu -> new Smmuv3Iommu(iommu, false);
    }

    /** The same with queues of commands that a guest fills without a call, as Tegra241 has them. */
    public static Architecture.Maker makerWithQueues() {
        return iommu -> new Smmuv3Iommu(iommu, true);
    }

    EngineIommu iommu() {
        return iommu;
    }

    @Override
    public boolean hasGuests() {
        return true;
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        if (type == HW_INFO_TYPE_DEFAULT || type == HW_INFO_SMMUV3) {
            byte[] data = new byte[SMMUV3_INFO_SIZE];
            ByteBuffer words = ByteBuffer.wrap(data).order(ByteOrder.nativeOrder());
            for (int i = 0; i < SMMUV3_INFO_IDR_COUNT; i++) {
                words.putInt(SMMUV3_INFO_IDR + i * Integer.BYTES, IDR[i]);
            }
            words.putInt(SMMUV3_INFO_AIDR, AIDR);
            return new HwInfo(HW_INFO_SMMUV3, data);
        }
        if (type == HW_INFO_TEGRA241 && hasQueues) {
            byte[] data = new byte[TEGRA241_INFO_SIZE];
            data[TEGRA241_INFO_VERSION] = 1;
            data[TEGRA241_INFO_LOG2VCMDQS] = QUEUES_LG2;
            data[TEGRA241_INFO_LOG2VSIDS] = STREAMS_LG2;
            return new HwInfo(HW_INFO_TEGRA241, data);
        }
        throw new IommufdException(Errno.EOPNOTSUPP, "no information of type 0x%x".formatted(type));
    }

    /** A guest has a name for a device, or none any more. */
    void named(EngineDevice device, @Nullable Smmuv3Viommu guest) {
        if (guest == null) {
            guests.remove(device);
        } else {
            guests.put(device, guest);
        }
    }

    /** Faults that were the host's: of stage 2, or of devices that no guest has. */
    public long hostFaults() {
        return hostFaults;
    }

    @Override
    public void faulted(EngineDevice device, Fault fault) {
        Smmuv3Viommu guest = guests.get(device);
        Fault.Table table = fault.table();
        int event =
                guest == null || table == null || table.stage() != TwoStageFault.FIRST
                        ? 0
                        : event(table.fault());
        if (guest == null || event == 0) {
            hostFaults++;
            return;
        }
        long word1 =
                (long) Smmuv3Command.EVENT_CLASS_IN << Smmuv3Command.EVENT_CLASS_SHIFT
                        | (fault.access() == Access.READ ? Smmuv3Command.EVENT_READ : 0);
        int substream =
                fault.pasid() == Attachment.NO_PASID ? DeviceCaches.NO_SPACE : fault.pasid();
        guest.event(device, event, substream, word1, fault.address());
    }

    /** What the SMMU says of a walk that has ended (7.3); 0: nothing that is a guest's. */
    private static int event(WalkFault fault) {
        return switch (fault) {
            case RANGE, TRANSLATION, FORMAT -> Smmuv3Command.F_TRANSLATION;
            case ADDRESS_SIZE -> Smmuv3Command.F_ADDR_SIZE;
            case ACCESS_FLAG -> Smmuv3Command.F_ACCESS;
            case PERMISSION -> Smmuv3Command.F_PERMISSION;
            case NONE, TABLE -> 0;
        };
    }

    @Override
    public boolean hasViommu(int type) {
        return type == VIOMMU_SMMUV3 || (type == VIOMMU_TEGRA241 && hasQueues);
    }

    @Override
    public @Nullable ViommuDriver viommu(
            Viommu viommu, int type, EngineDomain parent, @Nullable UserData data)
            throws IommufdException {
        if (type == VIOMMU_TEGRA241 && hasQueues) {
            return Tegra241Viommu.make(this, viommu, parent, data);
        }
        return type == VIOMMU_SMMUV3 ? new Smmuv3Viommu(this, viommu, parent) : null;
    }
}
