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
import org.ioasis.kvm.KvmVm;
import org.ioasis.kvm.VfioFile;
import org.ioasis.spec.VfioType1;
import org.jspecify.annotations.Nullable;

/**
 * An open VFIO group of one device: joins a container and gives the device out, which is bound and
 * attached to the container's address space then. Open until its own descriptors and those that it
 * gave out are closed, and KVM has let it go (drivers/vfio/group.c). Loop thread.
 */
final class GroupFile implements OpenFile, VfioFile {
    /** What the status of a group says that an iommufd context has. */
    private static final int IN_SPACE =
            VfioType1.GROUP_FLAGS_VIABLE | VfioType1.GROUP_FLAGS_CONTAINER_SET;

    /** Longest name of a device that is looked at. */
    private static final int NAME_MAX = 64;

    private final AssignedDevice device;
    private final MemorySegment scratch = Arena.ofAuto().allocate(NAME_MAX, Long.BYTES);
    private @Nullable ContainerFile container;

    /** The iommufd context that does a container's work, in the place of one. */
    private @Nullable IommufdContext space;

    /** Whose devices they are that it gives out. */
    private @Nullable KvmVm machine;

    private int devicesOut;
    private int holders;
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
                case VfioType1.GROUP_GET_STATUS -> status(caller, argument);
                case VfioType1.GROUP_SET_CONTAINER -> join(caller, argument);
                case VfioType1.GROUP_UNSET_CONTAINER -> leave();
                case VfioType1.GROUP_GET_DEVICE_FD -> give(caller, argument);
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
        if (caller.read(argument, scratch, 0, VfioType1.GROUP_STATUS_SIZE) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        if (Integer.compareUnsigned(scratch.get(JAVA_INT, 0), VfioType1.GROUP_STATUS_SIZE) < 0) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small");
        }
        scratch.set(
                JAVA_INT,
                VfioType1.GROUP_STATUS_FLAGS,
                isInSpace() ? IN_SPACE : device.group().status());
        if (caller.write(argument, scratch, 0, VfioType1.GROUP_STATUS_SIZE) != 0) {
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
        if (isIn()) {
            throw new IommufdException(Errno.EINVAL, "the group is in a container already");
        }
        switch (caller.served(descriptor)) {
            case ContainerFile file -> {
                device.group().setContainer(file.container());
                container = file;
            }
            case IommufdContext context -> {
                int _ = context.containerSpace().id();
                context.joined();
                space = context;
            }
            case null, default -> throw DeviceFile.notOurs(caller, descriptor);
        }
        return 0;
    }

    private boolean isIn() {
        return container != null || isInSpace();
    }

    private boolean isInSpace() {
        return space != null;
    }

    private int leave() throws IommufdException {
        if (!isIn()) {
            throw new IommufdException(Errno.EINVAL, "the group is in no container");
        }
        if (devicesOut > 0) {
            throw new IommufdException(Errno.EBUSY, "the group's device is in use");
        }
        leaveAnyhow();
        return 0;
    }

    private void leaveAnyhow() {
        IommufdContext context = space;
        if (context != null) {
            space = null;
            context.left();
        }
        ContainerFile from = container;
        if (from != null) {
            container = null;
            try {
                device.group().unsetContainer();
            } catch (IommufdException e) {
                throw new IllegalStateException("a group without open devices", e);
            }
            from.groupLeft();
        }
    }

    private int give(Caller caller, long argument) throws IommufdException {
        if (!device.address().equals(nameAt(caller, argument))) {
            throw new IommufdException(Errno.ENODEV, "the group has no device of that name");
        }
        if (!isIn()) {
            throw new IommufdException(Errno.EINVAL, "the group is in no container");
        }
        IommufdContext context = space;
        if (context == null) {
            var _ = device.group().opened();
            device.use(machine);
        } else {
            use(context);
        }
        devicesOut++;
        // A file that cannot be handed out is released, and so gives back what it has.
        DeviceFile file = new DeviceFile(device, this);
        int number = caller.install(file, true);
        if (number >= 0) {
            device.show(caller, file);
        }
        return number;
    }

    private void use(IommufdContext context) throws IommufdException {
        boolean isFirst = !device.hasSession();
        device.use(context, machine);
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
        if (!isInSpace()) {
            device.group().closed();
        }
        closeIfUnused();
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
        closeIfUnused();
    }

    private void closeIfUnused() {
        if (isReleased && devicesOut == 0 && holders == 0 && !isOver) {
            isOver = true;
            leaveAnyhow();
            device.groupClosed();
        }
    }
}
