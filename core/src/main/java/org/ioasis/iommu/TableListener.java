// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/**
 * A listener whose device can go by tables that drivers own: what walks them is elsewhere, and so
 * is the memory that they lie in. Loop thread.
 */
public interface TableListener extends DomainListener {
    /**
     * Said behind {@link #translation}, of kind WALKED: which table it is. Its addresses, and those
     * that it leads to, are the guest's.
     */
    void table(VtdTable table);

    /** What the table said of {@code first..last} is to be forgotten. Cannot be refused. */
    void invalidated(long first, long last);
}
