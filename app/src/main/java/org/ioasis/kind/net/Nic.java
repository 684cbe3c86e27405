// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.io.Closeable;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.net.NetCounters;
import org.ioasis.virtio.net.VirtioNet;

/**
 * A network device behind the IOMMU, with everything that belongs to it. Counters from any thread.
 *
 * @param name what reports call it
 * @param link to who carries its frames
 */
public record Nic(
        String name,
        Endpoint endpoint,
        VirtioNet net,
        Closeable link,
        VirtioPciFunction function,
        Served server)
        implements EndpointDevice {

    public NetCounters frames() {
        return net.counters();
    }

    @Override
    public Map<String, Long> work() {
        NetCounters counters = frames();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("sent", counters.sent());
        work.put("sentBytes", counters.sentBytes());
        work.put("received", counters.received());
        work.put("receivedBytes", counters.receivedBytes());
        work.put("lost", counters.lost());
        work.put("overrun", counters.overrun());
        work.put("buffersTooSmall", counters.buffersTooSmall());
        work.put("sentTooLong", counters.sentTooLong());
        work.put("receivedTooLong", counters.receivedTooLong());
        work.put("malformed", counters.malformed());
        return work;
    }

    @Override
    public void close() throws IOException {
        link.close();
    }
}
