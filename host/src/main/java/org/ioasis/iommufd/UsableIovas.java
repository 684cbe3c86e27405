// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.host.IntervalTree;
import org.ioasis.memory.Ranges;

/**
 * Where something may be mapped in one address space: nowhere that an owner has reserved, and, if
 * the program has promised to keep to some ranges (allowed), in those. Under its context's lock.
 */
final class UsableIovas {
    private static final long NOWHERE = -1;

    private final IommufdContext context;
    private IntervalTree<IovaRange> allowed = new IntervalTree<>();
    private final IntervalTree<Object> reserved = new IntervalTree<>();
    private final IntervalTree.Gap gap = new IntervalTree.Gap();

    UsableIovas(IommufdContext context) {
        this.context = context;
    }

    /** Nothing is mapped here; intervals of owners may overlap. */
    void reserve(long first, long last, Object owner) throws IommufdException {
        if (allowed.overlaps(first, last)) {
            throw new IommufdException(
                    Errno.EADDRINUSE,
                    "reserved IOVAs 0x%x..0x%x are among those the program was allowed"
                            .formatted(first, last));
        }
        reserved.insert(first, last, owner);
    }

    /** Takes back all that an owner has reserved. */
    void unreserve(Object owner) {
        List<Long> firsts = new ArrayList<>();
        reserved.forEach(node -> {
            if (reserved.value(node).equals(owner)) {
                firsts.add(reserved.first(node));
            }
        });
        for (long first : firsts) {
            reserved.remove(first, owner);
        }
    }

    /** Whether some of a range is reserved. */
    boolean isReserved(long first, long last) {
        return reserved.overlaps(first, last);
    }

    /** The holes between reserved IOVAs, over all numbers. */
    List<IovaRange> holes() {
        List<IovaRange> holes = new ArrayList<>();
        long at = 0;
        while (true) {
            int node = reserved.overlapping(at, -1);
            if (node == IntervalTree.NONE) {
                holes.add(new IovaRange(at, -1));
                return holes;
            }
            if (Long.compareUnsigned(reserved.first(node), at) > 0) {
                holes.add(new IovaRange(at, reserved.first(node) - 1));
            }
            at = reserved.last(node) + 1;
            if (at == 0) {
                return holes;
            }
        }
    }

    /** Replaces the whole list; empty: no restriction. */
    void allow(List<IovaRange> ranges) throws IommufdException {
        IntervalTree<IovaRange> fresh = new IntervalTree<>();
        for (IovaRange range : ranges) {
            if (Long.compareUnsigned(range.first(), range.last()) >= 0) {
                throw new IommufdException(
                        Errno.EINVAL,
                        "an allowed range must begin below its last IOVA: 0x%x..0x%x"
                                .formatted(range.first(), range.last()));
            }
            if (fresh.overlaps(range.first(), range.last())) {
                throw new IommufdException(Errno.EINVAL, "allowed ranges overlap each other");
            }
            context.allocate();
            fresh.insert(range.first(), range.last(), range);
        }
        for (IovaRange range : ranges) {
            if (reserved.overlaps(range.first(), range.last())) {
                throw new IommufdException(
                        Errno.EADDRINUSE,
                        "allowed IOVAs 0x%x..0x%x reach into reserved ones"
                                .formatted(range.first(), range.last()));
            }
        }
        allowed = fresh;
    }

    /**
     * The lowest IOVA with room, between the first page and the last.
     *
     * @param areas what is mapped
     * @param align a power of two
     * @param pageOffset where in its page it begins
     * @throws IommufdException ENOSPC: there is no such room
     */
    long room(IntervalTree<Area> areas, long length, long align, long pageOffset)
            throws IommufdException {
        long lowest = PhysicalMemory.PAGE;
        long highest = -1 - PhysicalMemory.PAGE;
        long found = NOWHERE;
        if (allowed.isEmpty()) {
            found = room(areas, lowest, highest, length, align, pageOffset);
        } else {
            for (long at = lowest; found == NOWHERE; ) {
                int node = allowed.overlapping(at, highest);
                if (node == IntervalTree.NONE) {
                    break;
                }
                found =
                        room(
                                areas,
                                Ranges.max(at, allowed.first(node)),
                                Ranges.min(highest, allowed.last(node)),
                                length,
                                align,
                                pageOffset);
                at = allowed.last(node) + 1;
                if (at == 0) {
                    break;
                }
            }
        }
        if (found == NOWHERE) {
            throw new IommufdException(Errno.ENOSPC, "no free IOVAs are left for this length");
        }
        return found;
    }

    /** The lowest IOVA in a span that is free. */
    private long room(
            IntervalTree<Area> areas,
            long first,
            long last,
            long length,
            long align,
            long pageOffset) {
        long at = first;
        while (Long.compareUnsigned(at, last) <= 0) {
            boolean isThere = areas.gap(at, length, gap);
            long start = gap.first();
            if (!isThere || Long.compareUnsigned(start, last) > 0) {
                return NOWHERE;
            }
            long gapLast = Ranges.min(gap.last(), last);
            while (true) {
                long candidate = ((start + align - 1) & -align) | pageOffset;
                if (Long.compareUnsigned(candidate, start) < 0) {
                    return NOWHERE;
                }
                if (Long.compareUnsigned(candidate, gapLast) > 0
                        || Long.compareUnsigned(gapLast - candidate, length - 1) < 0) {
                    break;
                }
                int node = reserved.overlapping(candidate, candidate + length - 1);
                if (node == IntervalTree.NONE) {
                    return candidate;
                }
                start = reserved.last(node) + 1;
                if (start == 0) {
                    return NOWHERE;
                }
            }
            at = gapLast + 1;
            if (at == 0) {
                return NOWHERE;
            }
        }
        return NOWHERE;
    }
}
