// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.rogue.Rogue;

/** A device behind an IOMMU, whatever its kind, with what belongs to every one. Any thread. */
public interface EndpointDevice {
    /** What reports call it. */
    String name();

    Endpoint endpoint();

    VirtioPciFunction function();

    Served server();

    /** What it has done, by the name of what is counted, in the order for people. */
    Map<String, Long> work();

    /** What its accesses to memory came to. */
    default EndpointCounts accesses() {
        return endpoint().counts();
    }

    /** What makes it misbehave; empty unless it was built so. */
    default Optional<Rogue> rogue() {
        return Optional.empty();
    }

    /**
     * Gives back what it has of the host's. Builder's thread, after the last session, task and
     * blocking I/O. Works twice.
     */
    default void close() throws IOException {}
}
