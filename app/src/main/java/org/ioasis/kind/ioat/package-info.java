// SPDX-License-Identifier: Apache-2.0
/** DMA engines: Intel's I/OAT. */
@NullMarked
package org.ioasis.kind.ioat;

import org.jspecify.annotations.NullMarked;
