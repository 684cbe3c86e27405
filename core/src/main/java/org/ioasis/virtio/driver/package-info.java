// SPDX-License-Identifier: Apache-2.0
/**
 * The driver's side of any virtio device (virtio 1.4, 3.1): what a transport is to a driver, how
 * features are negotiated, and how long a driver waits. Knows no kind of device.
 */
@NullMarked
package org.ioasis.virtio.driver;

import org.jspecify.annotations.NullMarked;
