// SPDX-License-Identifier: Apache-2.0
/**
 * A PCI function as programs find devices that Linux has given to them: VFIO's character device and
 * group, bound to an iommufd context, with its DMA in the address space that the program builds.
 */
@NullMarked
package org.ioasis.vfiodevice;

import org.jspecify.annotations.NullMarked;
