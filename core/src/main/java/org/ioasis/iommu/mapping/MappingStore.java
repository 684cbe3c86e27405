package org.ioasis.iommu.mapping;

/**
 * The mappings of one domain. One thread (the machine's loop) changes it; any number of threads
 * look up meanwhile without a lock. Per address a lookup sees either nothing or one complete
 * mapping.
 *
 * <p>Ranges are inclusive, unsigned and may end at 2^64-1. The caller has checked order, alignment
 * and that the output range does not wrap.
 */
public interface MappingStore {
    /** Answer of {@link #unmap}: the range cuts through a mapping. */
    long SPLITS = -1;

    /** Number of mappings. Loop thread. */
    long size();

    /** True if an address of {@code first..last} is mapped. Loop thread. */
    boolean overlaps(long first, long last);

    /**
     * Maps {@code first..last} to {@code output} and on. False, and nothing changed, if some
     * address is mapped.
     */
    boolean map(long first, long last, long output, int flags);

    /**
     * Removes every mapping inside {@code first..last} and returns how many there were; {@link
     * #SPLITS}, and nothing changed, if a mapping lies only partly inside.
     */
    long unmap(long first, long last);

    /** True if {@link #unmap} would answer {@link #SPLITS}. Loop thread. */
    boolean splits(long first, long last);

    /**
     * Finds what {@code iova} is mapped to. False if to nothing. Any thread, inside a guarded
     * section.
     */
    boolean lookup(long iova, Extent found);

    /**
     * Visits the mappings inside {@code first..last} in order, neighbours with equal flags and
     * continuing output merged into one run. Loop thread.
     */
    void runs(long first, long last, RunVisitor visitor);

    /**
     * Visits the mappings that touch {@code first..last} one by one with their exact borders. Loop
     * thread.
     */
    void mappings(long first, long last, RunVisitor visitor);

    /**
     * Visits the mapping that holds {@code iova} or is nearest to it, for explanations; false if
     * there is none at all. Any thread, inside a guarded section.
     */
    boolean nearest(long iova, RunVisitor visitor);
}
