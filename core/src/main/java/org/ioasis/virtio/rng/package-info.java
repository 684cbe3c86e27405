// SPDX-License-Identifier: Apache-2.0
/** virtio-rng (virtio 1.4, 5.4): random bytes for the guest. */
@NullMarked
package org.ioasis.virtio.rng;

import org.jspecify.annotations.NullMarked;
