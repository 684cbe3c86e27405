// SPDX-License-Identifier: Apache-2.0
/**
 * An IOMMU and devices that exist to be looked into: what the kernel's selftests drive with their
 * own ioctl. Never there unless asked for.
 */
@NullMarked
package org.ioasis.iommufd.mock;

import org.jspecify.annotations.NullMarked;
