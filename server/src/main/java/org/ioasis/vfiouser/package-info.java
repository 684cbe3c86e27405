// SPDX-License-Identifier: Apache-2.0
/**
 * The server side of vfio-user: the codec (bytes in, requests out), the session with one client,
 * and the listener. What a client may do wrong is either answered with an error or ends its
 * session; the next client is served.
 */
@NullMarked
package org.ioasis.vfiouser;

import org.jspecify.annotations.NullMarked;
