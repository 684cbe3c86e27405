// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.ioasis.spec.VfioType1.GROUP_FLAGS_CONTAINER_SET;
import static org.ioasis.spec.VfioType1.GROUP_FLAGS_VIABLE;

import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * Devices that go to a program together: what an open {@code /dev/vfio/N} stands for. Any thread;
 * its own lock comes before its container's.
 */
public final class VfioGroup {
    private final int number;
    private final List<HwDevice> devices;
    private final boolean isolatesInterrupts;
    private @Nullable VfioContainer container;
    private int opened;

    private VfioGroup(int number, List<HwDevice> devices, boolean isolatesInterrupts) {
        this.number = number;
        this.devices = List.copyOf(devices);
        this.isolatesInterrupts = isolatesInterrupts;
    }

    /**
     * Devices behind an IOMMU that no IOMMU can tell apart.
     *
     * @param devices at least one
     */
    public static VfioGroup of(int number, List<HwDevice> devices) {
        if (devices.isEmpty()) {
            throw new IllegalArgumentException("group " + number + " has no devices");
        }
        return new VfioGroup(number, devices, true);
    }

    /** As {@link #of}, of devices whose interrupts nothing confines: no container takes it. */
    public static VfioGroup withoutIsolation(int number, List<HwDevice> devices) {
        return new VfioGroup(number, devices, false);
    }

    /** A mediated device, which is behind no IOMMU: its driver pins what it reaches. */
    public static VfioGroup mediated(int number) {
        return new VfioGroup(number, List.of(), true);
    }

    public int number() {
        return number;
    }

    /** Those behind an IOMMU. */
    public List<HwDevice> devices() {
        return devices;
    }

    public boolean isMediated() {
        return devices.isEmpty();
    }

    boolean isolatesInterrupts() {
        return isolatesInterrupts;
    }

    /** GROUP_FLAGS_: all devices are ours, so that it can always be used. */
    public synchronized int status() {
        return GROUP_FLAGS_VIABLE | (container == null ? 0 : GROUP_FLAGS_CONTAINER_SET);
    }

    /** The container that has it. */
    public synchronized @Nullable VfioContainer container() {
        return container;
    }

    /**
     * Gives it to a container.
     *
     * @throws IommufdException EINVAL: it has one; or what the container's IOMMU says
     */
    public synchronized void setContainer(VfioContainer to) throws IommufdException {
        if (container != null) {
            throw new IommufdException(Errno.EINVAL, "the group has a container");
        }
        to.add(this);
        container = to;
    }

    /**
     * Takes it from its container.
     *
     * @throws IommufdException EINVAL: it has none; EBUSY: a device of it is open
     */
    public synchronized void unsetContainer() throws IommufdException {
        VfioContainer from = container;
        if (from == null) {
            throw new IommufdException(Errno.EINVAL, "the group has no container");
        }
        if (opened > 0) {
            throw new IommufdException(Errno.EBUSY, opened + " devices of the group are open");
        }
        container = null;
        from.remove(this);
    }

    /**
     * A device of it is opened: until {@link #closed} it keeps its container.
     *
     * @return what the container does with it
     * @throws IommufdException EINVAL: it has no container, or one without an IOMMU
     */
    public synchronized ContainerDriver opened() throws IommufdException {
        ContainerDriver driver = container == null ? null : container.driver();
        if (driver == null) {
            throw new IommufdException(Errno.EINVAL, "the group's container has no IOMMU yet");
        }
        opened++;
        return driver;
    }

    /** A device of it is closed. */
    public synchronized void closed() {
        if (opened == 0) {
            throw new IllegalStateException("no device of group " + number + " is open");
        }
        opened--;
    }
}
