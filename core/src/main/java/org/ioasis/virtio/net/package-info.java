// SPDX-License-Identifier: Apache-2.0
/** virtio-net (virtio 1.4, 5.1): Ethernet frames between the guest and a link of the host's. */
@NullMarked
package org.ioasis.virtio.net;

import org.jspecify.annotations.NullMarked;
