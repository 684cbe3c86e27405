// SPDX-License-Identifier: Apache-2.0
/** The kernel's own tests of iommufd and VFIO, run unmodified on our host model. */
@NullMarked
package org.ioasis.selftests;

import org.jspecify.annotations.NullMarked;
