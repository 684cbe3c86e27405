// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO as programs use it: groups, containers of type 1 in both versions, and mediated devices,
 * which hold of a container's memory what they need. A container is an address space of iommufd
 * with the rules of type 1 in front.
 */
@NullMarked
package org.ioasis.vfio;

import org.jspecify.annotations.NullMarked;
