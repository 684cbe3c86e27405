// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.vfio.tracker.PinTracker;
import org.jspecify.annotations.Nullable;

/**
 * A mediated device's way into a container: it pins what it needs while it needs it, or copies. Any
 * thread; each call takes the lock of its container.
 */
public final class MediatedDevice {
    /** What it owes. */
    public interface User {
        /**
         * These IOVAs are about to be unmapped: before this returns, it has unpinned what it has
         * pinned of them. On the thread that unmaps, which holds the lock of the container: so it
         * takes no lock that it ever holds while it pins, copies or unpins.
         *
         * @param length bytes; the range may end at the last IOVA
         */
        void unmap(long iova, long length);
    }

    private final Type1 container;
    private final Type1.Attached group;
    private final @Nullable User user;

    MediatedDevice(Type1 container, Type1.Attached group, @Nullable User user) {
        this.container = container;
        this.group = group;
        this.user = user;
    }

    boolean hasUser() {
        return user != null;
    }

    void unmapped(long iova, long length) {
        if (user != null) {
            user.unmap(iova, length);
        }
    }

    /**
     * Pins pages, each as often as it is asked for; all of them or none.
     *
     * @param iova of a page
     * @param addresses where their addresses go, as page tables have them: one for each page
     * @throws IommufdException EACCES: version 1; EINVAL: nobody owes to let go, or something is
     *     not mapped; EPERM: not mapped for this; EBUSY: an address is void
     */
    public void pin(long iova, boolean isRead, boolean isWrite, long[] addresses)
            throws IommufdException {
        synchronized (container.context()) {
            if (!container.isVersion2()) {
                throw new IommufdException(Errno.EACCES, "version 1 has no pins");
            }
            if ((iova & (PinTracker.PAGE - 1)) != 0) {
                throw new IommufdException(Errno.EINVAL, "only whole pages are pinned");
            }
            if (addresses.length > pagesFrom(iova)) {
                throw new IommufdException(Errno.EINVAL, "the range goes past the last IOVA");
            }
            container.requireAddresses();
            if (!container.hasUsers()) {
                throw new IommufdException(
                        Errno.EINVAL, "nobody would let go when memory is unmapped");
            }
            int done = 0;
            try {
                for (; done < addresses.length; done++) {
                    addresses[done] = pin(iova + done * PinTracker.PAGE, isRead, isWrite);
                }
            } catch (IommufdException e) {
                unpin(iova, done);
                throw e;
            }
            Type1.narrow(group);
        }
    }

    /** Pages from an IOVA to the last one, at least one. */
    private static long pagesFrom(long iova) {
        return Long.divideUnsigned(-1 - iova, PinTracker.PAGE) + 1;
    }

    private long pin(long iova, boolean isRead, boolean isWrite) throws IommufdException {
        Mapping mapping = container.mapping(iova);
        if ((isRead && !mapping.isReadable) || (isWrite && !mapping.isWritable)) {
            throw new IommufdException(Errno.EPERM, "it is not mapped for this");
        }
        long page = mapping.page(iova);
        if (!mapping.pins.retain(page)) {
            // As the mapping says: another pin of the page may be for writing.
            mapping.pins.add(page, container.hold(iova, mapping.isWritable));
        }
        DirtyPages dirty = mapping.dirty;
        if (dirty != null) {
            dirty.mark(page, page);
        }
        return mapping.pins.address(page);
    }

    /**
     * Takes back one pin of each page, up to one that is not pinned, or the last IOVA.
     *
     * @return how many
     */
    public int unpin(long iova, int pages) {
        synchronized (container.context()) {
            int there = (int) Math.min(pages, pagesFrom(iova));
            for (int done = 0; done < there; done++) {
                long at = iova + done * PinTracker.PAGE;
                Mapping mapping = container.mappingOrNull(at);
                int left = mapping == null ? -1 : mapping.pins.release(mapping.page(at));
                if (left < 0) {
                    return done;
                }
                if (left == 0) {
                    container.letGo(at);
                }
            }
            return there;
        }
    }

    /**
     * Copies from memory, or with {@code isWrite} to it; all is looked at before any is copied.
     *
     * @throws IommufdException EINVAL: something is not mapped; EPERM: not for this; EBUSY: an
     *     address is void; EFAULT: the memory is not there any more, and some may be copied
     */
    public void copy(long iova, MemorySegment buffer, boolean isWrite) throws IommufdException {
        synchronized (container.context()) {
            container.requireAddresses();
            long length = buffer.byteSize();
            if (length == 0) {
                return;
            }
            long last = iova + length - 1;
            if (Long.compareUnsigned(last, iova) < 0) {
                throw new IommufdException(Errno.EINVAL, "the range goes past the last IOVA");
            }
            for (long at = iova; ; ) {
                Mapping mapping = container.mapping(at);
                if (isWrite ? !mapping.isWritable : !mapping.isReadable) {
                    throw new IommufdException(Errno.EPERM, "it is not mapped for this");
                }
                at = mapping.last + 1;
                if (at == 0 || Long.compareUnsigned(at, last) > 0) {
                    break;
                }
            }
            container.copy(iova, buffer, isWrite);
            if (isWrite) {
                mark(iova, last);
            }
        }
    }

    private void mark(long iova, long last) throws IommufdException {
        for (long at = iova; ; ) {
            Mapping mapping = container.mapping(at);
            long end = Long.compareUnsigned(mapping.last, last) < 0 ? mapping.last : last;
            DirtyPages dirty = mapping.dirty;
            if (dirty != null) {
                dirty.mark(mapping.page(at), mapping.page(end));
            }
            if (end == last) {
                return;
            }
            at = end + 1;
        }
    }

    /** It is closed: it holds nothing any more. */
    public void close() {
        synchronized (container.context()) {
            container.close(this);
        }
    }
}
