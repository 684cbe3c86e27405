// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import org.ioasis.host.IntervalTree;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.vfio.tracker.PinTracker;

/**
 * What a container tells of written pages: from when a program asks until it does no more, each
 * mapping has a bitmap. Under its container's lock.
 */
final class DirtyTracking {
    /** Bytes of all bitmaps of a container: those of 8 TiB. */
    static final long BYTES_MAX = DirtyPages.BITS_MAX / Byte.SIZE;

    private final IommufdContext context;
    private final IntervalTree<Mapping> mappings;
    private long bytes;
    private boolean isOn;

    /**
     * @param mappings the container's
     */
    DirtyTracking(IommufdContext context, IntervalTree<Mapping> mappings) {
        this.context = context;
        this.mappings = mappings;
    }

    /** Whether somebody wants to know. */
    boolean isOn() {
        return isOn;
    }

    /** Bytes of bitmaps. */
    long bytes() {
        return bytes;
    }

    /**
     * @throws IommufdException EINVAL: nobody wants to know
     */
    void requireOn() throws IommufdException {
        if (!isOn) {
            throw new IommufdException(Errno.EINVAL, "nobody has asked to tell what is written");
        }
    }

    /**
     * Starts telling, or goes on.
     *
     * @throws IommufdException as {@link #add}; nothing is told
     */
    void start() throws IommufdException {
        if (isOn) {
            return;
        }
        isOn = true;
        try {
            for (Mapping mapping : mappings.values(0, -1)) {
                add(mapping);
            }
        } catch (IommufdException e) {
            stop();
            throw e;
        }
    }

    /** Ends it. */
    void stop() {
        isOn = false;
        bytes = 0;
        mappings.forEach(range -> mappings.value(range).dirty = null);
    }

    /**
     * Tells of one more mapping, if anybody wants to know; what is pinned of it counts as written.
     *
     * @throws IommufdException EINVAL: it is longer than a bitmap; ENOMEM: the bitmaps are as long
     *     as they may be
     */
    void add(Mapping mapping) throws IommufdException {
        if (!isOn) {
            return;
        }
        if (mapping.pages() > DirtyPages.BITS_MAX) {
            throw new IommufdException(
                    Errno.EINVAL, "the mapping has more pages than a bitmap has bits");
        }
        long more = DirtyPages.bytes(mapping.pages());
        if (more > BYTES_MAX - bytes) {
            throw new IommufdException(Errno.ENOMEM, "the container has as long bitmaps as it may");
        }
        context.allocate();
        bytes += more;
        mapping.dirty = new DirtyPages(mapping.pages());
        mapping.dirty.restart(mapping.pins);
    }

    /** A mapping goes. */
    void remove(Mapping mapping) {
        if (mapping.dirty != null) {
            bytes -= DirtyPages.bytes(mapping.pages());
            mapping.dirty = null;
        }
    }

    /** Any page may have been written. */
    void markAll() {
        mappings.forEach(range -> {
            DirtyPages pages = mappings.value(range).dirty;
            if (pages != null) {
                pages.markAll();
            }
        });
    }

    /**
     * Tells a program of one mapping.
     *
     * @param iova of the bitmap's first bit
     * @param isAll any page of it may have been written
     * @return what was told, to begin anew
     */
    DirtyPages tell(Mapping mapping, long iova, boolean isAll, Bitmap into)
            throws IommufdException {
        DirtyPages pages = mapping.dirty;
        if (pages == null) {
            throw new IllegalStateException("0x%x is not tracked".formatted(mapping.first));
        }
        if (isAll) {
            pages.markAll();
        }
        pages.tell(into, (mapping.first - iova) / PinTracker.PAGE);
        return pages;
    }
}
