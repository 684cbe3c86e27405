// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Is shown the pages of a table, in order. The thread that owns the table. */
@FunctionalInterface
public interface LeafVisitor {
    /**
     * One page.
     *
     * @param level of the table that it is in
     * @param entry its first entry
     * @return whether to go on
     */
    boolean leaf(long iova, int sizeLg2, long output, int level, long entry);
}
