// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;

/** A device behind an IOMMU, whatever its kind, with what belongs to every one. Any thread. */
public sealed interface EndpointDevice permits Disk, Rng {
    /** What reports call it. */
    String name();

    Endpoint endpoint();

    VirtioPciFunction function();

    Served server();

    /** What its accesses to memory came to. */
    default EndpointCounts accesses() {
        return endpoint().counts();
    }
}
