// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.iommufd;

import org.jspecify.annotations.NullMarked;
