// SPDX-License-Identifier: Apache-2.0
/**
 * What nested translation has in common whatever the IOMMU is: entries in the format of
 * virtio-iommu, and a machine's fast path for them.
 */
@NullMarked
package org.ioasis.iommufd.nesting;

import org.jspecify.annotations.NullMarked;
