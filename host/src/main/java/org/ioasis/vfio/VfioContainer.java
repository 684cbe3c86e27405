// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.ioasis.spec.VfioType1.API_VERSION;
import static org.ioasis.spec.VfioType1.CHECK_EXTENSION;
import static org.ioasis.spec.VfioType1.GET_API_VERSION;
import static org.ioasis.spec.VfioType1.SET_IOMMU;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/**
 * An open {@code /dev/vfio/vfio}: groups, and the driver of the IOMMU that is wanted for them. It
 * has rights only through its groups: without one there is no driver, and with the last one it
 * goes. Any thread; its lock comes before its driver's.
 */
public final class VfioContainer implements OpenFile {
    /** No IOMMU and no extension has it. */
    private static final int NO_NUMBER = -1;

    private final List<ContainerDriver.Kind> kinds;
    private final Set<VfioGroup> groups = new LinkedHashSet<>();
    private @Nullable ContainerDriver driver;

    /**
     * @param kinds drivers that it can be given, the first that knows a number first
     */
    public VfioContainer(List<ContainerDriver.Kind> kinds) {
        this.kinds = List.copyOf(kinds);
    }

    /** What SET_IOMMU has made, if it was called. */
    public synchronized @Nullable ContainerDriver driver() {
        return driver;
    }

    /** Groups that it has. */
    public synchronized int groups() {
        return groups.size();
    }

    synchronized void add(VfioGroup group) throws IommufdException {
        if (driver != null) {
            driver.attach(group);
        }
        groups.add(group);
    }

    synchronized void remove(VfioGroup group) {
        groups.remove(group);
        if (driver != null) {
            driver.detach(group);
            if (groups.isEmpty()) {
                driver.close();
                driver = null;
            }
        }
    }

    /** As CHECK_EXTENSION: 0 or more, as the extension says. */
    public synchronized long extension(int number) {
        if (driver != null) {
            return driver.extension(number);
        }
        for (ContainerDriver.Kind kind : kinds) {
            long answer = kind.extension(number);
            if (answer != 0) {
                return answer;
            }
        }
        return 0;
    }

    /**
     * As SET_IOMMU: its groups are attached to a new driver, or all is as before.
     *
     * @throws IommufdException EINVAL: no group, or a driver is there; ENODEV: no driver of this
     *     number; or what the driver says of a group
     */
    public synchronized void setIommu(int number) throws IommufdException {
        if (groups.isEmpty() || driver != null) {
            throw new IommufdException(
                    Errno.EINVAL, "an IOMMU is set once, for the groups that are there");
        }
        for (ContainerDriver.Kind kind : kinds) {
            if (kind.is(number)) {
                driver = attachAll(kind.open(number));
                return;
            }
        }
        throw new IommufdException(Errno.ENODEV, "no IOMMU of type " + number);
    }

    private ContainerDriver attachAll(ContainerDriver fresh) throws IommufdException {
        List<VfioGroup> done = new ArrayList<>();
        try {
            for (VfioGroup group : groups) {
                fresh.attach(group);
                done.add(group);
            }
            return fresh;
        } catch (IommufdException e) {
            done.forEach(fresh::detach);
            fresh.close();
            throw e;
        }
    }

    @Override
    public Form form() {
        return Form.DEVICE;
    }

    @Override
    public String name() {
        return "/dev/vfio/vfio";
    }

    @Override
    public synchronized long ioctl(Caller caller, int command, long argument) {
        try {
            return switch (command) {
                case GET_API_VERSION -> API_VERSION;
                case CHECK_EXTENSION -> extension(number(argument));
                case SET_IOMMU -> {
                    caller.failures().allocate();
                    setIommu(number(argument));
                    yield 0;
                }
                default -> forward(caller, command, argument);
            };
        } catch (IommufdException e) {
            caller.refuses(e.rule());
            return -e.errno().number();
        }
    }

    /** The argument of a call as a number of an IOMMU or extension: what is wider is none. */
    private static int number(long argument) {
        return argument == (int) argument ? (int) argument : NO_NUMBER;
    }

    private long forward(Caller caller, int command, long argument) throws IommufdException {
        ContainerDriver to = driver;
        if (to == null) {
            throw new IommufdException(Errno.EINVAL, "the container has no IOMMU yet");
        }
        return to.calling(caller, () -> to.ioctl(caller, command, argument));
    }

    /** Its groups have kept it open: they are gone. */
    @Override
    public synchronized void release() {
        if (!groups.isEmpty()) {
            throw new IllegalStateException(groups.size() + " groups keep the container");
        }
    }
}
