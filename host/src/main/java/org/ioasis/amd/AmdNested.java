// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import static org.ioasis.iommufd.HwDevice.NO_PASID;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineNested;
import org.ioasis.spec.AmdDevice;
import org.jspecify.annotations.Nullable;

/**
 * What a guest says of one of its devices: tables of its own by PASID, found when a device is
 * attached and when the guest takes away all of a PASID. Under its context's lock.
 */
final class AmdNested extends EngineNested {
    /** Bits of addresses behind the host's table. */
    private static final int OUTPUT_BITS = 52;

    private final AmdViommu viommu;
    private final DeviceEntry entry;

    /** The same with the host's number of the domain, and all rights. */
    private final DeviceEntry hosts;

    private final List<EngineDevice> devices = new ArrayList<>();

    AmdNested(AmdViommu viommu, DeviceEntry entry) throws IommufdException {
        super(viommu.parent());
        this.viommu = viommu;
        this.entry = entry;
        int tag = viommu.join(entry.domain(), this);
        hosts =
                new DeviceEntry(
                        entry.word0() | AmdDevice.READ | AmdDevice.WRITE,
                        (entry.word1() & ~AmdDevice.DOMAIN) | tag,
                        entry.word2());
    }

    /**
     * A device table entry of a guest's.
     *
     * @throws IommufdException EINVAL: something that a guest may not say; EOPNOTSUPP: more levels
     *     than the IOMMU has
     */
    static DeviceEntry check(long word0, long word1, long word2, boolean hasFiveLevels)
            throws IommufdException {
        DeviceEntry entry = new DeviceEntry(word0, word1, word2);
        if (entry.mode() != 0 || (word0 & AmdDevice.ROOT) != 0) {
            throw new IommufdException(Errno.EINVAL, "the host's table is not the guest's to say");
        }
        if (entry.isValid() && entry.hasGuest() && entry.gcr3() == 0) {
            throw new IommufdException(Errno.EINVAL, "the guest has no table of PASIDs");
        }
        if (entry.guestIndexLevels() == AmdDevice.GLX_RESERVED
                || entry.guestLevels() > AmdDevice.GUEST_LEVELS_5) {
            throw new IommufdException(
                    Errno.EINVAL, "a number of levels that there is not, in 0x%x".formatted(word2));
        }
        if (entry.guestLevels() == AmdDevice.GUEST_LEVELS_5 && !hasFiveLevels) {
            throw new IommufdException(Errno.EOPNOTSUPP, "the IOMMU has four levels");
        }
        return entry;
    }

    @Override
    protected boolean ownsPasids() {
        return true;
    }

    @Override
    protected @Nullable Domain target(EngineDevice device, int pasid) throws IommufdException {
        if (!entry.isValid()) {
            return null;
        }
        if (pasid == NO_PASID && !entry.isGuestWithoutPasid()) {
            return parent.engine();
        }
        if (!entry.hasGuest()) {
            return null;
        }
        int index = pasid == NO_PASID ? DeviceTable.NO_PASID : pasid;
        ContextAnswer<DeviceRefusal> answer =
                viommu.iommu()
                        .look(
                                parent,
                                tables -> DeviceTable.findGuest(tables, hosts, index, OUTPUT_BITS));
        return answer.refusal() == null
                ? viommu.iommu().walkedWhileUsed(answer.space(), parent)
                : null;
    }

    @Override
    protected void joined(EngineDevice device) {
        devices.add(device);
    }

    @Override
    protected void left(EngineDevice device) {
        devices.remove(device);
    }

    /** The guest may have another table for a PASID. */
    void reenter(int pasid) {
        devices.forEach(device -> device.reenter(pasid));
    }

    /** The same of all PASIDs. */
    void reenter() {
        devices.forEach(EngineDevice::reenter);
    }

    @Override
    public void free() {
        viommu.leave(entry.domain(), this);
    }
}
