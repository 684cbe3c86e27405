// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** What an entry is at its level. Any thread. */
public enum EntryKind {
    /** Not present. */
    EMPTY,
    /** Leads to a table of a lower level. */
    TABLE,
    /** A page, or one item of a page that spans several. */
    LEAF,
    /** Present, with bits that its format reserves. */
    INVALID
}
