// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.PagingHwpt;
import org.jspecify.annotations.Nullable;

/**
 * The groups of a container that are behind IOMMUs, and the page tables that they share: one for
 * each IOMMU and class of coherency. Under its container's lock.
 */
final class IommuGroups {
    /** A page table and who uses it. */
    private static final class Table {
        private final Object iommu;
        private final boolean enforcesCoherency;
        private final PagingHwpt hwpt;
        private int groups;

        Table(Object iommu, boolean enforcesCoherency, PagingHwpt hwpt) {
            this.iommu = iommu;
            this.enforcesCoherency = enforcesCoherency;
            this.hwpt = hwpt;
        }
    }

    /** A group that is attached. */
    static final class Member {
        private final Table table;
        private final List<Device> devices;

        private Member(Table table, List<Device> devices) {
            this.table = table;
            this.devices = devices;
        }
    }

    private final IommufdContext context;
    private final Ioas ioas;
    private final List<Table> tables = new ArrayList<>();

    IommuGroups(IommufdContext context, Ioas ioas) {
        this.context = context;
        this.ioas = ioas;
    }

    /** Whether no group is behind an IOMMU. */
    boolean isEmpty() {
        return tables.isEmpty();
    }

    /**
     * Attaches all devices of a group, or none. A page table that is new shows all mappings before
     * a device reaches it.
     */
    Member attach(VfioGroup group) throws IommufdException {
        if (!group.isolatesInterrupts()) {
            throw new IommufdException(
                    Errno.EPERM, "the group's devices can raise interrupts of others");
        }
        Object iommu = group.devices().getFirst().iommu();
        boolean enforces = true;
        for (HwDevice device : group.devices()) {
            enforces &= device.enforcesCoherency();
            if (!iommu.equals(device.iommu())) {
                throw new IommufdException(
                        Errno.EINVAL, "the devices of a group are behind one IOMMU");
            }
        }
        List<Device> bound = new ArrayList<>();
        Table table = null;
        try {
            for (HwDevice device : group.devices()) {
                bound.add(context.bind(device));
            }
            table = table(iommu, enforces, bound);
            for (Device device : bound) {
                device.attach(table.hwpt.id(), HwDevice.NO_PASID);
            }
        } catch (IommufdException e) {
            letGo(bound, table);
            // What is mapped where the devices have something reserved: EINVAL in type 1.
            throw e.errno() == Errno.EADDRINUSE ? new IommufdException(Errno.EINVAL, e.rule()) : e;
        }
        table.groups++;
        return new Member(table, bound);
    }

    /** Groups of one class share their page table. */
    private Table table(Object iommu, boolean enforces, List<Device> devices)
            throws IommufdException {
        for (Table table : tables) {
            if (table.iommu.equals(iommu) && table.enforcesCoherency == enforces) {
                return table;
            }
        }
        // The table's class is that of the device which it is made for.
        Device like =
                devices.stream()
                        .filter(device -> device.hardware().enforcesCoherency() == enforces)
                        .findFirst()
                        .orElseThrow();
        Table fresh = new Table(iommu, enforces, context.allocateHwpt(like, ioas, 0));
        tables.add(fresh);
        return fresh;
    }

    void detach(Member gone) {
        gone.table.groups--;
        letGo(gone.devices, gone.table);
    }

    private void letGo(List<Device> devices, @Nullable Table table) {
        for (Device device : devices) {
            device.detach(HwDevice.NO_PASID);
        }
        if (table != null && table.groups == 0) {
            tables.remove(table);
            try {
                context.destroy(table.hwpt.id());
            } catch (IommufdException e) {
                throw new IllegalStateException("a page table without devices is used", e);
            }
        }
        devices.forEach(Device::unbind);
    }
}
