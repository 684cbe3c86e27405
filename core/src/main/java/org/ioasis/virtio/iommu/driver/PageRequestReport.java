// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

/**
 * A device asks for a page that is not in the driver's table (drafts of 2021). Those of a group get
 * one answer, after the last.
 *
 * @param pasid in which address space of the endpoint, or -1 for the one without a PASID
 * @param group the device's number for the group
 * @param isLast the group is whole: {@link DriverTables#respond} is owed
 */
public record PageRequestReport(
        int endpoint,
        int pasid,
        int group,
        boolean isRead,
        boolean isWrite,
        boolean isLast,
        long address) {}
