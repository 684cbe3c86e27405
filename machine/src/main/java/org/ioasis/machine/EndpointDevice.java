// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.pci.PciDevice;
import org.ioasis.peer.Served;
import org.ioasis.virtio.rogue.Rogue;

/**
 * A device behind an IOMMU, whatever its kind, with what belongs to every one. Any thread, but
 * where a method says so.
 */
public interface EndpointDevice {
    /** What reports call it. */
    String name();

    Endpoint endpoint();

    /** What is served: its registers, wherever they are. */
    PciDevice function();

    Served server();

    /** What it has done, by the name of what is counted, in the order for people. */
    Map<String, Long> work();

    /** What its accesses to memory came to. */
    default EndpointCounts accesses() {
        return endpoint().counts();
    }

    /** What else there is to know of it, by name, in the order for people. Loop thread. */
    default Map<String, String> facts() {
        return Map.of();
    }

    /**
     * The first thing that keeps it from its work, though its DMA is as it should be. Loop thread.
     */
    default Optional<Trouble> trouble() {
        return Optional.empty();
    }

    /**
     * What there is to say of it while no access of its has been seen, as the end of a sentence;
     * empty if no more than that. Loop thread.
     */
    default String silence() {
        return "";
    }

    /**
     * Something that is wrong.
     *
     * @param text what is seen
     * @param remedy what to do
     */
    record Trouble(String text, String remedy) {}

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
