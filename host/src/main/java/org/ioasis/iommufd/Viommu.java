// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.VIOMMU_TYPE_DEFAULT;

import java.lang.foreign.MemorySegment;
import org.ioasis.host.LongMap;
import org.jspecify.annotations.Nullable;

/**
 * The slice of an IOMMU that one virtual machine has: how its guest calls devices, its queues of
 * events and of commands. Under its context's lock.
 */
public final class Viommu extends IommufdObject {
    private final PagingHwpt parent;
    private final Object iommu;
    private final LongMap<Vdevice> devices = new LongMap<>();
    private final LongMap<Veventq> eventQueues = new LongMap<>();
    private @Nullable ViommuDriver driver;

    private Viommu(PagingHwpt parent, Device device) {
        super(parent.context());
        this.parent = parent;
        this.iommu = device.hardware().iommu();
        parent.addUser();
    }

    /** Makes one, reserved. */
    static Viommu reserve(Device device, PagingHwpt parent, int type, @Nullable UserData data)
            throws IommufdException {
        checkType(type);
        checkType(device, type);
        if (!parent.isNestParent()) {
            throw new IommufdException(
                    Errno.EINVAL, "the page table was not made to be a nesting parent");
        }
        IommufdContext context = device.context();
        context.allocate();
        Viommu viommu = new Viommu(parent, device);
        context.reserve(viommu);
        boolean isBuilt = false;
        try {
            viommu.driver = device.hardware().viommu(viommu, type, parent.domain(), data);
            if (viommu.driver == null) {
                throw new IommufdException(
                        Errno.EOPNOTSUPP, "the device's IOMMU has no vIOMMU of type " + type);
            }
            isBuilt = true;
            return viommu;
        } finally {
            if (!isBuilt) {
                context.abort(viommu);
            }
        }
    }

    /** Makes a table of the guest, as {@link PagingHwpt#allocateNested}. */
    public NestedHwpt allocateNested(
            Device device, int flags, UserData data, @Nullable FaultQueue faults)
            throws IommufdException {
        synchronized (context()) {
            return NestedHwpt.finished(NestedHwpt.reserve(this, device, flags, data), faults);
        }
    }

    /** Says what the guest calls a device. */
    public Vdevice allocateDevice(Device device, long virtualId) throws IommufdException {
        synchronized (context()) {
            return context().finished(Vdevice.reserve(this, device, virtualId));
        }
    }

    /** Makes a queue for events of a type; {@link Veventq#take} has them. */
    public Veventq allocateEvents(int type, int depth) throws IommufdException {
        synchronized (context()) {
            return context().finished(Veventq.reserve(this, type, depth));
        }
    }

    /** Makes a queue of commands in memory of the guest, at addresses of its second stage. */
    public HwQueue allocateQueue(int queueType, int index, long iova, long length)
            throws IommufdException {
        synchronized (context()) {
            return context().finished(HwQueue.reserve(this, queueType, index, iova, length));
        }
    }

    /** Has entries carried out, as {@link NestedHwpt#invalidate}. */
    public long invalidate(
            int entryType, MemorySegment entries, long offset, int entryLength, int count) {
        synchronized (context()) {
            return driver().invalidate(entryType, entries, offset, entryLength, count);
        }
    }

    /**
     * Carries out what the guest has put into queues of its own. Nobody calls when there is
     * something: whoever serves the machine comes by.
     *
     * @return how many commands it were
     */
    public int poll() {
        synchronized (context()) {
            return driver().poll();
        }
    }

    /** Registers of such queues, which the guest writes; null: there are none. */
    public @Nullable MemorySegment window() {
        return driver().window();
    }

    /** Refuses what is no type. */
    static void checkType(int type) throws IommufdException {
        if (type == VIOMMU_TYPE_DEFAULT) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a vIOMMU has a type");
        }
    }

    /** Refuses a type that the device's IOMMU does not have. */
    static void checkType(Device device, int type) throws IommufdException {
        if (!device.hardware().hasViommu(type)) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP,
                    "the device's IOMMU has no vIOMMU of type 0x%x".formatted(type));
        }
    }

    PagingHwpt parent() {
        return parent;
    }

    Object iommu() {
        return iommu;
    }

    public ViommuDriver driver() {
        if (driver == null) {
            throw new IllegalStateException("a vIOMMU without its driver is used");
        }
        return driver;
    }

    /** The device that the guest calls so; null: none. */
    public @Nullable Vdevice device(long virtualId) {
        return devices.get(virtualId);
    }

    void add(Vdevice device) throws IommufdException {
        if (devices.get(device.virtualId()) != null) {
            throw new IommufdException(
                    Errno.EEXIST,
                    "the guest calls another device 0x%x".formatted(device.virtualId()));
        }
        devices.put(device.virtualId(), device);
    }

    void remove(Vdevice device) {
        if (devices.get(device.virtualId()) == device) {
            devices.remove(device.virtualId());
        }
    }

    /** The queue for events of a type; null: there is none. */
    public @Nullable Veventq events(int type) {
        return eventQueues.get(Integer.toUnsignedLong(type));
    }

    void add(Veventq queue) {
        eventQueues.put(Integer.toUnsignedLong(queue.type()), queue);
    }

    void remove(Veventq queue) {
        if (events(queue.type()) == queue) {
            eventQueues.remove(Integer.toUnsignedLong(queue.type()));
        }
    }

    /** The file that {@link #openWindow} speaks of. */
    public OpenFile file() {
        return context();
    }

    /**
     * Lets the program map memory of the driver.
     *
     * @param length a multiple of a page
     * @return the offset that it maps it at
     */
    public long openWindow(long length) throws IommufdException {
        return context().addWindow(this, length);
    }

    /** Takes back {@link #openWindow}. */
    public void closeWindow(long offset) {
        context().removeWindow(offset);
    }

    @Override
    void destroy() {
        if (driver != null) {
            driver.free();
        }
        parent.removeUser();
    }
}
