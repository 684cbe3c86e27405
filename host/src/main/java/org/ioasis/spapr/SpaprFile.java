// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.VfioSpapr.*;
import static org.ioasis.spec.VfioType1.API_VERSION;
import static org.ioasis.spec.VfioType1.CHECK_EXTENSION;
import static org.ioasis.spec.VfioType1.GET_API_VERSION;
import static org.ioasis.spec.VfioType1.IOMMU_MAP_DMA;
import static org.ioasis.spec.VfioType1.IOMMU_UNMAP_DMA;
import static org.ioasis.spec.VfioType1.MAP_FLAG_READ;
import static org.ioasis.spec.VfioType1.MAP_FLAG_WRITE;
import static org.ioasis.spec.VfioType1.MAP_IOVA;
import static org.ioasis.spec.VfioType1.MAP_LENGTH;
import static org.ioasis.spec.VfioType1.MAP_SIZE;
import static org.ioasis.spec.VfioType1.MAP_VADDR;
import static org.ioasis.spec.VfioType1.SET_IOMMU;
import static org.ioasis.spec.VfioType1.UNMAP_IOVA;
import static org.ioasis.spec.VfioType1.UNMAP_LENGTH;
import static org.ioasis.spec.VfioType1.UNMAP_SIZE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/**
 * An open {@code /dev/vfio/vfio} of a host with POWER's IOMMUs: the bytes of ioctls, and which kind
 * of container it has become. No rule of a container stands here. Any thread: each call holds its
 * lock.
 */
public final class SpaprFile implements OpenFile {
    private final SpaprHost host;
    private final List<SpaprGroup> groups = new ArrayList<>();
    private final MemorySegment fields = Arena.ofAuto().allocate(CREATE_LENGTH, 8);
    private @Nullable SpaprContainer container;

    SpaprFile(SpaprHost host) {
        this.host = host;
    }

    @Override
    public Form form() {
        return Form.DEVICE;
    }

    @Override
    public String name() {
        return "/dev/vfio/vfio";
    }

    /** What it has become; null: nothing yet. */
    public synchronized @Nullable SpaprContainer container() {
        return container;
    }

    /**
     * Puts a group in. (VFIO_GROUP_SET_CONTAINER of the group)
     *
     * @throws IommufdException as {@link SpaprContainer#attach}
     */
    public synchronized void add(SpaprGroup group, FailureInjector failures)
            throws IommufdException {
        if (container != null) {
            container.attach(group, failures);
        }
        groups.add(group);
    }

    /** Takes a group out; with the last one it is no container of any kind any more. */
    public synchronized void remove(SpaprGroup group) {
        groups.remove(group);
        SpaprContainer present = container;
        if (present != null) {
            present.detach(group);
            if (groups.isEmpty()) {
                present.close();
                container = null;
            }
        }
    }

    @Override
    public synchronized long ioctl(Caller caller, int command, long argument) {
        try {
            return run(caller, command, argument);
        } catch (IommufdException e) {
            caller.refuses(e.rule());
            return -e.errno().number();
        }
    }

    private long run(Caller caller, int command, long argument) throws IommufdException {
        return switch (command) {
            case GET_API_VERSION -> API_VERSION;
            case CHECK_EXTENSION -> argument == TCE_IOMMU || argument == TCE_V2_IOMMU ? 1 : 0;
            case SET_IOMMU -> setIommu(argument, caller.failures());
            default -> ofItsKind(caller, command, argument);
        };
    }

    private long ofItsKind(Caller caller, int command, long argument) throws IommufdException {
        SpaprContainer present = container;
        if (present == null) {
            throw new IommufdException(Errno.EINVAL, "the container is of no kind yet");
        }
        Task task = Task.of(caller);
        synchronized (present) {
            present.check(task);
            return run(present, caller, task, command, argument);
        }
    }

    private long run(SpaprContainer present, Caller caller, Task task, int command, long argument)
            throws IommufdException {
        switch (command) {
            case TCE_GET_INFO -> info(present, caller, task, argument);
            case IOMMU_MAP_DMA -> map(present, caller, task, argument);
            case IOMMU_UNMAP_DMA -> {
                requireEnabled(present);
                read(caller, argument, UNMAP_LENGTH, 0);
                present.unmap(
                        task, fields.get(JAVA_LONG, UNMAP_IOVA), fields.get(JAVA_LONG, UNMAP_SIZE));
            }
            default -> {
                switch (present) {
                    case SpaprV1 first -> runFirst(first, task, command);
                    case SpaprV2 second -> runSecond(second, caller, task, command, argument);
                }
            }
        }
        return 0;
    }

    private static void runFirst(SpaprV1 present, Task task, int command) throws IommufdException {
        switch (command) {
            case ENABLE -> present.enable(task);
            case DISABLE -> present.disable(task);
            default -> throw unknown(command);
        }
    }

