// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.spec.Iommufd.HW_QUEUE_TYPE_DEFAULT;

/**
 * A queue that hardware reads a guest's commands from: its memory is held and cannot be unmapped
 * while it is there. Under its context's lock.
 */
public final class HwQueue extends IommufdObject {
    private final Viommu viommu;
    private final Access access;
    private final long first;
    private final long held;
    private final long length;
    private boolean isHeld;
    private boolean isStarted;

    private HwQueue(Viommu viommu, Access access, long first, long held, long length) {
        super(viommu.context());
        this.viommu = viommu;
        this.access = access;
        this.first = first;
        this.held = held;
        this.length = length;
        viommu.addUser();
    }

    /** Refuses what no queue can be. */
    static void check(int type, long iova, long length) throws IommufdException {
        if (type == HW_QUEUE_TYPE_DEFAULT) {
            throw new IommufdException(Errno.EOPNOTSUPP, "a hardware queue has a type");
        }
        if (length == 0) {
            throw new IommufdException(Errno.EINVAL, "a queue without memory");
        }
        if (Long.compareUnsigned(iova + length - 1, iova) < 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the queue goes past the last IOVA");
        }
    }

    /** Makes one, reserved. */
    static HwQueue reserve(Viommu viommu, int type, int index, long iova, long length)
            throws IommufdException {
        check(type, iova, length);
        if (!viommu.driver().hasQueue(type)) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "the vIOMMU has no queues of type 0x%x".formatted(type));
        }
        long offset = iova & (PhysicalMemory.PAGE - 1);
        long pages = (offset + length + PhysicalMemory.PAGE - 1) >>> PhysicalMemory.PAGE_LG2;
        if (Long.compareUnsigned(offset + length, length) < 0
                || Long.compareUnsigned(offset + length, -PhysicalMemory.PAGE) > 0) {
            throw new IommufdException(Errno.ERANGE, "the queue's pages go past the last IOVA");
        }
        IommufdContext context = viommu.context();
        context.allocate();
        Access access = Access.internal(context);
        HwQueue queue =
                new HwQueue(
                        viommu, access, iova - offset, pages << PhysicalMemory.PAGE_LG2, length);
        context.reserve(queue);
        boolean isBuilt = false;
        try {
            access.attach(viommu.parent().ioas());
            long physical = access.pinContiguous(queue.first, queue.held);
            queue.isHeld = true;
            viommu.driver().startQueue(queue, index, physical + offset);
            queue.isStarted = true;
            isBuilt = true;
            return queue;
        } finally {
            if (!isBuilt) {
                context.abort(queue);
            }
        }
    }

    public Viommu viommu() {
        return viommu;
    }

    /** Bytes that were asked for. */
    public long length() {
        return length;
    }

    /** Another queue needs this one, which then cannot be destroyed. */
    public void depend() {
        addUser();
    }

    /** Takes back {@link #depend}. */
    public void undepend() {
        removeUser();
    }

    @Override
    void destroy() {
        if (isStarted) {
            viommu.driver().stopQueue(this);
        }
        if (isHeld) {
            access.unpin(first, held);
        }
        access.end();
        viommu.removeUser();
    }
}
