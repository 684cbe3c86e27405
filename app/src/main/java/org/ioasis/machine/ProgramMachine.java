// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionTasks;
import org.ioasis.program.ProgramFiles;
import org.ioasis.spec.VfioDevice;
import org.ioasis.sys.EngineMemory;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.vfiodevice.ContainerFile;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtqueue.RingFormat;

/**
 * What programs find that are run on a host of ours: {@code /dev/iommu}, and devices under {@code
 * /dev/vfio} whose DMA goes through the address spaces that programs build there. One event loop
 * serves devices and programs.
 *
 * <p>Built and closed by one thread.
 */
public final class ProgramMachine implements AutoCloseable {
    /** A device's number is its place on a bus of its own. */
    public static final int DEVICES_MAX = 31;

    private static final int FAULT_CAPACITY = 64;
    private static final int FAULTS_PER_SECOND = 256;
    private static final int IO_THREADS = 2;

    private final IommufdNode node;
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final Guard guard = guards.open();
    private final EventLoop loop;
    private final ExecutorService io;
    private final EngineMemory tables;
    private final FaultQueue faults =
            new FaultQueue(FAULT_CAPACITY, FAULTS_PER_SECOND, System::nanoTime);
    private final EngineIommu iommu;
    private final List<EndpointDevice> devices = new ArrayList<>();
    private final List<AssignedDevice> served = new ArrayList<>();
    private final RingFormat rings;

    /**
     * @param node what stands at {@code /dev/iommu}; no page of it is held yet
     * @param rings PACKED: all devices offer packed rings beside split ones
     * @throws IOException the loop cannot be made
     */
    public ProgramMachine(String name, IommufdNode node, IdlePolicy idle, RingFormat rings)
            throws IOException {
        this.node = node;
        this.rings = rings;
        IommuOptions options = IommuOptions.DEFAULT;
        tables = EngineMemory.reserve(options.tableLimit());
        loop =
                new EventLoop(
                        name, Polled.of(guards::hasPending, guards::poll), System::nanoTime, idle);
        io =
                Executors.newFixedThreadPool(
                        IO_THREADS, Thread.ofPlatform().name(name + "-io-", 0).daemon().factory());
        TablePool pool = new TablePool(new EngineTables(tables), options.tableLimit(), guards);
        iommu =
                new EngineIommu(
                        node,
                        options,
                        guards,
                        faults,
                        MappingStores.forPageSizes(options.pageSizeMask(), pool));
    }

    /**
     * Adds a device. Before {@link #start}.
     *
     * @throws IOException something of the host's cannot be opened
     * @throws IllegalStateException there are as many as can be
     */
    public <D extends EndpointDevice> D add(DeviceOptions<D> options) throws IOException {
        if (served.size() == DEVICES_MAX) {
            throw new IllegalStateException("there are " + DEVICES_MAX + " devices");
        }
        D device = options.build(new Port(options.place()));
        devices.add(device);
        return device;
    }

    private final class Port implements DevicePort {
        private final EngineDevice hardware;
        private final Dma dma;
        private final SessionTasks tasks = new SessionTasks(loop);

        Port(DevicePlace place) {
            hardware = iommu.plug(place.endpoint(), place.properties());
            dma = hardware.dma(guard);
        }

        @Override
        public Endpoint endpoint() {
            return hardware.endpoint();
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

        @Override
        public EventLoop loop() {
            return loop;
        }

        @Override
        public VirtioPciFunction function(DeviceType type, int classCode) {
            return new VirtioPciFunction(type, dma, Frame.translated(rings), classCode);
        }

        @Override
        public Served serve(VirtioPciFunction function) {
            AssignedDevice device = new AssignedDevice(loop, served.size(), function, hardware);
            served.add(device);
            tasks.of(device);
            return device;
        }
    }

    /** What programs find, and where; devices in the order of adding. */
    public ProgramFiles files() {
        ProgramFiles.Builder files = ProgramFiles.builder().iommu(node::open);
        files.folder("/dev/vfio");
        files.device(
                "/dev/vfio/vfio",
                VfioDevice.MISC_MAJOR,
                VfioDevice.CONTAINER_MINOR,
                _ -> new ContainerFile(new VfioContainer(List.of(new Type1Kind(node)))));
        files.text("/dev/vfio/vfio", "");
        for (AssignedDevice device : served) {
            String sys = "/sys/bus/pci/devices/" + device.address();
            int number = device.number();
            String name = "vfio" + number;
            files.device(device.path().toString(), VfioDevice.MAJOR, number, device::open);
            files.text(device.path().toString(), "");
            files.device(
                    device.groupPath().toString(),
                    VfioDevice.GROUP_MAJOR,
                    number,
                    device::openGroup);
            files.text(device.groupPath().toString(), "");
            files.folder(sys);
            files.text(sys + "/vendor", "0x%04x\n".formatted(device.identity() & 0xffff));
            files.text(sys + "/device", "0x%04x\n".formatted(device.identity() >>> 16));
            files.text(sys + "/class", "0x%06x\n".formatted(device.classCode()));
            files.text(
                    sys + "/vfio-dev/" + name + "/dev",
                    "%d:%d\n".formatted(VfioDevice.MAJOR, number));
            files.link(sys + "/iommu_group", "../../../../kernel/iommu_groups/" + number);
            files.link(sys + "/driver", "../../drivers/vfio-pci");
        }
        return files.build();
    }

    /** What serves devices and programs. */
    public EventLoop loop() {
        return loop;
    }

    /** In the order of adding. */
    public List<EndpointDevice> devices() {
        return List.copyOf(devices);
    }

    /** The same as programs find them. */
    public List<AssignedDevice> served() {
        return List.copyOf(served);
    }

    /** Accesses that were refused. */
    public FaultQueue faults() {
        return faults;
    }

    /** Serves from now on. */
    public void start() {
        loop.execute(guards::claim);
        loop.start();
    }

    /** Takes devices away from programs, ends the threads. Works twice. */
    @Override
    public void close() throws IOException {
        for (AssignedDevice device : served) {
            device.close();
        }
        loop.close();
        io.shutdown();
        try {
            boolean _ = io.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (EndpointDevice device : devices) {
            device.close();
        }
        if (loop.isOver() && node.openContexts() == 0) {
            tables.close();
        }
    }
}
