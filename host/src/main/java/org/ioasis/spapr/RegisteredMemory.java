// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.Arrays;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.ProgramMemory;
import org.jspecify.annotations.Nullable;

/**
 * What one process has registered for DMA, through any of its containers: pages are held and
 * charged when they are registered, so that neither has to be done where entries are written. Any
 * thread; {@link #lookUp} takes no lock.
 */
public final class RegisteredMemory {
    /** Regions of a process. */
    static final int REGIONS_MAX = 4096;

    private static final int PAGE_LG2 = 12;
    private static final long PAGE = 1L << PAGE_LG2;

    private final IommufdNode node;
    private final ProgramMemory process;

    /** In the order of their addresses; never changed, but replaced as a whole. */
    private volatile MemoryRegion[] regions = {};

    /** Of its {@link SpaprHost}, under its lock. */
    int users;

    RegisteredMemory(IommufdNode node, ProgramMemory process) {
        this.node = node;
        this.process = process;
    }

    /** Whose memory it is. */
    public ProgramMemory process() {
        return process;
    }

    /** Regions that are registered. */
    public int regions() {
        return regions.length;
    }

    /** Entries of tables that lead to the region around an address; -1: there is none. */
    public long entriesInto(long address) {
        MemoryRegion region = lookUp(address, 1);
        return region == null ? -1 : region.mapped() - 1;
    }

    /** Registrations of the region around an address; 0: there is none. */
    public synchronized int registrations(long address) {
        MemoryRegion region = lookUp(address, 1);
        return region == null ? 0 : region.used();
    }

    /** The region that has all of these bytes. */
    @Nullable MemoryRegion lookUp(long address, long length) {
        MemoryRegion[] all = regions;
        int low = 0;
        int high = all.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            MemoryRegion region = all[middle];
            if (Long.compareUnsigned(address, region.first()) < 0) {
                high = middle - 1;
            } else if (Long.compareUnsigned(address, region.last()) > 0) {
                low = middle + 1;
            } else {
                return Long.compareUnsigned(length - 1, region.last() - address) <= 0
                        ? region
                        : null;
            }
        }
        return null;
    }

    /** One more registration of the very region, if there is one. */
    synchronized @Nullable MemoryRegion get(long first, long pages) {
        MemoryRegion found = lookUp(first, 1);
        if (found == null || !found.is(first, pages)) {
            return null;
        }
        found.use(1);
        return found;
    }

    /**
     * Registers memory that is not registered yet: holds and charges all of it, or nothing.
     *
     * @throws IommufdException EINVAL overlaps another region; ENOMEM limits; EFAULT memory that is
     *     not there, or not for writing
     */
    synchronized MemoryRegion create(
            long first, long pages, boolean mayLock, FailureInjector failures)
            throws IommufdException {
        MemoryRegion region = new MemoryRegion(first, pages);
        int at = 0;
        for (MemoryRegion other : regions) {
            if (other.overlaps(region)) {
                throw new IommufdException(
                        Errno.EINVAL, "some of the memory is registered already");
            }
            at += Long.compareUnsigned(other.first(), first) < 0 ? 1 : 0;
        }
        failures.allocate();
        if (regions.length == REGIONS_MAX) {
            throw new IommufdException(
                    Errno.ENOMEM, "%d regions are registered".formatted(REGIONS_MAX));
        }
        if (failures.fails() || !process.locked().chargeProcess(pages, mayLock)) {
            throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
        }
        try {
            hold(region, failures);
        } catch (IommufdException e) {
            region.giveBack(node);
            process.locked().chargeProcess(-pages, mayLock);
            throw e;
        }
        region.complete();
        MemoryRegion[] more = Arrays.copyOf(regions, regions.length + 1);
        System.arraycopy(regions, at, more, at + 1, regions.length - at);
        more[at] = region;
        regions = more;
        return region;
    }

    private void hold(MemoryRegion region, FailureInjector failures) throws IommufdException {
        while (region.held() < region.pages()) {
            long address = region.first() + (region.held() << PAGE_LG2);
            long rest = region.pages() - region.held();
            PageRun run = failures.fails() ? null : process.pages(address, rest << PAGE_LG2, true);
            if (run == null) {
                throw new IommufdException(
                        Errno.EFAULT, "no memory that the program may write is there");
            }
            long count =
                    Math.min(
                            Math.min(rest, Math.max(1, run.length() >>> PAGE_LG2)),
                            IommufdNode.pagesTogether(run.offset()));
            long held = node.hold(run.source(), run.offset(), count);
            if (held < 0) {
                throw new IommufdException(Errno.ENOMEM, "no number is free for the pages");
            }
            region.add(held, count);
        }
    }

    /**
     * Ends a registration, and with the last the region.
     *
     * @throws IommufdException EBUSY it is the last, and entries lead to the region; nothing
     *     changed
     */
    synchronized void put(MemoryRegion region) throws IommufdException {
        if (region.used() == 1) {
            if (!region.retire()) {
                throw new IommufdException(
                        Errno.EBUSY,
                        "%d entries of tables lead to the memory".formatted(region.mapped() - 1));
            }
            remove(region);
        }
        region.use(-1);
    }

    /**
     * Ends a registration whose container is gone. If entries of another container of the process
     * lead to the region then, it stays: until somebody has registered it again and ends that, or
     * nobody asks about the process any more.
     */
    synchronized void leave(MemoryRegion region) {
        region.use(-1);
        if (region.used() == 0 && region.retire()) {
            remove(region);
        }
    }

    /** Nobody asks about the process any more: no window is left with entries. */
    synchronized void end() {
        for (MemoryRegion region : regions) {
            if (!region.retire()) {
                throw new IllegalStateException(
                        "entries of no window lead to 0x%x".formatted(region.first()));
            }
            remove(region);
        }
    }

    private void remove(MemoryRegion region) {
        MemoryRegion[] fewer = new MemoryRegion[regions.length - 1];
        int count = 0;
        for (MemoryRegion other : regions) {
            if (!other.is(region.first(), region.pages())) {
                fewer[count++] = other;
            }
        }
        regions = fewer;
        region.giveBack(node);
        process.locked().chargeProcess(-region.pages(), false);
    }

    static boolean isAligned(long bits) {
        return (bits & (PAGE - 1)) == 0;
    }
}
