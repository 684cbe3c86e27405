// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Which part of a walk through two stages has no answer. Any thread. */
public enum TwoStageFault {
    NONE,
    /** The context structures: no stage was asked. */
    CONTEXT,
    /** The first stage itself. */
    FIRST,
    /** The second stage, for an entry of the first. */
    SECOND_FOR_TABLE,
    /** The second stage, for what the first leads to. */
    SECOND_FOR_INPUT
}
