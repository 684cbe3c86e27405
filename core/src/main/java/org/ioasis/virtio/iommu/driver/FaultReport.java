// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

/**
 * What a device has reported of an access that it refused (5.13.6.9).
 *
 * @param isRead whether it was a read, if the device says so
 * @param isWrite whether it was a write, if the device says so
 * @param hasAddress whether {@code address} means anything
 */
public record FaultReport(
        Reason reason,
        int endpoint,
        boolean isRead,
        boolean isWrite,
        boolean hasAddress,
        long address) {
    /** Why. */
    public enum Reason {
        UNKNOWN,
        /** The endpoint is in no domain. */
        DOMAIN,
        /** Its domain has no mapping there, or not with that permission. */
        MAPPING
    }
}
