// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import org.ioasis.spec.VfioUser;

/**
 * What a server has said that it takes (vfio-user, "VFIO_USER_VERSION"). Immutable; any thread.
 *
 * @param dataMax most bytes of one access
 * @param mapsMax most DMA regions at a time
 * @param twinSocket index of the descriptor that its own commands come over, or -1
 */
record ServerLimits(int dataMax, int mapsMax, int twinSocket) {
    static final ServerLimits USUAL =
            new ServerLimits(
                    VfioUser.MAX_DATA_XFER_SIZE_DEFAULT, VfioUser.MAX_DMA_MAPS_DEFAULT, -1);
}
