// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.concurrent.Executor;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Endpoint;
import org.ioasis.loop.EventLoop;
import org.ioasis.memory.Dma;
import org.ioasis.memory.MemoryListener;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionTasks;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtqueue.RingFormat;

/**
 * Where one device meets its IOMMU, the guest's memory, the VMM and the loop, while it is being
 * built. Thread of the machine's builder.
 */
public final class DevicePort implements FunctionPort {
    /** How a machine offers a device to whom its devices are for. */
    @FunctionalInterface
    interface Transport {
        Served serve(PciDevice device) throws IOException;
    }

    /** Who is told of what a device reaches that reaches it by itself. */
    @FunctionalInterface
    interface Listening {
        void listen(DomainListener domains, MemoryListener memory);
    }

    private final Endpoint endpoint;
    private final Dma dma;
    private final EventLoop loop;
    private final Executor io;
    private final SessionTasks tasks;
    private final RingFormat rings;
    private final Transport transport;
    private final Listening listening;

    DevicePort(
            Endpoint endpoint,
            Dma dma,
            Listening listening,
            MachineThreads threads,
            RingFormat rings,
            Transport transport) {
        this.rings = rings;
        this.endpoint = endpoint;
        this.dma = dma;
        this.listening = listening;
        this.transport = transport;
        loop = threads.loop();
        io = threads.io();
        tasks = new SessionTasks(loop);
    }

    /** What the device is for its IOMMU. */
    public Endpoint endpoint() {
        return endpoint;
    }

    @Override
    public Dma dma() {
        return dma;
    }

    @Override
    public Executor tasks() {
        return tasks;
    }

    @Override
    public Executor io() {
        return io;
    }

    /**
     * The device's accesses do not all come through {@link #dma}: {@code domains} hears of what its
     * driver maps for it, and {@code memory} of what lies behind that. Once.
     */
    public void listen(DomainListener domains, MemoryListener memory) {
        listening.listen(domains, memory);
    }

    /** For descriptors that the device waits for. */
    public EventLoop loop() {
        return loop;
    }

    @Override
    public VirtioPciFunction function(DeviceType type, int classCode) {
        return new VirtioPciFunction(type, dma, Frame.translated(rings), classCode);
    }

    /**
     * Offers the device to the VMM: the last step, and once.
     *
     * @throws IOException the socket cannot be made
     */
    public Served serve(PciDevice device) throws IOException {
        Served served = transport.serve(device);
        tasks.of(served);
        return served;
    }
}
