// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.iommufd.nesting;

import org.jspecify.annotations.NullMarked;
