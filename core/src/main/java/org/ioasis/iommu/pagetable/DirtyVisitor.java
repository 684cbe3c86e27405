// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Is told of pages that were written. The thread that owns the table. */
@FunctionalInterface
public interface DirtyVisitor {
    /** One page, or the part of it that was asked for. */
    void dirty(long first, long last);
}
