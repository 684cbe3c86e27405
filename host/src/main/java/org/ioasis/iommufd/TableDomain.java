// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.ioasis.iommu.pagetable.DirtyVisitor;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.LeafVisitor;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.iommu.pagetable.Walk;
import org.jspecify.annotations.Nullable;

/**
 * A page table of a format, as hardware would walk it. Whoever walks it for a device does so under
 * the lock too, so that tables which are empty go at once. Under its context's lock.
 */
public final class TableDomain implements HwPagingDomain {
    /** Answer of {@link #lookUp}: nothing is mapped. */
    public static final long NOWHERE = -1;

    /** Four tables of the usual size: an address space with little in it costs little. */
    private static final int PIECE_LG2 = 14;

    /** What entries call the first table. */
    private static final long TABLES_AT = 1L << 20;

    private static final int NO_ACCESS = 0;

    private final long apertureFirst;
    private final long apertureLast;
    private final boolean tracksDirty;
    private final TableBudget budget;
    private final TableArena arena;
    private final PageTable table;
    private final Gather gather = new Gather();
    private final Walk walk = new Walk();
    private long taken;
    private boolean isTracking;

    /**
     * @param pageSizes those that may be used, a bit for each
     * @param tracksDirty the program has asked for a table that tells what is written
     * @throws IommufdException ENOMEM: the node has no memory for tables left
     */
    public TableDomain(
            PageTableFormat format,
            long pageSizes,
            long apertureFirst,
            long apertureLast,
            boolean tracksDirty,
            IommufdNode node)
            throws IommufdException {
        this.apertureFirst = apertureFirst;
        this.apertureLast = apertureLast;
        this.tracksDirty = tracksDirty && format.tracksDirty();
        budget = node.tables();
        int top = Math.max(format.topLg2(format.firstTop()), format.topLg2(format.lastTop()));
        arena = new TableArena(this::piece, Math.max(PIECE_LG2, top), TABLES_AT, TableBudget.LIMIT);
        if (!PageTable.fits(format, arena)) {
            free();
            throw noMemory();
        }
        table = PageTable.create(format, arena, pageSizes);
    }

    private long @Nullable [] piece(long bytes) {
        long[] piece = budget.take(bytes);
        taken += piece == null ? 0 : bytes;
        return piece;
    }

    private static IommufdException noMemory() {
        return new IommufdException(Errno.ENOMEM, "the limit of memory for page tables is reached");
    }

    @Override
    public long pageSizes() {
        return table.pageSizes();
    }

    @Override
    public long apertureFirst() {
        return apertureFirst;
    }

    @Override
    public long apertureLast() {
        return apertureLast;
    }

    @Override
    public void map(
            long iova,
            long address,
            long length,
            boolean isReadable,
            boolean isWritable,
            FailureInjector failures)
            throws IommufdException {
        failures.allocate();
        int rights = (isReadable ? Rights.READ : 0) | (isWritable ? Rights.WRITE : 0);
        PageTableStatus status = table.map(iova, iova + length - 1, address, rights, gather);
        gather.release(arena);
        switch (status) {
            case OK -> {}
            case NO_MEMORY -> throw noMemory();
            case RANGE ->
                    throw new IommufdException(
                            Errno.ERANGE, "IOVA 0x%x is none of the page table's".formatted(iova));
            case MISFIT ->
                    throw new IommufdException(
                            Errno.ENXIO, "the page table cannot lead to 0x%x".formatted(address));
            case RIGHTS ->
                    throw new IommufdException(
                            Errno.EINVAL, "the page table has no pages with these rights");
            case OVERLAPS, SPLITS ->
                    throw new IllegalStateException("0x%x: %s".formatted(iova, status));
        }
    }

    /**
     * Leads one page elsewhere; a walk finds what it was or what it is.
     *
     * @throws IommufdException as {@link #map}; the page is as it was
     */
    public void replace(
            long iova, long address, int pageLg2, boolean isReadable, boolean isWritable)
            throws IommufdException {
        int rights = (isReadable ? Rights.READ : 0) | (isWritable ? Rights.WRITE : 0);
        PageTableStatus status = table.replace(iova, pageLg2, address, rights);
        switch (status) {
            case OK -> {}
            case MISFIT ->
                    throw new IommufdException(
                            Errno.ENXIO, "the page table cannot lead to 0x%x".formatted(address));
            case RIGHTS ->
                    throw new IommufdException(
                            Errno.EINVAL, "the page table has no pages with these rights");
            case RANGE, OVERLAPS, SPLITS, NO_MEMORY ->
                    throw new IllegalStateException("0x%x: %s".formatted(iova, status));
        }
    }

    /** Shows each page that has an address in {@code first..last}, in order. */
    public void leaves(long first, long last, LeafVisitor visitor) {
        table.leaves(first, last, visitor);
    }

    @Override
    public void unmap(long iova, long length) {
        PageTableStatus status = table.unmap(iova, iova + length - 1, gather);
        long gone = gather.bytes();
        gather.release(arena);
        if (status != PageTableStatus.OK || gone != length) {
            throw new IllegalStateException(
                    "0x%x bytes at 0x%x, unmapped 0x%x: %s".formatted(length, iova, gone, status));
        }
    }

    @Override
    public long toPhysical(long iova) {
        long found = lookUp(iova);
        if (found == NOWHERE) {
            throw new IllegalStateException("0x%x is not mapped".formatted(iova));
        }
        return found;
    }

    @Override
    public long sideBySide(long iova) {
        toPhysical(iova);
        long size = 1L << walk.pageLg2();
        return size - (iova & (size - 1));
    }

    /** The output address, or {@link #NOWHERE}. */
    public long lookUp(long iova) {
        return lookUp(iova, NO_ACCESS);
    }

    /**
     * The same for an access.
     *
     * @param access bits of {@link Rights}; without all of them it leads nowhere
     */
    public long lookUp(long iova, int access) {
        return table.walk(iova, access, false, walk) ? walk.output() : NOWHERE;
    }

    @Override
    public boolean tracksDirty() {
        return tracksDirty;
    }

    @Override
    public void trackDirty(boolean isEnabled) {
        isTracking = isEnabled;
    }

    @Override
    public boolean isTrackingDirty() {
        return isTracking;
    }

    /** A device writes there; false: it cannot. */
    public boolean write(long iova) {
        return table.walk(iova, Rights.WRITE, isTracking, walk);
    }

    @Override
    public void dirty(long first, long last, boolean clears, DirtyVisitor visitor) {
        if (table.dirty(first, last, !clears, visitor) != PageTableStatus.OK) {
            throw new IllegalStateException("0x%x..0x%x are not in order".formatted(first, last));
        }
    }

    /** Bytes of tables. */
    public long tableBytes() {
        return arena.heldBytes();
    }

    @Override
    public void free() {
        budget.giveBack(taken);
        taken = 0;
    }
}
