// SPDX-License-Identifier: Apache-2.0
/**
 * vfio-user. As a server: the codec (bytes in, requests out), the session with one client, and the
 * socket. What a client may do wrong is either answered with an error or ends its session; the next
 * client is served. As a client: of somebody else's device that an IOMMU is put before, and of a
 * device of ours for a driver without a VMM. What a server may do wrong ends the session with it.
 */
@NullMarked
package org.ioasis.vfiouser;

import org.jspecify.annotations.NullMarked;
