// SPDX-License-Identifier: Apache-2.0
@NullMarked
package org.ioasis.vfio.tracker;

import org.jspecify.annotations.NullMarked;
