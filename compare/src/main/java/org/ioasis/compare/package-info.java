// SPDX-License-Identifier: Apache-2.0
/**
 * The same requests to QEMU's own virtio-iommu and to ours, without a guest: QEMU runs under qtest,
 * we are the driver. What differs is explained by a rule or reported.
 */
@NullMarked
package org.ioasis.compare;

import org.jspecify.annotations.NullMarked;
