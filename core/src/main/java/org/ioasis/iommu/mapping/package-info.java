// SPDX-License-Identifier: Apache-2.0
/** What a domain maps where: the store behind translation, exchangeable as a whole. */
@NullMarked
package org.ioasis.iommu.mapping;

import org.jspecify.annotations.NullMarked;
