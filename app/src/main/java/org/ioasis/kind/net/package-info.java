// SPDX-License-Identifier: Apache-2.0
/** Network devices: virtio-net on a stream of frames, as passt and QEMU speak it. */
@NullMarked
package org.ioasis.kind.net;

import org.jspecify.annotations.NullMarked;
