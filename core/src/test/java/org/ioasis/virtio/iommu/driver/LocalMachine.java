// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.util.Objects.requireNonNull;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.HandClock;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.Interrupts;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.LocalTransport;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.jspecify.annotations.Nullable;

/** Our device and our driver in one machine, on one thread. */
public final class LocalMachine implements Interrupts {
    /** Memory from address 0 on. */
    public static final long RAM = 16 << 20;

    /** Where rings and requests of the driver lie; the rest is for what is mapped. */
    public static final long DRIVER = 0x80_0000;

    public static final IommuOptions OPTIONS =
            IommuOptions.builder().bypassAtStart(false).detachByEndpoint(false).build();

    public final HandClock clock = new HandClock();
    public final Guards guards = new Guards(clock, _ -> {});
    public final Guard guard = guards.open();
    public final GuestMemory memory = new GuestMemory(guards, 4);
    public final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
    public final Region ram = Ram.ram(0, RAM);
    public final Iommu iommu;
    public final VirtioDevice device;
    public final IommuDriver driver;

    public LocalMachine(IommuOptions options, long offered, DriverOptions asked, int... endpoints)
            throws DriverException {
        this(options, offered, null, asked, endpoints);
    }

    /** With a device of a profile, whose driver asks for it. */
    public LocalMachine(Profile profile, int... endpoints) throws DriverException {
        this(
                OPTIONS,
                VirtioIommuDevice.FEATURES,
                profile,
                DriverOptions.DEFAULT.withTables(),
                endpoints);
    }

    private LocalMachine(
            IommuOptions options,
            long offered,
            @Nullable Profile profile,
            DriverOptions asked,
            int... endpoints)
            throws DriverException {
        iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(64, 1000, clock),
                        MappingStores.forPageSizes(
                                options.pageSizeMask(), SegmentTables.pool(8 << 20, guards)));
        memory.add(ram);
        device =
                new VirtioDevice(
                        profile == null
                                ? new VirtioIommuDevice(iommu, tasks::add, offered)
                                : new VirtioIommuDevice(iommu, tasks::add, profile, memory),
                        new DirectDma(memory, guard),
                        Virtio.F_VERSION_1
                                | Virtio.F_INDIRECT_DESC
                                | Virtio.F_EVENT_IDX
                                | Virtio.F_RING_PACKED,
                        this);
        for (int endpoint : endpoints) {
            iommu.plug(endpoint, EndpointProperties.UNLIMITED);
        }
        MemorySegment segment = requireNonNull(ram.segment());
        driver =
                new IommuDriver(
                        new LocalTransport(device),
                        new DriverMemory(segment.asSlice(DRIVER), DRIVER),
                        Patience.looks(100, this::turn),
                        asked);
    }

    public LocalMachine(int... endpoints) throws DriverException {
        this(OPTIONS, VirtioIommuDevice.FEATURES, DriverOptions.DEFAULT, endpoints);
    }

    public void turn() {
        while (!tasks.isEmpty()) {
            tasks.remove().run();
        }
    }

    public Dma dma(int endpoint) {
        return iommu.dma(requireNonNull(iommu.endpoint(endpoint)), memory, guard);
    }

    /** Where an access of one byte ends up, -1 if it is refused. */
    public static long translated(Dma dma, long iova, Access access) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, access) == Outcome.OK ? dma.offset() : -1;
        } finally {
            dma.leave();
        }
    }

    @Override
    public void queue(int queue) {}

    @Override
    public void config() {}
}
