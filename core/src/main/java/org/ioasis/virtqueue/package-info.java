// SPDX-License-Identifier: Apache-2.0
/**
 * Virtqueues, device side (virtio 1.4, 2.6 and 2.7), over a {@link org.ioasis.memory.Dma}.
 *
 * <p>Memory order: the other side of a ring is a driver in a guest, or another process. The Java
 * memory model does not speak of those; we rely on HotSpot using for acquire, release and full
 * fences the same machine instructions as C11 atomics.
 */
@NullMarked
package org.ioasis.virtqueue;

import org.jspecify.annotations.NullMarked;
