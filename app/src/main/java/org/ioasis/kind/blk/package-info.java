// SPDX-License-Identifier: Apache-2.0
/** Disks: virtio-blk on a file. */
@NullMarked
package org.ioasis.kind.blk;

import org.jspecify.annotations.NullMarked;
