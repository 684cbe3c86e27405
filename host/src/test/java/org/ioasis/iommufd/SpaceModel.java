// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;

/**
 * What an address space must do, in the plainest way: lists that are searched from one end. Every
 * answer is worked out here before the call is made. IOVAs of tests are small and positive, so that
 * nothing here is unsigned. One thread.
 */
final class SpaceModel {
    static final long GRANULE = IommufdTest.PAGE_SIZE;
    private static final long HUGE = 1L << 21;

    /** One mapping of the program's memory and all its copies; the pages are held once. */
    static final class Source {
        private final long address;
        private final boolean isWritable;

        /** Past this nothing is there. */
        private final long end;

        Source(long address, boolean isWritable, long end) {
            this.address = address;
            this.isWritable = isWritable;
            this.end = end;
        }

        /** Where it begins in memory that begins at an address. */
        long addressIn(long memory) {
            return address - memory;
        }
    }

    record Area(Source source, long startByte, long first, long last, int flags) {
        long page(long iova) {
            return (startByte + iova - first) / PAGE;
        }
    }

    /**
     * @param number of the call that holds it, which held all of {@code first..last}
     */
    record Pin(
            Source source,
            long firstPage,
            long lastPage,
            long first,
            long last,
            int access,
            int number) {}

    private record Hole(long first, long last) {}

    final TreeMap<Long, Area> areas = new TreeMap<>();
    final List<Pin> pins = new ArrayList<>();
    private final List<Hole> allowed = new ArrayList<>();

    /** Page tables: the one that devices without one of their own share counts once. */
    int domains;

    private int pinCalls;

    /** Accesses that may hold pages. */
    int pinning;

    long alignment() {
        return pinning > 0 ? PAGE : domains > 0 ? GRANULE : 1;
    }

    private boolean isReserved(long first, long last) {
        return domains > 0
                && (first < IommufdTest.APERTURE_START || last > IommufdTest.APERTURE_LAST);
    }

    private boolean isMapped(long first, long last) {
        return areas.values().stream().anyMatch(a -> a.first() <= last && a.last() >= first);
    }

    /** 0, or why an IOVA that the caller chose is refused. */
    private long fixed(long iova, long length) {
        if (iova % alignment() != 0) {
            return error(Errno.EINVAL);
        }
        if (isReserved(iova, iova + length - 1)) {
            return error(Errno.EINVAL);
        }
        return isMapped(iova, iova + length - 1) ? error(Errno.EEXIST) : 0;
    }

    /** The lowest IOVA that is free, from the rules word for word. */
    private long automatic(long address, long length) {
        long align = Long.highestOneBit(length);
        align = align < length ? align * 2 : align;
        align = Math.min(Math.min(align, Long.lowestOneBit(address)), HUGE);
        if (align < alignment()) {
            return error(Errno.EINVAL);
        }
        long offset = address % PAGE;
        List<Hole> spans =
                allowed.isEmpty() ? List.of(new Hole(PAGE, Long.MAX_VALUE)) : sorted(allowed);
        for (Hole span : spans) {
            long at = Math.max(span.first(), PAGE);
            while (at <= span.last()) {
                if (blockedUntil(at) > 0) {
                    at = blockedUntil(at);
                    continue;
                }
                long last = Math.min(span.last(), nextBlock(at) - 1);
                long candidate = (at + align - 1) / align * align | offset;
                if (candidate <= last && last - candidate >= length - 1) {
                    return candidate;
                }
                at = last + 1;
            }
        }
        return error(Errno.ENOSPC);
    }

    private static List<Hole> sorted(List<Hole> holes) {
        return holes.stream().sorted((a, b) -> Long.compareUnsigned(a.first(), b.first())).toList();
    }

    /** Behind what stands at an IOVA; 0: nothing does. */
    private long blockedUntil(long at) {
        if (isReserved(at, at)) {
            return at < IommufdTest.APERTURE_START ? IommufdTest.APERTURE_START : Long.MAX_VALUE;
        }
        Map.Entry<Long, Area> entry = areas.floorEntry(at);
        return entry == null || entry.getValue().last() < at ? 0 : entry.getValue().last() + 1;
    }

