// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.IommufdNesting.*;
import static org.ioasis.spec.VirtioIommuTables.TABLE_EAFE;
import static org.ioasis.spec.VirtioIommuTables.TABLE_WPE;
import static org.ioasis.spec.VirtioIommuTables.WIDTH_5_LEVELS;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.TableListener;
import org.ioasis.iommu.VtdTable;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdObject;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.UserData;
import org.jspecify.annotations.Nullable;

/**
 * As {@link AssignedEndpoint} for a device that is alone in its group and behind a VT-d, where a
 * table that the guest hands over can stand in front of its memory: the host walks both. Loop
 * thread.
 */
public final class NestedEndpoint implements TableListener, AutoCloseable {
    private static final long PAGE = 0x1000;
    private static final int PAGE_LG2 = 12;
    private static final long ALL_PAGES = -1;

    /** All that a guest is told it may ask for. */
    private static final VtdTable LARGEST = new VtdTable(0, TABLE_EAFE | TABLE_WPE, WIDTH_5_LEVELS);

    private final IommufdContext context;
    private final Device device;
    private final PagingHwpt parent;
    private final AssignedEndpoint behind;
    private final MemorySegment entry = Arena.ofAuto().allocate(VTD_INVALIDATE_SIZE, Long.BYTES);

    /** What is in front of the parent, if the device goes through a table. */
    private @Nullable NestedHwpt front;

    // The batch that goes on.
    private @Nullable Kind nextKind;
    private @Nullable VtdTable nextTable;
    private boolean isInvalidation;

    /** Only that can be refused. */
    private boolean isAddition;

    private boolean isClosed;
    private long tables;
    private long invalidations;
    private long losses;

    private NestedEndpoint(
            IommufdContext context, Device device, PagingHwpt parent, AssignedEndpoint behind) {
        this.context = context;
        this.device = device;
        this.parent = parent;
        this.behind = behind;
    }

    /**
     * Attaches the device, which reaches nothing yet.
     *
     * @param ioas for this device alone, and empty
     * @param memory of the guest, in any order, without overlaps
     * @throws IommufdException the device cannot be attached, or its IOMMU has no such tables
     */
    public static NestedEndpoint of(
            IommufdContext context, Device device, Ioas ioas, List<AssignedGroup.Ram> memory)
            throws IommufdException {
        PagingHwpt parent = context.allocateHwpt(device, ioas, HWPT_ALLOC_NEST_PARENT);
        boolean isMade = false;
        try {
            context.destroy(table(device, parent, LARGEST).id());
            device.attach(parent.id(), NO_PASID);
            isMade = true;
        } finally {
            if (!isMade) {
                context.destroy(parent.id());
            }
        }
        AssignedGroup group = new AssignedGroup(DmaTarget.of(ioas), memory);
        return new NestedEndpoint(context, device, parent, group.endpoint());
    }

    private static NestedHwpt table(Device device, PagingHwpt parent, VtdTable table)
            throws IommufdException {
        MemorySegment data = Arena.ofAuto().allocate(VTD_S1_SIZE, Long.BYTES);
        data.set(JAVA_LONG, VTD_S1_FLAGS, table.flags());
        data.set(JAVA_LONG, VTD_S1_PGTBL_ADDR, table.root());
        data.set(JAVA_INT, VTD_S1_ADDR_WIDTH, table.width());
        return parent.allocateNested(device, 0, UserData.of(HWPT_DATA_VTD_S1, data), null);
    }

    /**
     * Gives the device back: it reaches nothing, and its space is empty. What is added from here on
     * is refused. Works twice.
     */
    @Override
    public void close() {
        if (isClosed) {
            return;
        }
        isClosed = true;
        device.detach(NO_PASID);
        end(front);
        front = null;
        behind.clear();
        end(parent);
    }

    /** Tables that were put in front of the guest's memory. */
    public long tables() {
        return tables;
    }

    /** Invalidations that went to the host. */
    public long invalidations() {
        return invalidations;
    }

    /** Times that the device was left with nothing, since what it had could not be had back. */
    public long losses() {
        return losses + behind.losses();
    }

    // A batch
    // -------------------------------------------------------------------------------------------

    @Override
    public boolean hearsEachMapping() {
        return behind.hearsEachMapping();
    }

