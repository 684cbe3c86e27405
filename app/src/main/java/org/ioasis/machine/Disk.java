// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import org.ioasis.iommu.Endpoint;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.blk.BlkCounters;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.VirtioBlk;

/**
 * A disk behind the IOMMU, with everything that belongs to it. Made by {@link Machine}; counters
 * from any thread.
 *
 * @param name what reports call it
 */
public record Disk(
        String name,
        Endpoint endpoint,
        VirtioBlk blk,
        FileStore store,
        VirtioPciFunction function,
        Served server)
        implements EndpointDevice {

    public BlkCounters requests() {
        return blk.counters();
    }
}
