// SPDX-License-Identifier: Apache-2.0
/**
 * virtio-blk (virtio 1.4, 5.2): a disk for the guest, on any {@link
 * org.ioasis.virtio.blk.BlockStore}.
 */
@NullMarked
package org.ioasis.virtio.blk;

import org.jspecify.annotations.NullMarked;