    @Override
    public void begin() {
        nextKind = null;
        nextTable = null;
        isInvalidation = false;
        isAddition = false;
        behind.begin();
    }

    @Override
    public void translation(Kind kind) {
        nextKind = kind;
        isAddition = kind == Kind.MAPPED || kind == Kind.IDENTITY || kind == Kind.WALKED;
        // Behind a table lies memory as it is.
        behind.translation(kind == Kind.WALKED ? Kind.IDENTITY : kind);
    }

    @Override
    public void table(VtdTable table) {
        nextTable = table;
    }

    @Override
    public void mapped(long first, long last, long output, int flags) {
        isAddition = true;
        behind.mapped(first, last, output, flags);
    }

    @Override
    public void unmapped(long first, long last) {
        behind.unmapped(first, last);
    }

    @Override
    public void invalidated(long first, long last) {
        boolean isAll = first == 0 && last == -1;
        long page = first & -PAGE;
        entry.set(JAVA_LONG, VTD_INVALIDATE_ADDR, page);
        entry.set(
                JAVA_LONG,
                VTD_INVALIDATE_NPAGES,
                isAll ? ALL_PAGES : ((last - page) >>> PAGE_LG2) + 1);
        isInvalidation = true;
    }

    @Override
    public void commit(Answer answer) {
        VtdTable table = nextTable;
        if (isClosed) {
            if (isAddition) {
                answer.refused(Status.DEVERR);
            } else {
                answer.ok();
            }
        } else if (isInvalidation) {
            invalidate();
            answer.ok();
        } else if (nextKind == null) {
            behind.commit(answer);
        } else if (table == null) {
            move(null, answer);
        } else {
            walk(table, answer);
        }
    }

    private void invalidate() {
        NestedHwpt table = front;
        if (table == null) {
            return;
        }
        long handled = table.invalidate(INVALIDATE_VTD_S1, entry, 0, VTD_INVALIDATE_SIZE, 1);
        if (Handled.done(handled) != 1) {
            throw new IllegalStateException("what is taken away cannot be refused");
        }
        invalidations++;
    }

    private void walk(VtdTable table, Answer answer) {
        NestedHwpt made;
        try {
            made = table(device, parent, table);
        } catch (IommufdException e) {
            answer.refused(AssignedEndpoint.status(e));
            return;
        }
        if (front == null) {
            move(made, answer);
            return;
        }
        // From one table to another: what lies behind is the same.
        try {
            device.replace(made.id(), NO_PASID);
        } catch (IommufdException e) {
            end(made);
            answer.refused(AssignedEndpoint.status(e));
            return;
        }
        changeTo(made);
        answer.ok();
    }

    /**
     * While what lies behind changes the device reaches nothing: memory as it is not, above all.
     */
    private void move(@Nullable NestedHwpt next, Answer answer) {
        boolean mayRefuse = isAddition;
        device.detach(NO_PASID);
        behind.commit(
                new Answer() {
                    @Override
                    public void ok() {
                        if (attach(next)) {
                            changeTo(next);
                            answer.ok();
                        } else {
                            end(next);
                            hasNothing(mayRefuse);
                        }
                    }

                    @Override
                    public void refused(Status status) {
                        end(next);
                        if (attach(front)) {
                            answer.refused(status);
                        } else {
                            hasNothing(true);
                        }
                    }

                    @Override
                    public void lost() {
                        end(next);
                        changeTo(null);
                        answer.lost();
                    }

                    private void hasNothing(boolean isSaid) {
                        losses++;
                        changeTo(null);
                        if (isSaid) {
                            answer.lost();
                        } else {
                            answer.ok();
                        }
                    }

                    @Override
                    public void dirtied(long first, long last) {
                        answer.dirtied(first, last);
                    }
                });
    }

    private boolean attach(@Nullable NestedHwpt table) {
        try {
            int _ = device.attach(table == null ? parent.id() : table.id(), NO_PASID);
            return true;
        } catch (IommufdException e) {
            return false;
        }
    }

    private void changeTo(@Nullable NestedHwpt next) {
        end(front);
        front = next;
        if (next != null) {
            tables++;
        }
    }

    private void end(@Nullable IommufdObject table) {
        if (table == null) {
            return;
        }
        try {
            context.destroy(table.id());
        } catch (IommufdException e) {
            throw new IllegalStateException("nobody else needs the table", e);
        }
    }
}
