// SPDX-License-Identifier: Apache-2.0
/**
 * An HTTP server of this machine's own users: loopback only, with a bound for everything that a
 * client can grow. Knows nothing of what it serves.
 */
@NullMarked
package org.ioasis.web;

import org.jspecify.annotations.NullMarked;
