// SPDX-License-Identifier: Apache-2.0
/** Litmus tests: the handshakes of the engine and the rings, as jcstress runs them. */
@NullMarked
package org.ioasis.stress;

import org.jspecify.annotations.NullMarked;
