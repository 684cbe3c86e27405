// SPDX-License-Identifier: Apache-2.0
/**
 * Running machines as a page in a browser: while one is open, what passes between drivers and
 * IOMMUs is watched; while none is, nothing here runs.
 */
@NullMarked
package org.ioasis.page;

import org.jspecify.annotations.NullMarked;
