// SPDX-License-Identifier: Apache-2.0
/**
 * A driver of the IOMMU device (virtio 1.4, 5.13), for whoever has such a device and no guest: it
 * keeps each statement for drivers, and believes nothing that a device says without having looked.
 * Knows a transport and no device.
 */
@NullMarked
package org.ioasis.virtio.iommu.driver;

import org.jspecify.annotations.NullMarked;
