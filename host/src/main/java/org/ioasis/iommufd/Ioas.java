// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.MAP_FIXED_IOVA;
import static org.ioasis.spec.Iommufd.MAP_READABLE;
import static org.ioasis.spec.Iommufd.MAP_WRITEABLE;

import java.util.ArrayList;
import java.util.List;

/**
 * An address space of I/O: what is mapped, for all page tables and accesses that share it. Any
 * thread; each public call takes the lock of its context, the others are under it.
 */
public final class Ioas extends IommufdObject {
    private static final int MAP_FLAGS = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE;

    private final IoPageTable space;
    private final List<PagingHwpt> hwpts = new ArrayList<>();

    Ioas(IommufdContext context) {
        super(context);
        space = new IoPageTable(context);
    }

    IoPageTable space() {
        return space;
    }

    /** Page tables that show it. */
    List<PagingHwpt> hwpts() {
        return hwpts;
    }

    void add(PagingHwpt hwpt) {
        hwpts.add(hwpt);
    }

    void remove(PagingHwpt hwpt) {
        hwpts.remove(hwpt);
    }

    /**
     * Maps memory of a process.
     *
     * @param flags MAP_ flags
     * @param iova the IOVA, with MAP_FIXED_IOVA
     * @return the IOVA
     */
    public long map(Owner owner, long address, long length, int flags, long iova)
            throws IommufdException {
        synchronized (context()) {
            PageOrigin.Addresses from =
                    new PageOrigin.Addresses(owner.memory(), address & -PhysicalMemory.PAGE, false);
            return mapAddresses(owner, from, address, length, context().accounting(), flags, iova);
        }
    }

    private long mapAddresses(
            Owner owner,
            PageOrigin.Addresses from,
            long address,
            long length,
            Accounting accounting,
            int flags,
            long iova)
            throws IommufdException {
        checkFlags(flags);
        checkLength(address, length);
        return map(from, address - from.first(), length, owner, accounting, flags, iova);
    }

    /**
     * Maps an open file, which this keeps open, or a refused call closes.
     *
     * @param start where in the file
     */
    public long map(Owner owner, ProgramFile file, long start, long length, int flags, long iova)
            throws IommufdException {
        synchronized (context()) {
            boolean isHandedOn = false;
            try {
                checkFlags(flags);
                checkLength(start, length);
                long first = start & -PhysicalMemory.PAGE;
                if (start < 0 || start + length < 0 || start + length > file.size()) {
                    throw new IommufdException(Errno.EINVAL, "the range goes past the file's end");
                }
                isHandedOn = true;
                return map(
                        new PageOrigin.File(file, first),
                        start - first,
                        length,
                        owner,
                        context().accounting(),
                        flags,
                        iova);
            } finally {
                if (!isHandedOn) {
                    file.close();
                }
            }
        }
    }

    /** Maps memory of a device. */
    public long map(
            Owner owner, RevocableBuffer buffer, long start, long length, int flags, long iova)
            throws IommufdException {
        synchronized (context()) {
            checkFlags(flags);
            checkLength(start, length);
            if (start < 0 || start + length < 0 || start + length > buffer.size()) {
                throw new IommufdException(Errno.EINVAL, "the range goes past the buffer's end");
            }
            if (buffer.isRevoked()) {
                throw new IommufdException(Errno.ENODEV, "the buffer has been revoked");
            }
            long first = start & -PhysicalMemory.PAGE;
            return map(
                    new PageOrigin.Buffer(buffer, first),
                    start - first,
                    length,
                    owner,
                    Accounting.NONE,
                    flags,
                    iova);
        }
    }

    /** Maps, or closes what the pages come from. */
    private long map(
            PageOrigin origin,
            long startByte,
            long length,
            Owner owner,
            Accounting accounting,
            int flags,
            long iova)
            throws IommufdException {
        boolean isWritable = (flags & MAP_WRITEABLE) != 0;
        Pages pages =
                new Pages(
                        context().memory(),
                        origin,
                        isWritable,
                        owner,
                        owner.mayLock() ? Accounting.NONE : accounting);
        try {
            context().allocate();
            return space.map(
                    pages,
                    startByte,
                    length,
                    (flags & MAP_FIXED_IOVA) != 0,
                    iova,
                    (flags & MAP_READABLE) != 0,
                    isWritable);
        } catch (IommufdException e) {
            pages.discard();
            throw e;
        }
    }

    /** As VFIO type 1 maps: at this IOVA, charged to the process. */
    public long mapCompat(Owner owner, long address, long length, int flags, long iova)
            throws IommufdException {
        return mapCompat(owner, address, length, flags, iova, false);
    }

    /**
     * The same, also of memory of a device that the process has mapped; then all of the range must
     * be that. Nobody is charged for it, and nothing but page tables may hold it
     * (drivers/vfio/vfio_iommu_type1.c, follow_fault_pfn). Native mappings never are.
     */
    public long mapWithDevices(Owner owner, long address, long length, int flags, long iova)
            throws IommufdException {
        synchronized (context()) {
            PageRun start =
                    owner.memory()
                            .pages(address & -PhysicalMemory.PAGE, PhysicalMemory.PAGE, false);
            return mapCompat(
                    owner,
                    address,
                    length,
                    flags,
                    iova,
                    start != null && start.source().isDevice());
        }
    }

    private long mapCompat(
            Owner owner, long address, long length, int flags, long iova, boolean isDevice)
            throws IommufdException {
        synchronized (context()) {
            PageOrigin.Addresses from =
                    new PageOrigin.Addresses(
                            owner.memory(), address & -PhysicalMemory.PAGE, isDevice);
            return mapAddresses(
                    owner, from, address, length, Accounting.PROCESS, flags | MAP_FIXED_IOVA, iova);
        }
    }