    /** Where something stands next, behind an IOVA that is free. */
    private long nextBlock(long at) {
        Long area = areas.higherKey(at);
        long reserved = domains > 0 ? IommufdTest.APERTURE_LAST + 1 : Long.MAX_VALUE;
        return area == null ? reserved : Math.min(area, reserved);
    }

    private boolean fitsPieces(long iova, long length, long startByte) {
        long align = alignment();
        return iova % align == 0 && length % align == 0 && startByte % PAGE % align == 0;
    }

    /** What MAP answers: the IOVA, or the negative errno. {@code iova} is -1 for any. */
    long map(Source source, long offset, long length, long iova, int flags) {
        long found = iova < 0 ? automatic(source.address + offset, length) : fixed(iova, length);
        if (found < 0) {
            return found;
        }
        long at = iova < 0 ? found : iova;
        if (!fitsPieces(at, length, offset)) {
            return error(Errno.EINVAL);
        }
        // Without a page table nobody looks whether the memory is there.
        if (domains > 0 && offset + length > source.end) {
            return error(Errno.EFAULT);
        }
        areas.put(at, new Area(source, offset, at, at + length - 1, flags));
        return at;
    }

    /** What COPY from {@code from} answers: 0 or the negative errno. */
    long copy(SpaceModel from, long sourceIova, long length, long iova, int flags) {
        List<Area> pieces = from.contiguous(sourceIova, length);
        if (pieces.isEmpty()) {
            return error(Errno.ENOENT);
        }
        long refused = fixed(iova, length);
        if (refused != 0) {
            return refused;
        }
        boolean isWrite = (flags & Iommufd.MAP_WRITEABLE) != 0;
        for (Area piece : pieces) {
            if (isWrite && !piece.source().isWritable) {
                return error(Errno.EPERM);
            }
            if (!fitsPieces(iova, piece.last() - piece.first() + 1, piece.startByte())) {
                return error(Errno.EINVAL);
            }
        }
        for (Area piece : pieces) {
            if (domains > 0
                    && piece.startByte() + piece.last() - piece.first() + 1 > piece.source().end) {
                return error(Errno.EFAULT);
            }
        }
        long at = iova;
        for (Area piece : pieces) {
            long last = at + piece.last() - piece.first();
            areas.put(at, new Area(piece.source(), piece.startByte(), at, last, flags));
            at = last + 1;
        }
        return 0;
    }

    /** The parts of areas that hold a range whole; none: it is not mapped whole. */
    List<Area> contiguous(long iova, long length) {
        List<Area> pieces = new ArrayList<>();
        for (long at = iova; at < iova + length; ) {
            Map.Entry<Long, Area> entry = areas.floorEntry(at);
            if (entry == null || entry.getValue().last() < at) {
                return List.of();
            }
            Area area = entry.getValue();
            long last = Math.min(area.last(), iova + length - 1);
            pieces.add(
                    new Area(
                            area.source(),
                            area.startByte() + at - area.first(),
                            at,
                            last,
                            area.flags()));
            at = last + 1;
        }
        return pieces;
    }

    /** What UNMAP answers: bytes, or the negative errno; what lay before a refusal is gone. */
    long unmap(long iova, long last) {
        long bytes = 0;
        for (Area area : List.copyOf(areas.values())) {
            if (area.last() < iova || area.first() > last) {
                continue;
            }
            if (area.first() < iova || area.last() > last) {
                return error(Errno.ENOENT);
            }
            bytes += area.last() - area.first() + 1;
            // An access lets go of all that touches it.
            pins.removeIf(pin -> pin.first() <= area.last() && pin.last() >= area.first());
            areas.remove(area.first());
        }
        return bytes == 0 ? error(Errno.ENOENT) : bytes;
    }

