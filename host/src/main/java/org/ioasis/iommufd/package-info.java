// SPDX-License-Identifier: Apache-2.0
/**
 * The object model of {@code /dev/iommu}: contexts, address spaces, page tables, devices and what
 * hangs on them, once as typed methods and once as the bytes of ioctls. A program's memory and
 * files are handed in. Control calls of a context hold its lock from start to end.
 */
@NullMarked
package org.ioasis.iommufd;

import org.jspecify.annotations.NullMarked;
