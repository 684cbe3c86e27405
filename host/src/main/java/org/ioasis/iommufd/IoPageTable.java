// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.host.IntervalTree;
import org.ioasis.memory.Ranges;

/**
 * The IOVAs of one address space: what is mapped (areas), and the page tables that all show the
 * same. Under its context's lock.
 */
final class IoPageTable {
    /** The most that an automatic IOVA is aligned to: a huge page of x86-64. */
    private static final long HUGE_PAGE = 1L << 21;

    /** How often accesses are asked to let go of an area. */
    private static final int UNMAP_TRIES = 100;

    /** A piece of pages that is to be mapped. */
    record Piece(Pages pages, long startByte, long length) {}

    /** Told of the areas of a range, in order, with the part that is in it. */
    interface AreaVisitor {
        void visit(Area area, long first, long last) throws IommufdException;
    }

    private final IommufdContext context;
    private final List<HwPagingDomain> domains = new ArrayList<>();
    private final List<Access> accesses = new ArrayList<>();
    private final IntervalTree<Area> areas = new IntervalTree<>();
    private final UsableIovas usable;
    private long alignment = 1;
    private boolean isWithoutLargePages;

    IoPageTable(IommufdContext context) {
        this.context = context;
        usable = new UsableIovas(context);
    }

    /** Where something may be mapped. */
    UsableIovas usable() {
        return usable;
    }

    /** What IOVAs, lengths and beginnings of pages must be multiples of; a power of two. */
    long alignment() {
        return alignment;
    }

    boolean isWithoutLargePages() {
        return isWithoutLargePages;
    }

    List<HwPagingDomain> domains() {
        return domains;
    }

    /** Areas now. */
    int size() {
        return areas.size();
    }

    /** Whether nothing is mapped in a range. */
    boolean isEmpty(long first, long last) {
        return !areas.overlaps(first, last);
    }

    /** Each area, in order. */
    List<Area> areas() {
        return areas.values(0, -1);
    }

    /** Nothing may be mapped here any more; intervals of owners may overlap. */
    void reserve(long first, long last, Object owner) throws IommufdException {
        context.allocate();
        if (areas.overlaps(first, last)) {
            throw new IommufdException(
                    Errno.EADDRINUSE,
                    "reserved IOVAs 0x%x..0x%x are mapped".formatted(first, last));
        }
        usable.reserve(first, last, owner);
    }

    // Mapping

    /**
     * Maps a piece into all page tables, or nothing.
     *
     * @param fixed the IOVA, if it is {@code isFixed}
     * @return the IOVA
     */
    long map(
            Pages pages,
            long startByte,
            long length,
            boolean isFixed,
            long fixed,
            boolean isReadable,
            boolean isWritable)
            throws IommufdException {
        long iova = place(pages, startByte, length, isFixed, fixed);
        checkPiece(iova, pages, startByte, length, isWritable);
        context.node().takeMappings(1);
        Area area = add(pages, startByte, length, iova, isReadable, isWritable);
        try {
            fill(area, domains);
        } catch (IommufdException e) {
            remove(area);
            throw e;
        }
        return iova;
    }

    /** The same with pieces side by side. */
    long map(
            List<Piece> pieces,
            long length,
            boolean isFixed,
            long fixed,
            boolean isReadable,
            boolean isWritable)
            throws IommufdException {
        Piece head = pieces.getFirst();
        long iova = place(head.pages(), head.startByte(), length, isFixed, fixed);
        for (Piece piece : pieces) {
            checkPiece(iova, piece.pages(), piece.startByte(), piece.length(), isWritable);
        }
        context.node().takeMappings(pieces.size());
        List<Area> fresh = new ArrayList<>(pieces.size());
        long at = iova;
        for (Piece piece : pieces) {
            fresh.add(
                    add(
                            piece.pages(),
                            piece.startByte(),
                            piece.length(),
                            at,
                            isReadable,
                            isWritable));
            at += piece.length();
        }
        try {
            for (Area area : fresh) {
                fill(area, domains);
            }
        } catch (IommufdException e) {
            for (Area area : fresh) {
                remove(area);
            }
            throw e;
        }
        return iova;
    }

