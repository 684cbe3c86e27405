// SPDX-License-Identifier: Apache-2.0
/**
 * The main job from end to end: a guest, our devices and QEMU brought together, a run judged from
 * the host's side, and the report about it.
 */
@NullMarked
package org.ioasis.run;

import org.jspecify.annotations.NullMarked;
