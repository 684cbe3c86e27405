// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * Who hears first: in this order, whoever registered first. A processor must not name an id to a
 * device any more when the device stops, and the device not to the IOMMU when that forgets the id.
 */
public enum NotifierPriority {
    CPU,
    DEVICE,
    IOMMU,
    LAST
}
