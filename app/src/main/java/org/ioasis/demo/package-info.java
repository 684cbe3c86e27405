// SPDX-License-Identifier: Apache-2.0
/**
 * A machine without a VMM: drivers and devices of ours in one process, and somebody who tries to
 * get out.
 */
@NullMarked
package org.ioasis.demo;

import org.jspecify.annotations.NullMarked;
