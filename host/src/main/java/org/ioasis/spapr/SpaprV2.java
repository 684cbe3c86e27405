// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;

/**
 * The second kind: several groups that share windows, made and removed at will, to memory that was
 * registered before. Any thread.
 */
public final class SpaprV2 extends SpaprContainer {
    private static final int PAGE_LG2 = 12;

    /** What this container has registered: a registration of each. */
    private final List<MemoryRegion> regions = new ArrayList<>();

    /** Without groups. */
    public SpaprV2(SpaprHost host) {
        super(host);
    }

    @Override
    void checkGroup(SpaprGroup group) throws IommufdException {
        if (group.windowsMax() == 0) {
            throw new IommufdException(Errno.EINVAL, "windows of the group do not change");
        }
    }

    @Override
    Backing backing(RegisteredMemory memory, long entries) {
        return new RegisteredBacking(memory, entries, host().node().tables());
    }

    /**
     * Registers memory: its pages are held and charged. (VFIO_IOMMU_SPAPR_REGISTER_MEMORY)
     *
     * @throws IommufdException EPERM another process; EINVAL alignment, nothing, or an overlap with
     *     what is registered; EBUSY this container has registered it; ENOMEM limits; EFAULT no
     *     memory is there that may be written
     */
    public synchronized void register(Task task, long address, long size) throws IommufdException {
        RegisteredMemory memory = own(task);
        if (!RegisteredMemory.isAligned(address | size)
                || size == 0
                || Long.compareUnsigned(address + size - 1, address) < 0) {
            throw new IommufdException(Errno.EINVAL, "no pages of an address space");
        }
        long pages = size >>> PAGE_LG2;
        for (MemoryRegion region : regions) {
            if (region.is(address, pages)) {
                throw new IommufdException(Errno.EBUSY, "the memory is registered");
            }
        }
        task.failures().allocate();
        MemoryRegion region = memory.get(address, pages);
        if (region == null) {
            region = memory.create(address, pages, task.mayLock(), task.failures());
        }
        regions.add(region);
        enable(true);
    }

    /**
     * Ends the registration of exactly this memory. (VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY)
     *
     * @throws IommufdException EPERM another process, or nothing was ever registered; EINVAL
     *     alignment; ENOENT this container has not registered it; EBUSY entries lead to it
     */
    public synchronized void unregister(Task task, long address, long size)
            throws IommufdException {
        check(task);
        RegisteredMemory memory = memory();
        if (memory == null) {
            throw new IommufdException(Errno.EPERM, "the container is no process's yet");
        }
        if (!RegisteredMemory.isAligned(address | size)) {
            throw new IommufdException(Errno.EINVAL, "no pages");
        }
        for (int i = 0; i < regions.size(); i++) {
            MemoryRegion region = regions.get(i);
            if (region.is(address, size >>> PAGE_LG2)) {
                memory.put(region);
                regions.remove(i);
                return;
            }
        }
        throw new IommufdException(Errno.ENOENT, "no such memory is registered");
    }

    /**
     * Makes a dynamic window, and the default one before it. (VFIO_IOMMU_SPAPR_TCE_CREATE)
     *
     * @param pageLg2 any 32 bits
     * @param levels any 32 bits
     * @return where it begins on the bus
     * @throws IommufdException EPERM another process, or a platform without such windows; ENXIO no
     *     group; ENOSPC no window is free; EINVAL sizes; ENOMEM limits
     */
    public synchronized long createWindow(Task task, int pageLg2, long size, int levels)
            throws IommufdException {
        own(task);
        firstGroup(Errno.ENXIO);
        createDefault(task);
        return createWindow(
                task, Integer.toUnsignedLong(pageLg2), size, Integer.toUnsignedLong(levels));
    }

    /**
     * Removes a window. The default one can be removed before it is made.
     * (VFIO_IOMMU_SPAPR_TCE_REMOVE)
     *
     * @param start an address of it
     * @throws IommufdException EPERM another process, or a platform without such windows; ENXIO no
     *     group; EINVAL no window is there
     */
    public synchronized void removeWindow(Task task, long start) throws IommufdException {
        own(task);
        SpaprGroup group = firstGroup(Errno.ENXIO);
        if (start == 0 && cancelDefault()) {
            return;
        }
        int number = windowAround(start);
        if (number < 0) {
            throw new IommufdException(Errno.EINVAL, "0x%x is in no window".formatted(start));
        }
        if (!group.family().hasDynamicWindows()) {
            throw new IommufdException(Errno.EPERM, "windows of the platform do not change");
        }
        removeWindow(number);
    }

    @Override
    void release() {
        RegisteredMemory memory = memory();
        if (memory != null) {
            regions.forEach(memory::leave);
        }
        regions.clear();
    }
}
