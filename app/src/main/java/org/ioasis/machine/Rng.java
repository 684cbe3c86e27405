package org.ioasis.machine;

import org.ioasis.iommu.Endpoint;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.vfiouser.VfioUserServer;
import org.ioasis.virtio.rng.RngCounters;
import org.ioasis.virtio.rng.VirtioRng;

/**
 * An entropy device behind the IOMMU, with everything that belongs to it. Made by {@link Machine};
 * counters from any thread.
 *
 * @param name what reports call it
 */
public record Rng(
        String name,
        Endpoint endpoint,
        VirtioRng rng,
        VirtioPciFunction function,
        VfioUserServer server)
        implements EndpointDevice {

    public RngCounters requests() {
        return rng.counters();
    }
}
