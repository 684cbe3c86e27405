// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.vfio;

import org.jspecify.annotations.NullMarked;