    /**
     * Says that the pages of a mapping of {@link #mapCompat} are at another address now, perhaps of
     * another process, which is charged for them from now on. Devices keep their pages.
     *
     * @param iova of all of the mapping
     * @throws IommufdException ENOENT: no mapping is exactly there; ENOMEM: the limit of the new
     *     owner, and nothing has changed
     */
    public void moveCompat(Owner owner, long address, long length, long iova)
            throws IommufdException {
        synchronized (context()) {
            context().allocate();
            Pages pages = space.exactly(iova, iova + length - 1).pages;
            pages.move(
                    owner,
                    new PageOrigin.Addresses(
                            owner.memory(), address, !pages.origin().mayBePinned()));
        }
    }

    /**
     * Sizes of leaves that all page tables have, a bit for each; smaller ones than a page of the
     * CPU are not told of.
     */
    public long pageSizes() {
        synchronized (context()) {
            long sizes = -1;
            for (HwPagingDomain domain : space.domains()) {
                sizes &= domain.pageSizes();
            }
            if ((sizes & (PhysicalMemory.PAGE - 1)) != 0) {
                sizes = (sizes & -PhysicalMemory.PAGE) | PhysicalMemory.PAGE;
            }
            return Long.compareUnsigned(sizes, space.alignment()) >= 0 ? sizes : space.alignment();
        }
    }

    /** Whether no device can make its DMA pass by the caches: of no page table it is so. */
    public boolean enforcesCoherency() {
        synchronized (context()) {
            return hwpts.stream().allMatch(PagingHwpt::enforcesCoherency);
        }
    }

    /**
     * Maps what another address space, or this one, has mapped; the pages are shared.
     *
     * @return the IOVA here
     */
    public long copy(Ioas source, long sourceIova, long length, int flags, long iova)
            throws IommufdException {
        synchronized (context()) {
            checkFlags(flags);
            if (length == 0) {
                throw new IommufdException(Errno.EINVAL, "nothing is asked for");
            }
            long last = sourceIova + length - 1;
            if (Long.compareUnsigned(last, sourceIova) < 0) {
                throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
            }
            List<IoPageTable.Piece> pieces = new ArrayList<>();
            source.space.contiguous(
                    sourceIova,
                    last,
                    (area, from, to) ->
                            pieces.add(
                                    new IoPageTable.Piece(
                                            area.pages,
                                            area.startByte() + (from - area.first),
                                            to - from + 1)));
            return space.map(
                    pieces,
                    length,
                    (flags & MAP_FIXED_IOVA) != 0,
                    iova,
                    (flags & MAP_READABLE) != 0,
                    (flags & MAP_WRITEABLE) != 0);
        }
    }

    private static void checkFlags(int flags) throws IommufdException {
        if ((flags & ~MAP_FLAGS) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "unknown flag of a mapping in 0x%x".formatted(flags));
        }
        if ((flags & (MAP_READABLE | MAP_WRITEABLE)) == 0) {
            throw new IommufdException(
                    Errno.EINVAL, "a mapping must be readable or writable or both");
        }
    }

    private static void checkLength(long address, long length) throws IommufdException {
        if (length == 0 || Long.compareUnsigned(length, -1 - PhysicalMemory.PAGE) > 0) {
            throw new IommufdException(Errno.EINVAL, "the length is 0 or too large");
        }
        if (Long.compareUnsigned(address + length, address) < 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the memory goes past the last address");
        }
    }

    /**
     * Unmaps all mappings that lie inside a range.
     *
     * @return bytes; all 2^64 are told as 2^64-1, the length that asks for all (struct
     *     iommu_ioas_unmap). See {@link IoPageTable#unmap} for refusals, after which some may be
     *     unmapped
     */
    public long unmap(long iova, long length) throws IommufdException {
        synchronized (context()) {
            if (iova == 0 && length == -1) {
                return space.unmapAll();
            }
            if (length == 0) {
                throw new IommufdException(Errno.EINVAL, "nothing is asked for");
            }
            long last = iova + length - 1;
            if (Long.compareUnsigned(last, iova) < 0) {
                throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
            }
            return space.unmap(iova, last);
        }
    }

    /** IOVAs that nobody has reserved. */
    public List<IovaRange> usable() {
        synchronized (context()) {
            return space.usable().holes();
        }
    }

    /** What mappings must be multiples of. */
    public long alignment() {
        synchronized (context()) {
            return space.alignment();
        }
    }

    /** Nothing may be mapped here any more. */
    public void reserve(long first, long last) throws IommufdException {
        synchronized (context()) {
            space.reserve(first, last, this);
        }
    }

    /** Only these IOVAs are given out from now on, and none of them is ever reserved. */
    public void allow(List<IovaRange> ranges) throws IommufdException {
        synchronized (context()) {
            space.usable().allow(ranges);
        }
    }

    /** Whether leaves may be larger than a page. */
    public boolean usesLargePages() {
        synchronized (context()) {
            return !space.isWithoutLargePages();
        }
    }

    public void useLargePages(boolean isEnabled) throws IommufdException {
        synchronized (context()) {
            if (isEnabled) {
                space.enableLargePages();
            } else {
                space.disableLargePages();
            }
        }
    }

    /** Mappings now. */
    public int mappings() {
        synchronized (context()) {
            return space.size();
        }
    }

    @Override
    void destroy() {
        try {
            space.unmapAll();
        } catch (IommufdException e) {
            throw new IllegalStateException("an address space that nobody needs cannot end", e);
        }
        context().forgetCompat(this);
    }
}
