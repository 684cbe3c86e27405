// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;
import java.util.function.LongSupplier;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.fault.PageRequest;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.EngineMemory;
import org.ioasis.sys.ErrnoException;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.driver.LocalTransport;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.jspecify.annotations.Nullable;

/**
 * An IOMMU of this process, with memory and whatever stands behind it, for drivers of this process:
 * no VMM, no session and no loop. One thread, which lets the devices work by {@link #turn}.
 */
public final class LocalIommu implements AutoCloseable {
    private static final long TABLES = 16L << 20;
    private static final int FAULTS = 256;
    private static final int FAULTS_PER_SECOND = 1000;

    /** Features of rings that every device here has. */
    private static final long FRAME =
            Virtio.F_VERSION_1 | Virtio.F_INDIRECT_DESC | Virtio.F_EVENT_IDX;

    /** Drivers look at their rings. */
    private static final Interrupts NOBODY =
            new Interrupts() {
                @Override
                public void queue(int queue) {}

                @Override
                public void config() {}
            };

    private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
    private final EngineMemory tables;
    private final GuestMemory memory;
    private final Guard guard;
    private final Iommu engine;
    private final VirtioIommuDevice device;
    private final Transport transport;

    /**
     * @param bytes memory, from address 0 on
     * @param frameFeatures what the device's queues can beside the usual
     * @param clock nanoseconds of a clock that does not go back
     */
    public LocalIommu(
            IommuOptions options, MemorySegment bytes, long frameFeatures, LongSupplier clock)
            throws IOException {
        this(options, null, bytes, frameFeatures, clock);
    }

    /**
     * The same of one that is what {@code profile} says, besides what virtio 1.4 does.
     *
     * @param profile null: nothing
     */
    public LocalIommu(
            IommuOptions options,
            @Nullable Profile profile,
            MemorySegment bytes,
            long frameFeatures,
            LongSupplier clock)
            throws IOException {
        try {
            tables = EngineMemory.reserve(TABLES);
        } catch (ErrnoException e) {
            throw new IOException("no memory for tables: " + e.getMessage(), e);
        }
        Guards guards = new Guards(clock, _ -> {});
        guard = guards.open();
        memory = new GuestMemory(guards, 1);
        memory.add(new Region(0, bytes.byteSize() - 1, bytes, true, null));
        engine =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(FAULTS, FAULTS_PER_SECOND, clock),
                        MappingStores.forPageSizes(
                                options.pageSizeMask(),
                                new TablePool(new EngineTables(tables), TABLES, guards)));
        device =
                profile == null
                        ? new VirtioIommuDevice(engine, deviceThread())
                        : new VirtioIommuDevice(engine, deviceThread(), profile, memory);
        transport = device(device, new DirectDma(memory, guard), frameFeatures);
    }

    /** The engine, for who observes it. */
    public Iommu engine() {
        return engine;
    }

    /** The IOMMU's device, likewise. */
    public VirtioIommuDevice iommu() {
        return device;
    }

    /** The IOMMU, for its driver. */
    public Transport transport() {
        return transport;
    }

    /** A device on this thread, for its driver. */
    public Transport device(DeviceType type, Dma dma, long frameFeatures) {
        return new LocalTransport(new VirtioDevice(type, dma, FRAME | frameFeatures, NOBODY));
    }

    /** Where devices leave what they do later. */
    public Executor deviceThread() {
        return tasks::add;
    }

    /** Lets the devices do all that they have left for later. */
    public void turn() {
        for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
            task.run();
        }
    }

    /** Plugs an endpoint and returns its way to memory. */
    public Dma plug(int endpoint, EndpointProperties properties) {
        return engine.dma(engine.plug(endpoint, properties), memory, guard);
    }

    /** Plugs an endpoint whose device works for processes, each by its PASID. */
    public Endpoint plugShared(int endpoint) {
        return engine.plug(endpoint, EndpointProperties.UNLIMITED);
    }

    /** The way to memory of a device that asks for pages that are not there. */
    public Dma asking(Attachment space) {
        return engine.askingDma(space, memory, guard);
    }

    /** A device asks for a page, to read and to write it. */
    public void requestPage(Attachment space, int group, long address, PageRequest.Asker asker) {
        int rights = Rights.READ | Rights.WRITE | Rights.USER;
        engine.requestPage(space, group, rights, true, address, asker);
    }

    @Override
    public void close() {
        tables.close();
    }
}
