// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.blk.BlkCounters;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.VirtioBlk;

/**
 * A disk behind the IOMMU, with everything that belongs to it. Counters from any thread.
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

    @Override
    public Map<String, Long> work() {
        BlkCounters counters = requests();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("reads", counters.reads().total());
        work.put("writes", counters.writes().total());
        work.put("flushes", counters.flushes().total());
        work.put("discards", counters.discards().total());
        work.put("bytesRead", counters.bytesRead());
        work.put("cached", counters.cached());
        work.put("bytesWritten", counters.bytesWritten());
        work.put("malformed", counters.malformed());
        return work;
    }

    @Override
    public void close() throws IOException {
        store.close();
    }
}
