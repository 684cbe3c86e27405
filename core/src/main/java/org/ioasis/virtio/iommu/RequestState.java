// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;

import org.ioasis.iommu.Status;
import org.ioasis.virtqueue.ChainState;
import org.jspecify.annotations.Nullable;

/**
 * A request that was carried out and whose answer the driver has not got, for saved states.
 * Immutable.
 *
 * @param status what the answer will be; null: the buffer goes back unwritten
 * @param endpoint whom it asks about; 0 if it is no PROBE
 */
record RequestState(RequestType type, @Nullable Status status, int endpoint, ChainState chain) {
    /** True if a device can owe this answer; the chain is one that its queue can have given. */
    boolean isPossible(int probeSize) {
        if (type != RequestType.PROBE && endpoint != 0) {
            return false;
        }
        if (status == null) {
            return true;
        }
        int room = type == RequestType.PROBE && status == Status.OK ? probeSize : 0;
        return type != RequestType.UNKNOWN && chain.writableLength() >= room + TAIL_SIZE;
    }
}
