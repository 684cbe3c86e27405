// SPDX-License-Identifier: Apache-2.0
/** The formats of page tables, each one file of functions over the bits of an entry. */
@NullMarked
package org.ioasis.iommu.pagetable.format;

import org.jspecify.annotations.NullMarked;
