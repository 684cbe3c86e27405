// SPDX-License-Identifier: Apache-2.0
/**
 * The virtio device frame: status, features, queues and configuration, whatever the transport and
 * the device type.
 */
@NullMarked
package org.ioasis.virtio;

import org.jspecify.annotations.NullMarked;
