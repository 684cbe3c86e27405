// SPDX-License-Identifier: Apache-2.0
/**
 * Looking at running machines: their state as text or JSON, a trace, what is wrong with a device.
 */
@NullMarked
package org.ioasis.live;

import org.jspecify.annotations.NullMarked;
