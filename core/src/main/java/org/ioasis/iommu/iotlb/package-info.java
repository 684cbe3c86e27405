// SPDX-License-Identifier: Apache-2.0
/** What is kept of walks through tables that somebody else writes, and how it is taken away. */
@NullMarked
package org.ioasis.iommu.iotlb;

import org.jspecify.annotations.NullMarked;
