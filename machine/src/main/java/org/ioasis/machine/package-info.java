// SPDX-License-Identifier: Apache-2.0
/**
 * One virtual machine's devices put together: loop, IOMMU, endpoints and the sockets that a VMM
 * connects to.
 */
@NullMarked
package org.ioasis.machine;

import org.jspecify.annotations.NullMarked;
