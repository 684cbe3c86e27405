// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import static org.ioasis.memory.Ranges.distance;
import static org.ioasis.memory.Ranges.isAtMost;
import static org.ioasis.memory.Ranges.isBelow;

import java.util.Map;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;

/**
 * Mappings in a sorted map of intervals: good for any granule down to one byte, and plain enough to
 * be the model that other stores are tested against. Cost grows with the logarithm of the mappings,
 * for changes and lookups alike; a lookup takes no lock but does allocate. Threads as {@link
 * MappingStore} says.
 */
public final class IntervalStore extends MappingStore {
    private record Mapping(long first, long last, long output, int flags) {
        boolean isContinuedBy(Mapping next) {
            return last + 1 == next.first
                    && next.first != 0
                    && output - first == next.output - next.first
                    && flags == next.flags;
        }
    }

    private final ConcurrentNavigableMap<Long, Mapping> byFirst =
            new ConcurrentSkipListMap<>(Long::compareUnsigned);

    // Beside the map, whose own size() is a walk.
    private long size;

    @Override
    public long size() {
        return size;
    }

    @Override
    public long tableBytes() {
        return 0;
    }

    @Override
    public void limitTables(long bytes) {
        // There are none: what it costs is bounded by the number of mappings.
    }

    @Override
    public boolean overlaps(long first, long last) {
        Map.Entry<Long, Mapping> below = byFirst.floorEntry(last);
        return below != null && isAtMost(first, below.getValue().last());
    }

    @Override
    public MapResult map(long first, long last, long output, int flags) {
        if (overlaps(first, last)) {
            return MapResult.OVERLAPS;
        }
        byFirst.put(first, new Mapping(first, last, output, flags));
        size++;
        return MapResult.DONE;
    }

    @Override
    public boolean splits(long first, long last) {
        return isCutAt(first, first) || isCutAt(last, last + 1);
    }

    /**
     * True if one mapping holds both {@code edge} and something before {@code start}, the border to
     * be cut at.
     */
    private boolean isCutAt(long edge, long start) {
        Map.Entry<Long, Mapping> entry = byFirst.floorEntry(edge);
        if (entry == null) {
            return false;
        }
        Mapping mapping = entry.getValue();
        if (start == edge) { // lower border: begins before it and reaches it
            return mapping.first() != edge && isAtMost(edge, mapping.last());
        }
        return isBelow(edge, mapping.last()); // upper border: reaches past it
    }

    @Override
    public long unmap(long first, long last) {
        if (splits(first, last)) {
            return SPLITS;
        }
        ConcurrentNavigableMap<Long, Mapping> inside = byFirst.subMap(first, true, last, true);
        long removed = 0;
        while (inside.pollFirstEntry() != null) {
            removed++;
        }
        size -= removed;
        return removed;
    }

    @Override
    public long translate(long iova, long length, int flags) {
        return UNCLEAR;
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        Map.Entry<Long, Mapping> below = byFirst.floorEntry(iova);
        if (below == null || isBelow(below.getValue().last(), iova)) {
            return false;
        }
        Mapping mapping = below.getValue();
        found.set(mapping.last(), mapping.output() - mapping.first(), mapping.flags());
        return true;
    }

    @Override
    public void runs(long first, long last, RunVisitor visitor) {
        Mapping run = null;
        for (Mapping mapping : byFirst.subMap(first, true, last, true).values()) {
            if (isBelow(last, mapping.last())) {
                break;
            }
            if (run != null && run.isContinuedBy(mapping)) {
                run = new Mapping(run.first(), mapping.last(), run.output(), run.flags());
            } else {
                if (run != null
                        && !visitor.run(run.first(), run.last(), run.output(), run.flags())) {
                    return;
                }
                run = mapping;
            }
        }
        if (run != null) {
            boolean _ = visitor.run(run.first(), run.last(), run.output(), run.flags());
        }
    }

    @Override
    public void mappings(long first, long last, RunVisitor visitor) {
        Long start = byFirst.floorKey(first);
        for (Mapping mapping :
                byFirst.subMap(start == null ? first : start, true, last, true).values()) {
            if (isAtMost(first, mapping.last())
                    && !visitor.run(
                            mapping.first(), mapping.last(), mapping.output(), mapping.flags())) {
                return;
            }
        }
    }

    @Override
    public boolean nearest(long iova, RunVisitor visitor) {
        Map.Entry<Long, Mapping> below = byFirst.floorEntry(iova);
        Map.Entry<Long, Mapping> above = byFirst.higherEntry(iova);
        Mapping nearest;
        if (below == null && above == null) {
            return false;
        } else if (below == null) {
            nearest = above.getValue();
        } else if (above == null || isNearer(below.getValue(), above.getValue(), iova)) {
            nearest = below.getValue();
        } else {
            nearest = above.getValue();
        }
        boolean _ = visitor.run(nearest.first(), nearest.last(), nearest.output(), nearest.flags());
        return true;
    }

    private static boolean isNearer(Mapping below, Mapping above, long iova) {
        return isAtMost(
                distance(below.first(), below.last(), iova),
                distance(above.first(), above.last(), iova));
    }

    @Override
    public void close() {
        // The collector takes the map when the last lookup has left it; until then it stays whole.
    }
}
