// SPDX-License-Identifier: Apache-2.0
/**
 * A guest's disk through our IOMMU and through QEMU's own, measured by fio in the guest: the
 * command {@code ioasis bench guest}.
 */
@NullMarked
package org.ioasis.compare.guest;

import org.jspecify.annotations.NullMarked;