    private void runSecond(SpaprV2 present, Caller caller, Task task, int command, long argument)
            throws IommufdException {
        switch (command) {
            case REGISTER_MEMORY -> {
                present.own(task);
                read(caller, argument, MEMORY_LENGTH, 0);
                present.register(
                        task,
                        fields.get(JAVA_LONG, MEMORY_VADDR),
                        fields.get(JAVA_LONG, MEMORY_SIZE));
            }
            case UNREGISTER_MEMORY -> {
                read(caller, argument, MEMORY_LENGTH, 0);
                present.unregister(
                        task,
                        fields.get(JAVA_LONG, MEMORY_VADDR),
                        fields.get(JAVA_LONG, MEMORY_SIZE));
            }
            case TCE_CREATE -> create(present, caller, task, argument);
            case TCE_REMOVE -> {
                present.own(task);
                present.firstGroup(Errno.ENXIO);
                read(caller, argument, REMOVE_LENGTH, 0);
                present.removeWindow(task, fields.get(JAVA_LONG, REMOVE_START_ADDR));
            }
            default -> throw unknown(command);
        }
    }

    private static IommufdException unknown(int command) {
        return new IommufdException(
                Errno.ENOTTY, "command 0x%x is none of this container".formatted(command));
    }

    private static void requireEnabled(SpaprContainer present) throws IommufdException {
        if (!present.isEnabled()) {
            throw new IommufdException(Errno.EPERM, "the container is not enabled");
        }
    }

    private long setIommu(long type, FailureInjector failures) throws IommufdException {
        if (groups.isEmpty() || container != null) {
            throw new IommufdException(
                    Errno.EINVAL, "the container has no group, or is of a kind already");
        }
        if (type != TCE_IOMMU && type != TCE_V2_IOMMU) {
            throw new IommufdException(Errno.ENODEV, "no IOMMU of this kind is here");
        }
        failures.allocate();
        SpaprContainer fresh = type == TCE_IOMMU ? new SpaprV1(host) : new SpaprV2(host);
        try {
            for (SpaprGroup group : groups) {
                fresh.attach(group, failures);
            }
        } catch (IommufdException e) {
            fresh.close();
            throw e;
        }
        container = fresh;
        return 0;
    }

    /** Reads a structure, once: what it says of its length and its flags is right. */
    private void read(Caller caller, long address, int length, int flags) throws IommufdException {
        if (caller.read(address, fields, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        if (Integer.compareUnsigned(fields.get(JAVA_INT, ARGSZ), length) < 0
                || (fields.get(JAVA_INT, FLAGS) & ~flags) != 0) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small or a flag unknown");
        }
    }

    private void answer(Caller caller, long address, long length) throws IommufdException {
        if (caller.write(address, fields, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
    }

    private void info(SpaprContainer present, Caller caller, Task task, long argument)
            throws IommufdException {
        SpaprContainer.WindowInfo info = present.info(task);
        // Flags are an answer here: what the caller has there is not looked at.
        read(caller, argument, INFO_MIN, -1);
        int room = fields.get(JAVA_INT, ARGSZ);
        fields.set(JAVA_INT, FLAGS, info.windowsMax() > 0 ? INFO_DDW : 0);
        fields.set(JAVA_INT, INFO_DMA32_START, info.defaultStart());
        fields.set(JAVA_INT, INFO_DMA32_SIZE, info.defaultSize());
        fields.set(JAVA_LONG, INFO_DDW_PGSIZES, info.pageSizes());
        fields.set(JAVA_INT, INFO_DDW_MAX_WINDOWS, info.windowsMax());
        fields.set(JAVA_INT, INFO_DDW_LEVELS, info.levels());
        answer(
                caller,
                argument,
                Integer.compareUnsigned(room, INFO_SIZE) >= 0 ? INFO_SIZE : INFO_MIN);
    }

    private void map(SpaprContainer present, Caller caller, Task task, long argument)
            throws IommufdException {
        requireEnabled(present);
        read(caller, argument, MAP_LENGTH, MAP_FLAG_READ | MAP_FLAG_WRITE);
        int flags = fields.get(JAVA_INT, FLAGS);
        present.map(
                task,
                fields.get(JAVA_LONG, MAP_IOVA),
                fields.get(JAVA_LONG, MAP_VADDR),
                fields.get(JAVA_LONG, MAP_SIZE),
                (flags & MAP_FLAG_READ) != 0,
                (flags & MAP_FLAG_WRITE) != 0);
    }

    private void create(SpaprV2 present, Caller caller, Task task, long argument)
            throws IommufdException {
        present.own(task);
        present.firstGroup(Errno.ENXIO);
        read(caller, argument, CREATE_LENGTH, 0);
        long start =
                present.createWindow(
                        task,
                        fields.get(JAVA_INT, CREATE_PAGE_SHIFT),
                        fields.get(JAVA_LONG, CREATE_WINDOW_SIZE),
                        fields.get(JAVA_INT, CREATE_LEVELS));
        fields.set(JAVA_LONG, CREATE_START_ADDR, start);
        try {
            answer(caller, argument, CREATE_LENGTH);
        } catch (IommufdException e) {
            // Nobody knows of the window.
            present.removeWindow(task, start);
            throw e;
        }
    }

    @Override
    public synchronized void release() {
        SpaprContainer present = container;
        if (present != null) {
            present.close();
            container = null;
        }
        groups.clear();
    }
}
