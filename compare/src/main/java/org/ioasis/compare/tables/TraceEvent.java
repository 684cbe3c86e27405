// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

/**
 * What QEMU's IOMMU says that it does, in the order in which it does it. A device is its requester
 * id or stream id; a domain is what its entries in the cache are marked with. Immutable.
 */
sealed interface TraceEvent {
    /** In the place of a device or a domain. */
    int UNTOLD = -1;

    /**
     * An access of a device was translated.
     *
     * @param output where {@code iova} leads to; AMD's tells where its page begins
     * @param pageLg2 size of the page; 0 if it is not told
     * @param rights what is allowed there, bits of {@link org.ioasis.iommu.pagetable.Rights}; 0 if
     *     it is not told
     */
    record Translated(int device, long iova, long output, int pageLg2, int rights)
            implements TraceEvent {}

    /**
     * A translation was found by a walk and is cached from now on.
     *
     * @param device or {@link #UNTOLD}: that of the next translation
     * @param pageLg2 as above
     * @param rights as above
     */
    record Filled(int device, int domain, long iova, int pageLg2, int rights)
            implements TraceEvent {}

    /**
     * A translation was found in the cache.
     *
     * @param device or {@link #UNTOLD}: that of the next translation
     * @param domain or {@link #UNTOLD}
     */
    record Found(int device, int domain, long iova) implements TraceEvent {}

    /** A command of the driver's, as it stands in the queue. */
    record Command(long low, long high) implements TraceEvent {}

    /**
     * QEMU says what a command took out of its cache.
     *
     * @param domain or {@link #UNTOLD}: all of them
     */
    record Dropped(int domain, long first, long last) implements TraceEvent {}

    /** An access was refused, or a command was: nothing that a run of Linux should show. */
    record Trouble(String line) implements TraceEvent {}
}
