// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

/** Why a device's request has no translation (AMD IOMMU, 2.2.2 and 2.5.2). Any thread. */
public enum DeviceRefusal {
    /** The device table does not reach so far. */
    BEYOND_TABLE,
    /** The entry's memory cannot be read (DEV_TAB_HARDWARE_ERROR). */
    UNREADABLE,
    /** Valid, and without a valid translation: nothing is let through. */
    NO_TRANSLATION,
    /** Reserved values (ILLEGAL_DEV_TABLE_ENTRY). */
    ILLEGAL,
    /** A PASID, and the entry has no guest translation. */
    NO_GUEST,
    /** The guest CR3 table does not reach so far. */
    PASID_TOO_LARGE,
    /** Its memory cannot be read, perhaps because the host's table does not lead there. */
    GCR3_UNREADABLE,
    /** No guest table for this PASID. */
    GCR3_ABSENT
}
