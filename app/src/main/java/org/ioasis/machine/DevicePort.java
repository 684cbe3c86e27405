// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.concurrent.Executor;
import org.ioasis.iommu.Endpoint;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.Dma;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.virtio.DeviceType;

/**
 * Where one device meets its IOMMU, the guest's memory, the VMM and the loop, while it is being
 * built. Thread of the machine's builder.
 */
public interface DevicePort {
    /** What the device is for its IOMMU. */
    Endpoint endpoint();

    /** Its only way to the guest's memory. */
    Dma dma();

    /** Runs its tasks on the loop, inside the error boundary of its session. */
    Executor tasks();

    /** For blocking I/O; shared by all devices of the machine. */
    Executor io();

    /** For descriptors that the device waits for. */
    EventLoop loop();

    /**
     * @param classCode of PCI
     */
    VirtioPciFunction function(DeviceType type, int classCode);

    /**
     * Offers the function to the VMM: the last step, and once.
     *
     * @throws IOException the socket cannot be made
     */
    Served serve(VirtioPciFunction function) throws IOException;
}
