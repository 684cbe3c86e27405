// SPDX-License-Identifier: Apache-2.0
/**
 * An IOMMU of the engine behind an iommufd node: devices are objects of an embedder, and what they
 * do goes through the address spaces of programs.
 */
@NullMarked
package org.ioasis.iommufd.engine;

import org.jspecify.annotations.NullMarked;
