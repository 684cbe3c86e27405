// SPDX-License-Identifier: Apache-2.0
/**
 * The virtio-iommu device (virtio 1.4, 5.13): requests from the driver to the engine, faults the
 * other way.
 */
@NullMarked
package org.ioasis.virtio.iommu;

import org.jspecify.annotations.NullMarked;
