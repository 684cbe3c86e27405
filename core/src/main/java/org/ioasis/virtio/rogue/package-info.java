// SPDX-License-Identifier: Apache-2.0
/** A device that misbehaves on request: what the IOMMU is there to stop. */
@NullMarked
package org.ioasis.virtio.rogue;

import org.jspecify.annotations.NullMarked;
