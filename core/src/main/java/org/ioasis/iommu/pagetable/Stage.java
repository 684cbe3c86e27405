// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/**
 * One stage of an address space, as its context structures say. Immutable; any thread.
 *
 * @param root as {@link Root} has it, at an address of what is behind this stage's tables
 * @param marks whether accessed and dirty bits are set on the way
 * @param needs bits of {@link Rights} that every access asks this stage for, besides its own: to be
 *     let in as one that is not privileged
 */
public record Stage(PageTableFormat format, long root, boolean marks, int needs) {

    /** A stage that asks for what is accessed and marks nothing. */
    public static Stage of(PageTableFormat format, long root) {
        return new Stage(format, root, false, 0);
    }
}
