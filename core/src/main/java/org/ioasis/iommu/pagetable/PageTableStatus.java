// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** What became of a change of a page table. Anything but {@link #OK} has changed nothing. */
public enum PageTableStatus {
    OK,
    /** The addresses are not in order, or not this table's. (ERANGE) */
    RANGE,
    /** The range is no multiple of the smallest page, or leads beyond the output. (ENXIO) */
    MISFIT,
    /** The format has no page with these rights. (EINVAL) */
    RIGHTS,
    /** Some of the range is mapped. (EADDRINUSE) */
    OVERLAPS,
    /** The range begins inside a larger page, which would have to be split. (EINVAL) */
    SPLITS,
    /** The tables that it needs are more than there may be. (ENOMEM) */
    NO_MEMORY
}
