// SPDX-License-Identifier: Apache-2.0
/** Page tables of IOMMUs: one walker, one builder and one unmapper for every format. */
@NullMarked
package org.ioasis.iommu.pagetable;

import org.jspecify.annotations.NullMarked;
