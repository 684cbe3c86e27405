// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Software that reaches memory through an address space in the place of a device: it holds pages,
 * or copies. Its driver is a user of it until the end. Under its context's lock.
 */
public final class Access extends IommufdObject {
    /** What the software owes. */
    public interface User {
        /**
         * These IOVAs are about to be unmapped: before this returns it holds no page of them. On
         * the thread that unmaps, which holds the lock of the context: so it takes no lock that it
         * ever holds while it calls the access.
         *
         * @param length bytes; the range may end at the last IOVA
         */
        void unmap(long iova, long length);
    }

    private static final User NOBODY = (_, _) -> {};

    private final User user;
    private final boolean holdsPages;
    private final boolean isInternal;
    private @Nullable Ioas ioas;

    private Access(IommufdContext context, User user, boolean holdsPages, boolean isInternal) {
        super(context);
        this.user = user;
        this.holdsPages = holdsPages;
        this.isInternal = isInternal;
    }

    /** Makes one, live at once. */
    static Access create(IommufdContext context, User user, boolean holdsPages)
            throws IommufdException {
        context.allocate();
        Access access = new Access(context, user, holdsPages, false);
        context.reserve(access);
        access.addUser();
        context.finish(access);
        context.addReference();
        return access;
    }

    /** One of our own, which no program knows of and whose pages cannot be unmapped. */
    static Access internal(IommufdContext context) throws IommufdException {
        context.allocate();
        return new Access(context, NOBODY, true, true);
    }

    long alignment() {
        return holdsPages ? PhysicalMemory.PAGE : 1;
    }

    void unmapped(long iova, long length) {
        user.unmap(iova, length);
    }

    /** Reaches this address space from now on. */
    public void attach(Ioas to) throws IommufdException {
        synchronized (context()) {
            if (ioas != null) {
                throw new IommufdException(Errno.EINVAL, "the access has an address space");
            }
            change(to);
        }
    }

    /** Reaches another one. */
    public void replace(Ioas to) throws IommufdException {
        synchronized (context()) {
            if (ioas == null) {
                throw new IommufdException(Errno.ENOENT, "the access has no address space yet");
            }
            if (ioas != to) {
                change(to);
            }
        }
    }

    private void change(Ioas to) throws IommufdException {
        context().allocate();
        to.space().add(this);
        detach();
        ioas = to;
        to.addUser();
    }

    /** Reaches nothing; what it held it has been told to let go. */
    public void detach() {
        synchronized (context()) {
            Ioas from = ioas;
            if (from != null) {
                user.unmap(0, -1);
                from.space().remove(this);
                from.removeUser();
                ioas = null;
            }
        }
    }

    private Ioas space() throws IommufdException {
        if (ioas == null) {
            throw new IommufdException(Errno.ENOENT, "the access has no address space");
        }
        return ioas;
    }

    /**
     * Holds pages.
     *
     * @param iova a multiple of a page, as the length is
     * @param isWrite whether they will be written
     * @return their addresses as {@link IommufdContext} numbers held pages
     */
    public long[] pin(long iova, long length, boolean isWrite) throws IommufdException {
        synchronized (context()) {
            if (length == 0 || ((iova | length) & (PhysicalMemory.PAGE - 1)) != 0) {
                throw new IommufdException(Errno.EINVAL, "only whole pages are held");
            }
            long last = iova + length - 1;
            if (Long.compareUnsigned(last, iova) < 0) {
                throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
            }
            IoPageTable table = space().space();
            table.contiguous(iova, last, (area, from, to) -> check(area, from, to, isWrite));
            long pages = length >>> PhysicalMemory.PAGE_LG2;
            if (pages > Integer.MAX_VALUE / 16) {
                throw new IommufdException(Errno.ENOMEM, "too many pages for one call");
            }
            context().allocate();
            long[] addresses = new long[(int) pages];
            Pinning pinning = new Pinning(iova, isWrite, addresses);
            try {
                table.contiguous(iova, last, pinning);
            } catch (IommufdException e) {
                if (pinning.next != iova) {
                    unpin(iova, pinning.next - iova);
                }
                throw e;
            }
            return addresses;
        }
    }