    /** What one more page table answers: 0 or the negative errno. */
    long addDomain() {
        long needed = Math.max(alignment(), GRANULE);
        if (needed > alignment() && !isAligned(needed)) {
            return error(Errno.EADDRINUSE);
        }
        long first = IommufdTest.APERTURE_START;
        long last = IommufdTest.APERTURE_LAST;
        boolean isOutside =
                areas.values().stream().anyMatch(a -> a.first() < first || a.last() > last)
                        || allowed.stream().anyMatch(h -> h.first() < first || h.last() > last);
        if (isOutside) {
            return error(Errno.EADDRINUSE);
        }
        for (Area area : areas.values()) {
            if (area.startByte() + area.last() - area.first() + 1 > area.source().end) {
                return error(Errno.EFAULT);
            }
        }
        domains++;
        return 0;
    }

    private boolean isAligned(long needed) {
        return areas.values().stream()
                .allMatch(a ->
                        a.first() % needed == 0
                                && (a.last() + 1) % needed == 0
                                && a.startByte() % PAGE % needed == 0);
    }

    /** What one more access that holds pages answers. */
    long addPinning() {
        if (PAGE > alignment() && !isAligned(PAGE)) {
            return error(Errno.EADDRINUSE);
        }
        pinning++;
        return 0;
    }

    /** What an access is answered that wants to hold a range: 0 or the negative errno. */
    long pin(int access, long iova, long length, boolean isWrite) {
        List<Area> pieces = contiguous(iova, length);
        if (pieces.isEmpty()) {
            return error(Errno.ENOENT);
        }
        for (Area piece : pieces) {
            if (piece.startByte() % PAGE != 0 || (piece.last() - piece.first() + 1) % PAGE != 0) {
                return error(Errno.EINVAL);
            }
            if (isWrite && (piece.flags() & Iommufd.MAP_WRITEABLE) == 0) {
                return error(Errno.EPERM);
            }
        }
        for (Area piece : pieces) {
            if (piece.startByte() + piece.last() - piece.first() + 1 > piece.source().end) {
                return error(Errno.EFAULT);
            }
        }
        pinCalls++;
        for (Area piece : pieces) {
            pins.add(
                    new Pin(
                            piece.source(),
                            piece.startByte() / PAGE,
                            (piece.startByte() + piece.last() - piece.first()) / PAGE,
                            iova,
                            iova + length - 1,
                            access,
                            pinCalls));
        }
        return 0;
    }

    /** What ALLOW_IOVAS answers to a list of pairs. */
    long allow(long... bounds) {
        for (int i = 0; i < bounds.length; i += 2) {
            if (bounds[i] >= bounds[i + 1]) {
                return error(Errno.EINVAL);
            }
            for (int j = 0; j < i; j += 2) {
                if (bounds[j] <= bounds[i + 1] && bounds[j + 1] >= bounds[i]) {
                    return error(Errno.EINVAL);
                }
            }
        }
        for (int i = 0; i < bounds.length; i += 2) {
            if (isReserved(bounds[i], bounds[i + 1])) {
                return error(Errno.EADDRINUSE);
            }
        }
        allowed.clear();
        for (int i = 0; i < bounds.length; i += 2) {
            allowed.add(new Hole(bounds[i], bounds[i + 1]));
        }
        return 0;
    }

    /** Adds which pages of which source are held, whoever needs them. */
    void held(Map<Source, Set<Long>> into) {
        if (domains > 0) {
            for (Area area : areas.values()) {
                addAll(into, area.source(), area.page(area.first()), area.page(area.last()));
            }
        }
        for (Pin pin : pins) {
            addAll(into, pin.source(), pin.firstPage(), pin.lastPage());
        }
    }

    private static void addAll(Map<Source, Set<Long>> into, Source source, long first, long last) {
        Set<Long> pages = into.computeIfAbsent(source, _ -> new HashSet<>());
        for (long page = first; page <= last; page++) {
            pages.add(page);
        }
    }
}
