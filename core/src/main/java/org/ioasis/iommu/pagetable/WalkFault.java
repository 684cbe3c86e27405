// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Why a walk has no answer. Any thread. */
public enum WalkFault {
    NONE,
    /** The address is not one of this table's. */
    RANGE,
    /** An entry could not be read or marked; {@link Walk#tableOutcome} says why. */
    TABLE,
    /** An entry is not present. */
    TRANSLATION,
    /** An entry has bits that its format reserves. */
    FORMAT,
    /** An entry leads beyond the output addresses. */
    ADDRESS_SIZE,
    /** The page is not marked as accessed, and who walks does not mark. */
    ACCESS_FLAG,
    /** The page is there and does not allow the access. */
    PERMISSION
}
