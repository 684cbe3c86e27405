// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

/**
 * What tables of guests have come to at one {@link EngineIommu}. Immutable snapshot.
 *
 * @param made tables that a program has handed over
 * @param attachments of a device to one of them
 * @param nativeEntries invalidations by calls that were carried out, in the IOMMU's own form
 * @param virtioEntries the same in the form of virtio-iommu
 * @param walks accesses that a walk has answered, and not the IOTLB
 */
public record GuestTableCounts(
        long made, long attachments, long nativeEntries, long virtioEntries, long walks) {}
