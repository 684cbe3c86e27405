// SPDX-License-Identifier: Apache-2.0
/**
 * Which pages of a range are pinned, and where a device finds them: several ways to keep that, side
 * by side, since none is best at every density. They share no code, so that what is measured of one
 * is its own.
 */
@NullMarked
package org.ioasis.vfio.tracker;

import org.jspecify.annotations.NullMarked;
