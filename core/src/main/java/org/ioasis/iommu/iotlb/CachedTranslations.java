// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

/**
 * What an IOMMU has kept of walks, taken away by scope as commands of IOMMUs ask for it. When a
 * call returns nothing of its scope is found any more; who has found it before may still be in it.
 * Each says how many entries went. Allocates nothing; any thread, one at a time.
 *
 * <p>A <em>domain</em> is what a second stage is tagged with (VMID, DID, DomainID). A
 * <em>space</em> is one first stage of it (ASID or PASID); entries of a first stage that are global
 * belong to all spaces of their domain. Ranges are inclusive and unsigned.
 */
public interface CachedTranslations {
    /**
     * What the calling thread takes away from here to {@link #end}, which it always calls, is taken
     * away together, at the price of one fence: all of it is about tables that were changed before.
     *
     * @throws IllegalStateException it has begun already
     */
    void begin();

    /**
     * The end of what {@link #begin} began.
     *
     * @throws IllegalStateException this thread has begun nothing
     */
    void end();

    /** All there is. */
    long all();

    /** All of a domain, whatever its space. */
    long domain(int domain);

    /** All of a domain that a first stage is part of. */
    long firstStage(int domain);

    /** All of a space; what is global stays. */
    long space(int domain, int space);

    /**
     * What leads from a range in a space, and what is global there.
     *
     * @param leafLg2 only pages of this size; 0: of any
     */
    long range(int domain, int space, long first, long last, int leafLg2);

    /** The same in every space of a domain. */
    long everySpace(int domain, long first, long last, int leafLg2);
}
