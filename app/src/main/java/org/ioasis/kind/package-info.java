// SPDX-License-Identifier: Apache-2.0
/** The kinds of devices that can be behind an IOMMU: a package for each, and one list of them. */
@NullMarked
package org.ioasis.kind;

import org.jspecify.annotations.NullMarked;
