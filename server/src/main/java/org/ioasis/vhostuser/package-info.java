// SPDX-License-Identifier: Apache-2.0
/**
 * The vhost-user protocol, back end's side: offers a virtio device to a front end (a VMM) that has
 * its registers itself and hands over memory and rings.
 */
@NullMarked
package org.ioasis.vhostuser;

import org.jspecify.annotations.NullMarked;
