// SPDX-License-Identifier: Apache-2.0
/** Tables that tell a guest which devices are behind which IOMMU. */
@NullMarked
package org.ioasis.topology;

import org.jspecify.annotations.NullMarked;
