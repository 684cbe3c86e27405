// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import java.util.function.Function;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.Dma;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.PciFunction;
import org.ioasis.peer.Served;
import org.ioasis.program.ProgramFiles;
import org.ioasis.spec.VfioDevice;
import org.ioasis.sys.EngineMemory;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.vfiodevice.ContainerFile;
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

    private final IommufdNode node;
    private final MachineThreads threads;
    private final EngineMemory tables;
    private final FaultQueue faults = MachineThreads.faults();
    private final EngineIommu iommu;
    private final List<EndpointDevice> devices = new ArrayList<>();
    private final List<AssignedDevice> served = new ArrayList<>();
    private final Map<Integer, AssignedDevice> byEndpoint = new HashMap<>();
    private final RingFormat rings;
    private Consumer<String> refused = _ -> {};

    /** As the other, with an IOMMU that has nothing for guests. */
    public ProgramMachine(String name, IommufdNode node, IdlePolicy idle, RingFormat rings)
            throws IOException {
        this(name, node, HostIommu.PLAIN, idle, rings);
    }

    /**
     * @param node what stands at {@code /dev/iommu}; no page of it is held yet
     * @param kind what programs take the IOMMU for
     * @param rings PACKED: all devices offer packed rings beside split ones
     * @throws IOException the loop cannot be made
     */
    public ProgramMachine(
            String name, IommufdNode node, HostIommu kind, IdlePolicy idle, RingFormat rings)
            throws IOException {
        this.node = node;
        this.rings = rings;
        IommuOptions options = IommuOptions.DEFAULT;
        threads = new MachineThreads(name, idle, this::devices);
        boolean isMade = false;
        try {
            tables = EngineMemory.reserve(options.tableLimit());
            isMade = true;
        } finally {
            if (!isMade) {
                threads.close();
            }
        }
        iommu =
                new EngineIommu(
                        node,
                        options,
                        threads.guards(),
                        faults,
                        threads.stores(options, tables),
                        kind.maker());
        faults.onArrival(this::tellGuests);
    }

    /** Any thread; guests hear of faults on the loop, where their VMM's calls are answered. */
    private void tellGuests() {
        try {
            threads.loop().execute(this::reportFaults);
        } catch (RejectedExecutionException e) {
            // The next one asks again, or the loop has ended; it is kept and counted all the same.
        }
    }

    private void reportFaults() {
        for (Fault fault = faults.poll(); fault != null; fault = faults.poll()) {
            iommu.report(fault);
            refused.accept(describe(fault));
        }
    }

    private String describe(Fault fault) {
        AssignedDevice device = byEndpoint.get(fault.endpoint());
        return (device == null ? "" : device.path() + ", ") + Machine.describe(fault);
    }

    /**
     * Says who hears, in words, of accesses of devices that were refused; on the loop's thread, at
     * the rate of faults. Before {@link #start}.
     */
    public void onRefused(Consumer<String> told) {
        refused = told;
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
        DevicePlace place = options.place();
        EngineDevice hardware = iommu.plug(place.endpoint(), place.properties());
        DevicePort port =
                new DevicePort(
                        hardware.endpoint(),
                        hardware.dma(threads.guard()),
                        (_, _) -> {
                            throw new IllegalStateException(
                                    "a program's memory is given to no device elsewhere");
                        },
                        threads,
                        rings,
                        served -> assigned(registersOf(served), hardware));
        D device = options.build(port);
        devices.add(device);
        return device;
    }

    /**
     * Adds a function of any other kind. Before {@link #start}.
     *
     * @param endpoint of no other device
     * @param maker of the function on its DMA
     * @throws IllegalStateException there are as many as can be
     */
    public void add(int endpoint, Function<Dma, PciFunction> maker) {
        if (served.size() == DEVICES_MAX) {
            throw new IllegalStateException("there are " + DEVICES_MAX + " devices");
        }
        EngineDevice hardware = iommu.plug(endpoint, EndpointProperties.UNLIMITED);
        Served _ = assigned(maker.apply(hardware.dma(threads.guard())), hardware);
    }

    /** The registers of a device that are in this process: those of others are for VMMs. */
    private static PciFunction registersOf(PciDevice device) {
        if (device instanceof PciFunction function) {
            return function;
        }
        throw new IllegalArgumentException("no device for a program: " + device);
    }

    private Served assigned(PciFunction function, EngineDevice hardware) {
        AssignedDevice device =
                new AssignedDevice(threads.loop(), served.size(), function, hardware);
        served.add(device);
        byEndpoint.put(hardware.endpoint().id(), device);
        return device;
    }

    /** What programs find, and where; devices in the order of adding. */
    public ProgramFiles.Builder files() {
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
        return files;
    }

    /** What serves devices and programs. */
    public EventLoop loop() {
        return threads.loop();
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

    /** What guests' tables in front of the devices have come to. */
    public GuestTableCounts tableCounts() {
        return iommu.tableCounts();
    }

    /** Serves from now on. */
    public void start() {
        threads.start();
    }

    /** Takes devices away from programs, ends the threads. Works twice. */
    @Override
    public void close() throws IOException {
        for (AssignedDevice device : served) {
            device.close();
        }
        threads.close();
        for (EndpointDevice device : devices) {
            device.close();
        }
        if (threads.loop().isOver() && node.openContexts() == 0) {
            tables.close();
        }
    }
}
