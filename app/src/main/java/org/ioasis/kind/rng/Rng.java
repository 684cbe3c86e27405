// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.rng;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.rng.RngCounters;
import org.ioasis.virtio.rng.VirtioRng;
import org.ioasis.virtio.rogue.Rogue;

/**
 * An entropy device behind the IOMMU, with everything that belongs to it. Counters from any thread.
 *
 * @param name what reports call it
 * @param rogue what makes it issue accesses that its driver never asked for, for tests of an IOMMU
 *     and of drivers; empty unless it was built so
 */
public record Rng(
        String name,
        Endpoint endpoint,
        VirtioRng rng,
        VirtioPciFunction function,
        Served server,
        Optional<Rogue> rogue)
        implements EndpointDevice {

    public RngCounters requests() {
        return rng.counters();
    }

    @Override
    public Map<String, Long> work() {
        RngCounters counters = requests();
        Map<String, Long> work = new LinkedHashMap<>();
        work.put("requests", counters.requests());
        work.put("bytes", counters.bytes());
        work.put("malformed", counters.malformed());
        return work;
    }
}
