// SPDX-License-Identifier: Apache-2.0
/**
 * Endpoints of a guest's IOMMU that stand for assigned devices: what the guest maps reaches an
 * address space of iommufd or a container of VFIO before it is answered.
 */
@NullMarked
package org.ioasis.assigned;

import org.jspecify.annotations.NullMarked;
