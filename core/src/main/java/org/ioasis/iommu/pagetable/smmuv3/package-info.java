// SPDX-License-Identifier: Apache-2.0
/** Context structures of Arm's SMMUv3, decoded for who walks what they lead to. */
@NullMarked
package org.ioasis.iommu.pagetable.smmuv3;

import org.jspecify.annotations.NullMarked;
