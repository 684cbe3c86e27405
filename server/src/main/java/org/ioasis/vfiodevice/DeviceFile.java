// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.iommufd.HwDevice.NO_PASID;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.kvm.KvmVm;
import org.ioasis.kvm.VfioFile;
import org.ioasis.program.CallerDescriptors;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * An open VFIO device: its ioctls, and reads and writes of its regions. One that was opened by its
 * own path may do nothing until it has bound the device to an iommufd context; one that a group has
 * given out is bound already, and is attached to what the group's container says. Open until its
 * descriptors are closed and KVM has let it go. Loop thread.
 */
final class DeviceFile implements OpenFile, VfioFile {
    private static final int SCRATCH = 64;

    /** Of MAP_SHARED and MAP_SHARED_VALIDATE. */
    private static final int MAP_SHARED = 1;

    private final AssignedDevice device;
    private final @Nullable GroupFile group;
    private final MemorySegment fields = Arena.ofAuto().allocate(SCRATCH, Long.BYTES);
    private boolean isGranted;

    /** Whose device it is, once it is bound. */
    private @Nullable KvmVm machine;

    private int holders;
    private boolean isReleased;
    private boolean isOver;

    /**
     * @param group which has given it out, and which has the device bound; null: opened by path
     */
    DeviceFile(AssignedDevice device, @Nullable GroupFile group) {
        this.device = device;
        this.group = group;
        isGranted = group != null;
    }

    @Override
    public Form form() {
        return Form.DEVICE;
    }

    @Override
    public String name() {
        return device.path().toString();
    }

    @Override
    public long ioctl(Caller caller, int command, long argument) {
        try {
            run(caller, command, argument);
            Mapping.raiseLate();
            return 0;
        } catch (IommufdException e) {
            caller.refuses(e.rule());
            return -e.errno().number();
        } catch (InternalError e) {
            return memoryGone(caller, e);
        }
    }

    private long memoryGone(Caller caller, InternalError e) {
        device.memoryGone(e);
        caller.refuses("the device works on memory that was cut short");
        return -Errno.EIO.number();
    }

    private void run(Caller caller, int command, long argument) throws IommufdException {
        if (command == VfioDevice.BIND_IOMMUFD) {
            bind(caller, argument);
            return;
        }
        if (!isGranted) {
            throw new IommufdException(Errno.EINVAL, "the device is not bound");
        }
        switch (command) {
            case VfioDevice.ATTACH_IOMMUFD_PT -> attach(caller, argument);
            case VfioDevice.DETACH_IOMMUFD_PT -> detach(caller, argument);
            case VfioDevice.GET_INFO -> info(caller, argument);
            case VfioDevice.GET_REGION_INFO -> regionInfo(caller, argument);
            case VfioDevice.GET_IRQ_INFO -> irqInfo(caller, argument);
            case VfioDevice.SET_IRQS -> device.interrupts().set(caller, argument);
            case VfioDevice.RESET -> device.reset();
            case VfioDevice.FEATURE -> feature(caller, argument);
            case VfioDevice.GET_PCI_HOT_RESET_INFO ->
                    throw new IommufdException(Errno.ENODEV, "its bus cannot be reset");
            default ->
                    throw new IommufdException(
                            Errno.ENOTTY, "command 0x%x is none of a device".formatted(command));
        }
    }

    /** Reads a structure whose first field says how long it is. */
    private void read(Caller caller, long argument, int minimum) throws IommufdException {
        fields.fill((byte) 0);
        if (caller.read(argument, fields, 0, minimum) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        if (size() < minimum) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small");
        }
    }

    private long size() {
        return Integer.toUnsignedLong(fields.get(JAVA_INT, 0));
    }

