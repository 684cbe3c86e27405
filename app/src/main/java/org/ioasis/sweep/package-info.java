// SPDX-License-Identifier: Apache-2.0
/** What a recorded trace of DMA would have cost with other designs of an IOMMU. */
@NullMarked
package org.ioasis.sweep;

import org.jspecify.annotations.NullMarked;