    private Area add(
            Pages pages,
            long startByte,
            long length,
            long iova,
            boolean isReadable,
            boolean isWritable) {
        Area area =
                new Area(this, iova, iova + length - 1, pages, startByte, isReadable, isWritable);
        areas.insert(area.first, area.last, area);
        pages.use(area);
        return area;
    }

    private long place(Pages pages, long startByte, long length, boolean isFixed, long fixed)
            throws IommufdException {
        return isFixed
                ? checkFixed(fixed, length)
                : automatic(pages.originFirst() + startByte, length);
    }

    private long checkFixed(long iova, long length) throws IommufdException {
        if ((iova & (alignment - 1)) != 0) {
            throw new IommufdException(
                    Errno.EINVAL, "IOVA 0x%x is no multiple of 0x%x".formatted(iova, alignment));
        }
        long last = iova + length - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
        }
        if (usable.isReserved(iova, last)) {
            throw new IommufdException(Errno.EINVAL, "the range reaches into reserved IOVAs");
        }
        if (areas.overlaps(iova, last)) {
            throw new IommufdException(Errno.EEXIST, "something is mapped there");
        }
        return iova;
    }

    private void checkPiece(long iova, Pages pages, long startByte, long length, boolean isWritable)
            throws IommufdException {
        if (isWritable && !pages.isWritable()) {
            throw new IommufdException(
                    Errno.EPERM, "the pages were mapped for reading and may not be written");
        }
        if (((iova | length | (startByte & (PhysicalMemory.PAGE - 1))) & (alignment - 1)) != 0) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "IOVA, length and beginning must be multiples of 0x%x".formatted(alignment));
        }
        context.allocate();
    }

    /** First fit from below, where the address space's large pages can be used. */
    private long automatic(long address, long length) throws IommufdException {
        if (length == 0 || Long.compareUnsigned(length, Long.MAX_VALUE) >= 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the length is too large");
        }
        long pageOffset = address & (PhysicalMemory.PAGE - 1);
        long align = roundUp(length);
        if (address != 0) {
            align = Math.min(align, Long.lowestOneBit(address) & Long.MAX_VALUE);
        }
        align = Math.min(align, isWithoutLargePages ? PhysicalMemory.PAGE : HUGE_PAGE);
        if (align == 0) {
            align = 1;
        }
        if (Long.compareUnsigned(align, alignment) < 0) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "address and length allow multiples of 0x%x, and 0x%x is needed"
                            .formatted(align, alignment));
        }
        return usable.room(areas, length, align, pageOffset);
    }

    private static long roundUp(long length) {
        long highest = Long.highestOneBit(length);
        return highest == length ? length : highest << 1 == Long.MIN_VALUE ? highest : highest << 1;
    }

    private void fill(Area area, List<HwPagingDomain> into) throws IommufdException {
        if (!into.isEmpty()) {
            area.pages.fill(area, into, isWithoutLargePages, context.batch(), context.failures());
        }
    }

    // Looking

    /**
     * Visits areas that hold all of a range, one behind the other.
     *
     * @throws IommufdException ENOENT if an IOVA of the range is not mapped, before any is visited
     */
    void contiguous(long first, long last, AreaVisitor visitor) throws IommufdException {
        int node = areas.overlapping(first, first);
        if (node != IntervalTree.NONE && Long.compareUnsigned(areas.last(node), last) >= 0) {
            visitor.visit(areas.value(node), first, last);
            return;
        }
        check(first, last);
        for (long at = first; ; ) {
            Area area = areas.value(areas.overlapping(at, at));
            long end = Ranges.min(area.last, last);
            visitor.visit(area, at, end);
            if (end == last) {
                return;
            }
            at = end + 1;
        }
    }

    private void check(long first, long last) throws IommufdException {
        long mapped = contiguousLast(first, last);
        if (mapped != last) {
            throw new IommufdException(
                    Errno.ENOENT, "IOVA 0x%x is not mapped".formatted(mapped + 1));
        }
    }

    /** The area that is exactly there. */
    Area exactly(long first, long last) throws IommufdException {
        int node = areas.find(first, last);
        if (node == IntervalTree.NONE) {
            throw new IommufdException(Errno.ENOENT, "nothing is mapped exactly there");
        }
        return areas.value(node);
    }

    /** The last IOVA of a range up to which all is mapped; {@code first - 1}: nothing is. */
    long contiguousLast(long first, long last) {
        for (long at = first; ; ) {
            int node = areas.overlapping(at, at);
            if (node == IntervalTree.NONE) {
                return at - 1;
            }
            if (Long.compareUnsigned(areas.last(node), last) >= 0) {
                return last;
            }
            at = areas.last(node) + 1;
        }
    }

    // Unmapping

    /**
     * Unmaps the areas of a range; those before one that refuses stay unmapped.
     *
     * @return bytes; all 2^64 are told as 2^64-1
     * @throws IommufdException ENOENT: nothing is there, or an area is cut; EBUSY: it is locked;
     *     EDEADLK: an access does not let go
     */
    long unmap(long first, long last) throws IommufdException {
        long unmapped = 0;
        boolean isAny = false;
        int tries = 0;
        while (true) {
            int node = areas.overlapping(first, last);
            if (node == IntervalTree.NONE) {
                break;
            }
            Area area = areas.value(node);
            if (Long.compareUnsigned(area.first, first) < 0
                    || Long.compareUnsigned(area.last, last) > 0) {
                throw new IommufdException(
                        Errno.ENOENT,
                        "the range cuts the mapping 0x%x..0x%x".formatted(area.first, area.last));
            }
            if (area.locks > 0) {
                throw new IommufdException(
                        Errno.EBUSY,
                        "hardware uses the mapping 0x%x..0x%x".formatted(area.first, area.last));
            }
            if (area.accesses > 0) {
                if (tries++ == UNMAP_TRIES) {
                    throw new IommufdException(
                            Errno.EDEADLK, "an access does not let go of the pages");
                }
                notifyUnmap(area);
                continue;
            }
            tries = 0;
            unmapped += area.length();
            isAny = true;
            remove(area);
            if (area.last == last) {
                break;
            }
        }
        if (!isAny) {
            throw new IommufdException(Errno.ENOENT, "nothing is mapped in the range");
        }
        return unmapped == 0 ? -1 : unmapped;
    }

    /** Unmaps everything; that may be nothing. */
    long unmapAll() throws IommufdException {
        return areas.isEmpty() ? 0 : unmap(0, -1);
    }

    private void notifyUnmap(Area area) {
        area.isLeaving = true;
        try {
            for (Access access : List.copyOf(accesses)) {
                access.unmapped(area.first, area.length());
            }
        } finally {
            area.isLeaving = false;
        }
    }

    HeldRuns unused() {
        return context.unused();
    }

    private void remove(Area area) {
        area.pages.unfillAll(area, domains);
        areas.remove(area.first, area);
        area.pages.leave(area);
        context.node().giveBackMappings(1);
    }

    /** Takes an area out of all page tables; it stays mapped for whoever looks. */
    void unfill(Area area) {
        area.pages.unfillAll(area, domains);
    }

    /** Makes mappings end and begin at these IOVAs, where one goes through it. */
    void cut(long... iovas) throws IommufdException {
        for (long iova : iovas) {
            int node = areas.overlapping(iova, iova);
            if (iova != 0 && node != IntervalTree.NONE && areas.first(node) != iova) {
                cut(areas.value(node), iova);
            }
        }
    }

    private void cut(Area area, long iova) throws IommufdException {
        if (!isWithoutLargePages) {
            throw new IommufdException(Errno.EINVAL, "large pages of a mapping cannot be cut");
        }
        if (area.accesses > 0 || area.locks > 0) {
            throw new IommufdException(Errno.EINVAL, "a mapping that is accessed cannot be cut");
        }
        long startByte = area.startByte() + (iova - area.first);
        if ((startByte & (PhysicalMemory.PAGE - 1)) != 0 || (iova & (alignment - 1)) != 0) {
            throw new IommufdException(Errno.EINVAL, "mappings are cut between pages");
        }
        context.allocate();
        context.node().takeMappings(1);
        Area low = part(area, area.first, iova - 1, area.startByte());
        Area high = part(area, iova, area.last, startByte);
        areas.remove(area.first, area);
        areas.insert(low.first, low.last, low);
        areas.insert(high.first, high.last, high);
        area.pages.split(area, low, high);
    }

    private Area part(Area area, long first, long last, long startByte) {
        return new Area(this, first, last, area.pages, startByte, area.isReadable, area.isWritable);
    }

    // Page tables and accesses

    /** One more page table shows all that is mapped. */
    void add(HwPagingDomain domain) throws IommufdException {
        long needed = Long.lowestOneBit(domain.pageSizes());
        if (Long.compareUnsigned(needed, PhysicalMemory.PAGE) > 0) {
            throw new IommufdException(
                    Errno.EINVAL, "the smallest leaf of the page table is larger than a page");
        }
        checkAlignment(Ranges.max(alignment, needed));
        context.allocate();
        List<Area> done = new ArrayList<>();
        try {
            if (domain.apertureFirst() != 0) {
                reserve(0, domain.apertureFirst() - 1, domain);
            }
            if (domain.apertureLast() != -1) {
                reserve(domain.apertureLast() + 1, -1, domain);
            }
            for (Area area : areas()) {
                area.pages.fill(
                        area,
                        List.of(domain),
                        isWithoutLargePages,
                        context.batch(),
                        context.failures());
                done.add(area);
            }
        } catch (IommufdException e) {
            for (Area area : done) {
                area.pages.unfill(area, domain, domains);
            }
            usable.unreserve(domain);
            throw e;
        }
        domains.add(domain);
        alignment = Ranges.max(alignment, needed);
    }

    /** A page table goes; what it was storage of another one takes, if there is one. */
    void remove(HwPagingDomain domain) {
        domains.remove(domain);
        for (Area area : areas()) {
            area.pages.unfill(area, domain, domains);
        }
        usable.unreserve(domain);
        alignment = neededAlignment();
    }

    void add(Access access) throws IommufdException {
        checkAlignment(Ranges.max(alignment, access.alignment()));
        accesses.add(access);
        alignment = neededAlignment();
    }

    void remove(Access access) {
        accesses.remove(access);
        alignment = neededAlignment();
    }

    /** Leaves are single pages from now on. */
    void disableLargePages() throws IommufdException {
        if (isWithoutLargePages) {
            return;
        }
        if (!domains.isEmpty() && !areas.isEmpty()) {
            throw new IommufdException(
                    Errno.EINVAL, "page tables have mappings with large pages already");
        }
        checkAlignment(Ranges.max(alignment, PhysicalMemory.PAGE));
        isWithoutLargePages = true;
        alignment = neededAlignment();
    }

    void enableLargePages() {
        isWithoutLargePages = false;
        alignment = neededAlignment();
    }

    private long neededAlignment() {
        long needed = isWithoutLargePages ? PhysicalMemory.PAGE : 1;
        for (HwPagingDomain domain : domains) {
            needed = Ranges.max(needed, Long.lowestOneBit(domain.pageSizes()));
        }
        for (Access access : accesses) {
            needed = Ranges.max(needed, access.alignment());
        }
        return needed;
    }

    private void checkAlignment(long needed) throws IommufdException {
        if (Long.compareUnsigned(needed, alignment) <= 0) {
            return;
        }
        for (Area area : areas()) {
            if (((area.first | area.length() | area.pageOffset) & (needed - 1)) != 0) {
                throw new IommufdException(
                        Errno.EADDRINUSE,
                        "the mapping 0x%x..0x%x is no multiple of 0x%x"
                                .formatted(area.first, area.last, needed));
            }
        }
    }
}