    private void answer(Caller caller, long argument, long length) throws IommufdException {
        if (caller.write(argument, fields, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
    }

    // Binding: drivers/vfio/device_cdev.c.

    private void bind(Caller caller, long argument) throws IommufdException {
        read(caller, argument, VfioDevice.BIND_SIZE);
        int descriptor = fields.get(JAVA_INT, VfioDevice.BIND_IOMMUFD_FD);
        if (fields.get(JAVA_INT, VfioDevice.BIND_FLAGS) != 0 || descriptor < 0) {
            throw new IommufdException(Errno.EINVAL, "a flag is unknown or a descriptor negative");
        }
        if (group != null) {
            throw new IommufdException(Errno.EINVAL, "a group's device is bound by its container");
        }
        if (device.isGroupOpen()) {
            throw new IommufdException(Errno.EBUSY, "the device's group is open");
        }
        if (isGranted) {
            throw new IommufdException(Errno.EINVAL, "the device is bound already");
        }
        IommufdContext context = context(caller, descriptor);
        if (device.hasSession()) {
            throw new IommufdException(Errno.EINVAL, "another descriptor has bound the device");
        }
        int id = device.use(context, machine).id();
        fields.set(JAVA_INT, VfioDevice.BIND_OUT_DEVID, id);
        try {
            answer(caller, argument, VfioDevice.BIND_SIZE);
            isGranted = true;
        } finally {
            if (!isGranted) {
                device.unuse();
            }
        }
        device.show(caller, this);
    }

    /** The iommufd context behind a caller's descriptor. */
    private static IommufdContext context(Caller caller, int descriptor) throws IommufdException {
        if (caller.served(descriptor) instanceof IommufdContext context) {
            return context;
        }
        throw notOurs(caller, descriptor);
    }

    /** Why a descriptor is not what is wanted. */
    static IommufdException notOurs(Caller caller, int descriptor) {
        if (caller.served(descriptor) != null) {
            return new IommufdException(
                    Errno.EBADFD, "descriptor %d is another file of ours".formatted(descriptor));
        }
        if (caller instanceof CallerDescriptors process) {
            try (Fd found = process.descriptor(descriptor)) {
                if (found != null) {
                    return new IommufdException(
                            Errno.EBADFD,
                            "descriptor %d is no /dev/iommu and no container"
                                    .formatted(descriptor));
                }
            }
        }
        return new IommufdException(Errno.EBADF, "descriptor %d is not open".formatted(descriptor));
    }

    private void attach(Caller caller, long argument) throws IommufdException {
        int pasid =
                target(
                        caller,
                        argument,
                        VfioDevice.ATTACH_MIN,
                        VfioDevice.ATTACH_SIZE,
                        VfioDevice.ATTACH_PASID);
        int table = device.attach(fields.get(JAVA_INT, VfioDevice.ATTACH_PT_ID), pasid);
        fields.set(JAVA_INT, VfioDevice.ATTACH_PT_ID, table);
        boolean isTold = false;
        try {
            answer(caller, argument, VfioDevice.ATTACH_MIN);
            isTold = true;
        } finally {
            if (!isTold) {
                device.detach(pasid);
            }
        }
    }

    private void detach(Caller caller, long argument) throws IommufdException {
        device.detach(
                target(
                        caller,
                        argument,
                        VfioDevice.DETACH_MIN,
                        VfioDevice.DETACH_SIZE,
                        VfioDevice.DETACH_PASID));
    }

    /** Reads a structure that may name a PASID behind what it always has. */
    private int target(Caller caller, long argument, int minimum, int whole, int pasidAt)
            throws IommufdException {
        if (group != null) {
            throw new IommufdException(Errno.ENOTTY, "a group's device goes with its container");
        }
        read(caller, argument, minimum);
        int flags = fields.get(JAVA_INT, VfioDevice.PT_FLAGS);
        if ((flags & ~VfioDevice.PT_FLAG_PASID) != 0) {
            throw new IommufdException(Errno.EINVAL, "a flag is unknown");
        }
        if ((flags & VfioDevice.PT_FLAG_PASID) == 0) {
            return NO_PASID;
        }
        read(caller, argument, whole);
        int pasid = fields.get(JAVA_INT, pasidAt);
        if (pasid == NO_PASID) {
            throw new IommufdException(Errno.EINVAL, "PASID 0 is what goes without one");
        }
        return pasid;
    }

    // What it is: drivers/vfio/pci/vfio_pci_core.c.

    private void info(Caller caller, long argument) throws IommufdException {
        read(caller, argument, VfioDevice.INFO_MIN);
        long room = Math.min(size(), VfioDevice.INFO_SIZE);
        fields.set(
                JAVA_INT,
                VfioDevice.INFO_FLAGS,
                VfioUser.VFIO_DEVICE_FLAGS_PCI | VfioUser.VFIO_DEVICE_FLAGS_RESET);
        fields.set(JAVA_INT, VfioDevice.INFO_NUM_REGIONS, VfioUser.VFIO_PCI_NUM_REGIONS);
        fields.set(JAVA_INT, VfioDevice.INFO_NUM_IRQS, VfioUser.VFIO_PCI_NUM_IRQS);
        answer(caller, argument, room);
    }

    private void regionInfo(Caller caller, long argument) throws IommufdException {
        read(caller, argument, VfioUser.REGION_INFO_SIZE);
        int index = fields.get(JAVA_INT, VfioUser.REGION_INFO_INDEX);
        if (index < 0 || index >= VfioDevice.PCI_VGA_REGION_INDEX) {
            throw new IommufdException(Errno.EINVAL, "there is no region " + index);
        }
        long bytes = device.regions().size(index);
        fields.set(
                JAVA_INT,
                VfioUser.REGION_INFO_FLAGS,
                bytes == 0
                        ? 0
                        : VfioUser.VFIO_REGION_INFO_FLAG_READ
                                | VfioUser.VFIO_REGION_INFO_FLAG_WRITE
                                | (device.isShown(this, index)
                                        ? VfioUser.VFIO_REGION_INFO_FLAG_MMAP
                                        : 0));
        fields.set(JAVA_INT, VfioUser.REGION_INFO_CAP_OFFSET, 0);
        fields.set(JAVA_LONG, VfioUser.REGION_INFO_BYTES, bytes);
        fields.set(JAVA_LONG, VfioUser.REGION_INFO_OFFSET, FunctionRegions.offset(index));
        answer(caller, argument, VfioUser.REGION_INFO_SIZE);
    }

    private void irqInfo(Caller caller, long argument) throws IommufdException {
        read(caller, argument, VfioUser.IRQ_INFO_SIZE);
        int index = fields.get(JAVA_INT, VfioUser.IRQ_INFO_INDEX);
        if (index < 0
                || index >= VfioUser.VFIO_PCI_NUM_IRQS
                || index == VfioDevice.PCI_ERR_IRQ_INDEX) {
            throw new IommufdException(Errno.EINVAL, "there are no interrupts " + index);
        }
        // MSI-X vectors are set up and taken away one by one; there are none of the others.
        boolean isMsix = index == VfioUser.VFIO_PCI_MSIX_IRQ_INDEX;
        fields.set(
                JAVA_INT,
                VfioUser.IRQ_INFO_FLAGS,
                VfioUser.VFIO_IRQ_INFO_EVENTFD | (isMsix ? 0 : VfioDevice.IRQ_NORESIZE));
        fields.set(JAVA_INT, VfioUser.IRQ_INFO_COUNT, device.interrupts().count(index));
        answer(caller, argument, VfioUser.IRQ_INFO_SIZE);
    }

    private void feature(Caller caller, long argument) throws IommufdException {
        read(caller, argument, VfioDevice.FEATURE_SIZE);
        int flags = fields.get(JAVA_INT, VfioDevice.FEATURE_FLAGS);
        int both = VfioDevice.FEATURE_GET | VfioDevice.FEATURE_SET;
        int known = VfioDevice.FEATURE_MASK | both | VfioDevice.FEATURE_PROBE;
        if ((flags & ~known) != 0) {
            throw new IommufdException(Errno.EINVAL, "a flag is unknown");
        }
        if ((flags & both) == both && (flags & VfioDevice.FEATURE_PROBE) == 0) {
            throw new IommufdException(Errno.EINVAL, "a feature is got or set, and not both");
        }
        throw new IommufdException(
                Errno.ENOTTY, "the device has no feature " + (flags & VfioDevice.FEATURE_MASK));
    }

    // Its regions.

    @Override
    public long readAt(Caller caller, long address, long length, long offset) {
        return transfer(caller, false, address, length, offset);
    }

    @Override
    public long writeAt(Caller caller, long address, long length, long offset) {
        return transfer(caller, true, address, length, offset);
    }

    private long transfer(Caller caller, boolean isWrite, long address, long length, long offset) {
        if (!isGranted) {
            return -Errno.EINVAL.number();
        }
        try {
            return device.regions().transfer(caller, isWrite, address, length, offset);
        } catch (InternalError e) {
            return memoryGone(caller, e);
        }
    }

    /** Whole pages of a BAR that is shown here, shared (vfio_pci_core_mmap). */
    @Override
    public long map(long offset, long length, int protection, int flags) {
        int region = (int) (offset >>> VfioDevice.REGION_SHIFT);
        long begin = offset & (FunctionRegions.offset(1) - 1);
        long size =
                region < Pci.BAR_COUNT && device.isShown(this, region)
                        ? device.regions().size(region)
                        : 0;
        boolean isInside =
                begin < size && length != 0 && Long.compareUnsigned(length, size - begin) <= 0;
        return isInside && (flags & MAP_SHARED) != 0 ? 0 : -Errno.EINVAL.number();
    }

    // What KVM sees.

    @Override
    public void hold() {
        holders++;
    }

    @Override
    public void drop() {
        holders--;
        closeIfUnused();
    }

    @Override
    public boolean enforcesCoherency() {
        return device.enforcesCoherency();
    }

    @Override
    public void machine(@Nullable KvmVm whose) {
        machine = whose;
    }

    @Override
    public void release() {
        isReleased = true;
        // Its mappings are gone with it, whoever else has the device.
        device.hide(this);
        closeIfUnused();
    }

    private void closeIfUnused() {
        if (!isReleased || holders > 0 || isOver) {
            return;
        }
        isOver = true;
        if (isGranted) {
            isGranted = false;
            device.unuse();
        }
        if (group != null) {
            group.deviceClosed();
        }
    }
}
