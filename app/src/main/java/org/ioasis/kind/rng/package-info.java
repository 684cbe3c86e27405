// SPDX-License-Identifier: Apache-2.0
/** Entropy devices: virtio-rng with the host's random bytes. */
@NullMarked
package org.ioasis.kind.rng;

import org.jspecify.annotations.NullMarked;
