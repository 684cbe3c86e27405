// SPDX-License-Identifier: Apache-2.0
/**
 * Buffers for devices behind an IOMMU: mapped for as long as a device needs them, at addresses that
 * are handed out and not used again before the device's last access is over for certain.
 */
@NullMarked
package org.ioasis.dma;

import org.jspecify.annotations.NullMarked;
