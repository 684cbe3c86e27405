// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

import org.ioasis.memory.Access;
import org.ioasis.memory.Ranges;

/**
 * The mappings of one domain. One thread (the machine's loop) changes it; any number of threads
 * look up meanwhile without a lock. Per address a lookup sees either nothing or one complete
 * mapping.
 *
 * <p>Ranges are inclusive, unsigned and may end at 2^64-1. The caller has checked order, alignment
 * and that the output range does not wrap.
 */
public abstract class MappingStore extends Translation {
    /** What became of a {@link #map}. Anything but DONE has changed nothing. */
    public enum MapResult {
        DONE,
        /** Some address of the range is mapped. */
        OVERLAPS,
        /** The limit of memory for mappings is reached. */
        NO_MEMORY
    }

    /** Answer of {@link #unmap}: the range cuts through a mapping. */
    public static final long SPLITS = -1;

    protected MappingStore() {
        super(Kind.MAPPED);
    }

    /** Number of mappings. Loop thread. */
    public abstract long size();

    /** Bytes of tables that hold them; 0 for a store without tables. Loop thread. */
    public abstract long tableBytes();

    /**
     * Sets the most that {@link #tableBytes} may come to: a {@link #map} that would need more has
     * {@link MapResult#NO_MEMORY}. What is there stays. Loop thread.
     */
    public abstract void limitTables(long bytes);

    /** True if an address of {@code first..last} is mapped. Loop thread. */
    public abstract boolean overlaps(long first, long last);

    /** Maps {@code first..last} to {@code output} and on. Loop thread. */
    public abstract MapResult map(long first, long last, long output, int flags);

    /**
     * Removes every mapping inside {@code first..last} and returns how many there were; {@link
     * #SPLITS}, and nothing changed, if a mapping lies only partly inside. Loop thread.
     */
    public abstract long unmap(long first, long last);

    /** True if {@link #unmap} would answer {@link #SPLITS}. Loop thread. */
    public abstract boolean splits(long first, long last);

    /**
     * Visits the mappings that lie inside {@code first..last} in order, neighbours with equal flags
     * and continuing output merged into one run, until the visitor has heard enough. Loop thread.
     */
    public abstract void runs(long first, long last, RunVisitor visitor);

    /**
     * Visits the mappings that touch {@code first..last} in order, one by one with their exact
     * borders, until the visitor has heard enough. Loop thread.
     */
    public abstract void mappings(long first, long last, RunVisitor visitor);

    /**
     * Visits the mapping that holds {@code iova} or else the nearest one, of two at the same
     * distance the lower, for explanations; false if there is none at all. Any thread, inside a
     * guarded section; what changes meanwhile may make the answer inexact.
     */
    public abstract boolean nearest(long iova, RunVisitor visitor);

    @Override
    public final String explain(String name, long iova, Access access) {
        String[] text = {name + " has no mapping at all"};
        boolean _ =
                nearest(
                        iova,
                        (first, last, output, flags) -> {
                            text[0] =
                                    Ranges.holds(first, last, iova)
                                            ? "%s maps 0x%x..0x%x without %s permission"
                                                    .formatted(name, first, last, access)
                                            : "not mapped in %s; nearest is 0x%x..0x%x"
                                                    .formatted(name, first, last);
                            return false;
                        });
        return text[0];
    }

    /**
     * Gives back all memory when no lookup can be in it any more. The domain has ended: nobody
     * finds this store now. Nothing else may be called afterwards. Loop thread.
     */
    public abstract void close();
}