    private static void check(Area area, long from, long to, boolean isWrite)
            throws IommufdException {
        long startByte = area.startByte() + (from - area.first);
        if (area.isLeaving
                || !area.pages.origin().mayBePinned()
                || (startByte & (PhysicalMemory.PAGE - 1)) != 0
                || ((to - from + 1) & (PhysicalMemory.PAGE - 1)) != 0) {
            throw new IommufdException(
                    Errno.EINVAL,
                    "the pages are being unmapped, are a device's, or do not begin with an IOVA's");
        }
        if (isWrite && !area.isWritable) {
            throw new IommufdException(Errno.EPERM, "the mapping is not writable");
        }
    }

    private final class Pinning implements IoPageTable.AreaVisitor {
        private final long iova;
        private final boolean isWrite;
        private final long[] addresses;
        private long next;

        Pinning(long iova, boolean isWrite, long[] addresses) {
            this.iova = iova;
            this.isWrite = isWrite;
            this.addresses = addresses;
            next = iova;
        }

        @Override
        public void visit(Area area, long from, long to) throws IommufdException {
            long first = area.pageOf(from);
            long last = area.pageOf(to);
            area.pages.hold(
                    first,
                    last,
                    isWrite,
                    context().batch(),
                    context().unused(),
                    context().failures());
            area.accesses++;
            if (isInternal) {
                area.locks++;
            }
            int at = (int) ((from - iova) >>> PhysicalMemory.PAGE_LG2);
            for (long page = first; page <= last; page++) {
                addresses[at++] = area.pages.address(page);
            }
            next = to + 1;
        }
    }

    /** Holds pages that lie side by side: where they begin. */
    long pinContiguous(long iova, long length) throws IommufdException {
        long[] addresses = pin(iova, length, false);
        for (int i = 1; i < addresses.length; i++) {
            if (addresses[i] != addresses[i - 1] + PhysicalMemory.PAGE) {
                unpin(iova, length);
                throw new IommufdException(
                        Errno.EFAULT, "the queue's pages do not lie side by side");
            }
        }
        return addresses[0];
    }

    /** Lets go of what one call of {@link #pin} held. */
    public void unpin(long iova, long length) {
        synchronized (context()) {
            try {
                space().space()
                        .contiguous(
                                iova,
                                iova + length - 1,
                                (area, from, to) -> {
                                    area.pages.unhold(
                                            area.pageOf(from), area.pageOf(to), context().unused());
                                    area.accesses--;
                                    if (isInternal) {
                                        area.locks--;
                                    }
                                });
            } catch (IommufdException e) {
                throw new IllegalStateException("pages that were not held are let go", e);
            }
        }
    }

    /** Copies from memory, or with {@code isWrite} to it. */
    public void copy(long iova, MemorySegment buffer, boolean isWrite) throws IommufdException {
        synchronized (context()) {
            long length = buffer.byteSize();
            if (length == 0) {
                throw new IommufdException(Errno.EINVAL, "nothing is asked for");
            }
            long last = iova + length - 1;
            if (Long.compareUnsigned(last, iova) < 0) {
                throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
            }
            space().space()
                    .contiguous(
                            iova,
                            last,
                            (area, from, to) -> copy(area, from, to, iova, buffer, isWrite));
        }
    }

    private void copy(
            Area area, long from, long to, long iova, MemorySegment buffer, boolean isWrite)
            throws IommufdException {
        if (isWrite && !area.isWritable) {
            throw new IommufdException(Errno.EPERM, "the mapping is not writable");
        }
        if (area.isLeaving || !area.pages.origin().mayBePinned()) {
            throw new IommufdException(
                    Errno.EINVAL, "the pages are being unmapped or are a device's");
        }
        for (long at = from; ; ) {
            long page = area.pageOf(at);
            long offset = (area.startByte() + (at - area.first)) & (PhysicalMemory.PAGE - 1);
            long end = area.lastIovaOf(page);
            long bytes = (Long.compareUnsigned(end, to) < 0 ? end : to) - at + 1;
            if (context().failures().fails()
                    || area.pages.copy(page, offset, buffer, at - iova, bytes, isWrite) != 0) {
                throw new IommufdException(
                        Errno.EFAULT, "no memory of the program is there any more");
            }
            at += bytes;
            if (at == to + 1) {
                return;
            }
        }
    }

    /** Its driver lets it go; it has kept the context open. */
    public void close() {
        synchronized (context()) {
            if (state() == State.LIVE) {
                removeUser();
                context().destroy(this);
                context().removeReference();
            }
        }
    }

    /** Ends one of our own. */
    void end() {
        detach();
    }

    @Override
    void destroy() {
        detach();
    }
}
