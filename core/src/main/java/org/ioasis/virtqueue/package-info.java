// SPDX-License-Identifier: Apache-2.0
/**
 * Virtqueues (virtio 1.4, 2.6 to 2.8), split and packed: the device's side over a {@link
 * org.ioasis.memory.Dma}, and the driver's, for whoever has no guest.
 *
 * <p>Memory order: the other side of a ring is a driver in a guest, or another process. The Java
 * memory model does not speak of those; we rely on HotSpot using for acquire, release and full
 * fences the same machine instructions as C11 atomics.
 */
@NullMarked
package org.ioasis.virtqueue;

import org.jspecify.annotations.NullMarked;
