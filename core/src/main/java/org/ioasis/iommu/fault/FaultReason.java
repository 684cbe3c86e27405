// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

/** Why an access was refused (virtio 1.4, 5.13.6.10). */
public enum FaultReason {
    /** The endpoint is attached to no domain and not in bypass mode. */
    DOMAIN,
    /** Not mapped, or mapped without the permission. */
    MAPPING
}
