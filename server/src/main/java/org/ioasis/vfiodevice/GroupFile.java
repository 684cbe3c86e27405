// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.ioasis.iommufd.HwDevice.NO_PASID;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.spec.VfioDevice;
import org.jspecify.annotations.Nullable;

/**
 * An open VFIO group of one device: joins a container and gives the device out, which is bound and
 * attached to the container's address space then. Open until its own descriptors and those that it
 * gave out are closed (drivers/vfio/group.c). Loop thread.
 */
final class GroupFile implements OpenFile {
    /** Longest name of a device that is looked at. */
    private static final int NAME_MAX = 64;

    private final AssignedDevice device;
    private final MemorySegment scratch = Arena.ofAuto().allocate(NAME_MAX, Long.BYTES);
    private @Nullable IommufdContext container;
    private int devicesOut;
    private boolean isReleased;
    private boolean isOver;

    GroupFile(AssignedDevice device) {
        this.device = device;
    }

    @Override
    public Form form() {
        return Form.DEVICE;
    }

    @Override
    public String name() {
        return device.groupPath().toString();
    }

    @Override
    public long ioctl(Caller caller, int command, long argument) {
        try {
            return switch (command) {
                case VfioDevice.GROUP_GET_STATUS -> status(caller, argument);
                case VfioDevice.GROUP_SET_CONTAINER -> join(caller, argument);
                case VfioDevice.GROUP_UNSET_CONTAINER -> leave();
                case VfioDevice.GROUP_GET_DEVICE_FD -> give(caller, argument);
                default ->
                        throw new IommufdException(
                                Errno.ENOTTY, "command 0x%x is none of a group".formatted(command));
            };
        } catch (IommufdException e) {
            caller.refuses(e.rule());
            return -e.errno().number();
        }
    }

    private int status(Caller caller, long argument) throws IommufdException {
        if (caller.read(argument, scratch, 0, VfioDevice.STATUS_SIZE) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        if (Integer.compareUnsigned(scratch.get(JAVA_INT, 0), VfioDevice.STATUS_SIZE) < 0) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small");
        }
        scratch.set(
                JAVA_INT,
                VfioDevice.STATUS_FLAGS,
                VfioDevice.GROUP_VIABLE | (container == null ? 0 : VfioDevice.GROUP_CONTAINER_SET));
        if (caller.write(argument, scratch, 0, VfioDevice.STATUS_SIZE) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
        return 0;
    }

    private int join(Caller caller, long argument) throws IommufdException {
        if (caller.read(argument, scratch, 0, Integer.BYTES) != 0) {
            throw new IommufdException(Errno.EFAULT, "the descriptor cannot be read");
        }
        int descriptor = scratch.get(JAVA_INT, 0);
        if (descriptor < 0) {
            throw new IommufdException(Errno.EINVAL, "the descriptor is negative");
        }
        IommufdContext context = DeviceFile.context(caller, descriptor);
        if (container != null) {
            throw new IommufdException(Errno.EINVAL, "the group is in a container already");
        }
        int _ = context.containerSpace().id();
        container = context;
        return 0;
    }

    private int leave() throws IommufdException {
        if (container == null) {
            throw new IommufdException(Errno.EINVAL, "the group is in no container");
        }
        if (devicesOut > 0) {
            throw new IommufdException(Errno.EBUSY, "the group's device is in use");
        }
        container = null;
        return 0;
    }

    private int give(Caller caller, long argument) throws IommufdException {
        IommufdContext context = container;
        if (!device.address().equals(nameAt(caller, argument))) {
            throw new IommufdException(Errno.ENODEV, "the group has no device of that name");
        }
        if (context == null) {
            throw new IommufdException(Errno.EINVAL, "the group is in no container");
        }
        boolean isFirst = !device.hasSession();
        device.use(context);
        boolean isAttached = false;
        try {
            if (isFirst) {
                int _ = device.attach(context.containerSpace().id(), NO_PASID);
            }
            isAttached = true;
        } finally {
            if (!isAttached) {
                device.unuse();
            }
        }
        devicesOut++;
        // A file that cannot be handed out is released, and so gives back what it has.
        return caller.install(new DeviceFile(device, this), true);
    }

    private String nameAt(Caller caller, long address) throws IommufdException {
        for (int length = 0; length < NAME_MAX; length++) {
            if (caller.read(address + length, scratch, length, 1) != 0) {
                throw new IommufdException(Errno.EFAULT, "the name cannot be read");
            }
            if (scratch.get(JAVA_BYTE, length) == 0) {
                return new String(scratch.asSlice(0, length).toArray(JAVA_BYTE), ISO_8859_1);
            }
        }
        throw new IommufdException(Errno.ENODEV, "the group has no device with so long a name");
    }

    void deviceClosed() {
        devicesOut--;
        closeIfUnused();
    }

    @Override
    public void release() {
        isReleased = true;
        closeIfUnused();
    }

    private void closeIfUnused() {
        if (isReleased && devicesOut == 0 && !isOver) {
            isOver = true;
            container = null;
            device.groupClosed();
        }
    }
}
