// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.mapping;

/**
 * The mappings of one domain. One thread (the machine's loop) changes it; any number of threads
 * look up meanwhile without a lock. Per address a lookup sees either nothing or one complete
 * mapping.
 *
 * <p>Ranges are inclusive, unsigned and may end at 2^64-1. The caller has checked order, alignment
 * and that the output range does not wrap.
 *
 * <p>A class and no interface: where one kind is loaded, the compiler then calls it without asking
 * which it is.
 */
public abstract class MappingStore {
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

    /** Answer of {@link #translate}: look closer. */
    public static final long UNCLEAR = -1;

    /**
     * The common case in one step: the output address of an access of {@code length >= 1} bytes
     * that needs the permissions {@code flags}, if all of it is permitted and lies where one look
     * can tell; else {@link #UNCLEAR}, and a {@link #lookup} says more. Any thread, inside a
     * guarded section.
     */
    public abstract long translate(long iova, long length, int flags);

    /**
     * Finds what {@code iova} is mapped to. False if to nothing. What is found may reach less far
     * than the mapping, but covers {@code length >= 1} bytes if a few steps can find so many. Any
     * thread, inside a guarded section.
     */
    public boolean lookup(long iova, long length, Extent found) {
        if (!lookup(iova, found)) {
            return false;
        }
        if (!found.reaches(iova, length)) {
            extend(iova, length, found);
        }
        return true;
    }

    /** As {@link #lookup(long, long, Extent)} for one byte. */
    public abstract boolean lookup(long iova, Extent found);

    /**
     * Makes what a lookup of {@code iova} has just found reach further, if a few steps can tell
     * that {@code length} bytes are mapped alike. In the section of the lookup.
     */
    public abstract void extend(long iova, long length, Extent found);

    /**
     * As {@link #lookup(long, Extent)}, for {@code iova} right after {@code found}, which was
     * filled in the same guarded section, or {@linkplain Extent#forget forgotten}. False, and
     * {@code found} untouched, says only that a lookup must tell.
     */
    public abstract boolean lookupNext(long iova, Extent found);

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

    /**
     * Gives back all memory when no lookup can be in it any more. The domain has ended: nobody
     * finds this store now. Nothing else may be called afterwards. Loop thread.
     */
    public abstract void close();
}
