// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.LoopCounts;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.GuestMemory;
import org.ioasis.pci.PciDevice;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Journal;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionTasks;
import org.ioasis.peer.SharedMemory;
import org.ioasis.spec.Pci;
import org.ioasis.sys.EngineMemory;
import org.ioasis.vfiouser.SessionLimits;
import org.ioasis.vfiouser.VfioUserServer;
import org.ioasis.vhostuser.VhostUserDevice;
import org.ioasis.vhostuser.VhostUserServer;
import org.ioasis.virtio.iommu.Profile;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * The devices of one virtual machine: its IOMMUs and what is behind each, every one served on a
 * socket of its own, all by one event loop. Blocking file I/O goes to a small pool.
 *
 * <p>Built and closed by one thread; {@link #loopState} and the counters are for any.
 */
public final class Machine implements AutoCloseable {
    /**
     * Doorbell of x86 interrupt controllers: an endpoint's writes there are interrupts and are not
     * translated.
     */
    private static final ReservedRegion X86_MSI =
            new ReservedRegion(0xfee0_0000L, 0xfeef_ffffL, ReservedRegion.Kind.MSI);

    private static final System.Logger LOG = System.getLogger("org.ioasis.machine");
    private static final long ANSWER_NANOS = 2_000_000_000L;

    /** What an x86 VMM's devices have: the doorbell of interrupts, and nothing else. */
    public static final EndpointProperties X86_ENDPOINT =
            EndpointProperties.reserving(List.of(X86_MSI));

    private final String name;
    private final int regionLimit;
    private final RingFormat rings;
    private final MachineThreads threads;
    private final List<IommuUnit> iommus = new ArrayList<>();
    private final List<EngineMemory> tables = new ArrayList<>();

    /**
     * A machine without devices.
     *
     * @param name of the machine, and of the loop's thread
     * @throws IOException the loop cannot be made
     */
    public Machine(String name, IdlePolicy idle) throws IOException {
        this(name, idle, GuestMemory.REGION_LIMIT, RingFormat.SPLIT);
    }

    /**
     * A machine without devices.
     *
     * @param regionLimit regions of memory that the VMM may tell each device of, 1 to {@link
     *     GuestMemory#REGION_LIMIT}
     * @param rings PACKED: all devices offer packed rings beside split ones
     * @throws IOException the loop cannot be made
     */
    public Machine(String name, IdlePolicy idle, int regionLimit, RingFormat rings)
            throws IOException {
        this.name = name;
        this.regionLimit = regionLimit;
        this.rings = rings;
        threads = new MachineThreads(name, idle, () -> devices(EndpointDevice.class));
    }

    /**
     * A machine with one IOMMU.
     *
     * @param iommuSocket where the VMM connects the IOMMU's PCI function
     * @throws IOException the socket cannot be made
     */
    public Machine(String name, IommuOptions options, IdlePolicy idle, Path iommuSocket)
            throws IOException {
        this(name, idle);
        boolean isServed = false;
        try {
            addIommu("iommu", options, iommuSocket);
            isServed = true;
        } finally {
            if (!isServed) {
                threads.close();
            }
        }
    }

    /**
     * Adds an IOMMU with an engine and endpoint ids of its own. Before {@link #start}.
     *
     * @throws IOException the socket cannot be made
     */
    public IommuUnit addIommu(String iommuName, IommuOptions options, Path socket)
            throws IOException {
        return addIommu(iommuName, options, null, IommuTransport.VFIO_USER, socket);
    }

    /**
     * The same of one that is what {@code profile} says, besides what virtio 1.4 does.
     *
     * @param profile null: nothing
     * @param transport what its VMM speaks
     */
    public IommuUnit addIommu(
            String iommuName,
            IommuOptions options,
            @Nullable Profile profile,
            IommuTransport transport,
            Path socket)
            throws IOException {
        EngineMemory reserved = EngineMemory.reserve(options.tableLimit());
        boolean isAdded = false;
        try {
            IommuUnit unit = iommu(iommuName, options, profile, transport, socket, reserved);
            iommus.add(unit);
            tables.add(reserved);
            isAdded = true;
            return unit;
        } finally {
            if (!isAdded) {
                reserved.close();
            }
        }
    }

    private IommuUnit iommu(
            String iommuName,
            IommuOptions options,
            @Nullable Profile profile,
            IommuTransport transport,
            Path socket,
            EngineMemory reserved)
            throws IOException {
        SessionTasks tasks = new SessionTasks(threads.loop());
        Iommu engine =
                new Iommu(
                        options.toBuilder().name(name + "/" + iommuName).build(),
                        threads.guards(),
                        MachineThreads.faults(),
                        threads.stores(options, reserved));
        GuestMemory memory = memory();
        VirtioIommuDevice device =
                profile == null
                        ? new VirtioIommuDevice(engine, tasks)
                        : new VirtioIommuDevice(engine, tasks, profile, memory);
        // Linux tells nobody that a MAP has failed.
        Journal journal = new Journal(LOG, threads.loop()::nanoTime, threads.loop()::schedule);
        Supplier<String> line = () -> "%s/%s: %s".formatted(name, iommuName, device.limit());
        device.onLimit(() -> journal.say(Level.WARNING, line));
        Supplier<String> lost =
                () ->
                        "%s/%s: the state has no room where it would outlive this process: after a restart its driver must reset the device"
                                .formatted(name, iommuName);
        device.onLostState(() -> journal.say(Level.WARNING, lost));
        DirectDma dma = new DirectDma(memory, threads.guard());
        IommuUnit unit =
                switch (transport) {
                    case VFIO_USER -> {
                        VirtioPciFunction function =
                                new VirtioPciFunction(
                                        device, dma, Frame.features(rings), Pci.CLASS_SYSTEM_IOMMU);
                        Served server = served(socket, function, memory);
                        yield new IommuUnit(iommuName, engine, device, function, server, tasks);
                    }
                    case VHOST_USER -> {
                        VhostUserDevice offered =
                                new VhostUserDevice(device, dma, Frame.withoutRegisters(rings));
                        Served server =
                                new VhostUserServer(
                                        threads.loop(),
                                        socket,
                                        offered,
                                        memory,
                                        SharedMemory.USUAL_BYTES);
                        yield new IommuUnit(iommuName, engine, device, offered, server, tasks);
                    }
                };
        tasks.of(unit.server());
        return unit;
    }

    /** What a device shows of its machine, for an IOMMU whose VMM does not tell all. */
    private static void tellSigns(PciDevice device, IommuUnit iommu) {
        if (iommu.offered() instanceof VhostUserDevice told) {
            device.signs(told::guestActs, told::machineResets);
        }
    }

    /**
     * Adds a device behind {@code behind}. Before {@link #start}.
     *
     * @throws IllegalArgumentException the endpoint's id is taken, or there are too many
     * @throws IOException something of the host's cannot be opened, or the socket not made
     */
    public <D extends EndpointDevice> D add(IommuUnit behind, DeviceOptions<D> options)
            throws IOException {
        DevicePlace place = options.place();
        GuestMemory memory = memory();
        Endpoint endpoint = behind.engine().plug(place.endpoint(), place.properties());
        DevicePort port =
                new DevicePort(
                        endpoint,
                        behind.engine().dma(endpoint, memory, threads.guard()),
                        (domains, regions) -> {
                            behind.engine().listen(endpoint.attachment(), domains);
                            memory.listen(regions);
                        },
                        threads,
                        rings,
                        function -> {
                            tellSigns(function, behind);
                            return served(place.socket(), function, memory);
                        });
        boolean isAdded = false;
        try {
            D device = options.build(port);
            behind.add(device);
            isAdded = true;
            return device;
        } finally {
            if (!isAdded) {
                behind.engine().unplug(endpoint, () -> {});
            }
        }
    }

    /**
     * Adds a function of one's own behind {@code behind}. Before {@link #start}.
     *
     * @throws IllegalArgumentException the endpoint's id is taken, or there are too many
     * @throws IOException what {@code maker} throws, or the socket cannot be made
     */
    public FunctionDevice add(IommuUnit behind, DevicePlace place, FunctionMaker maker)
            throws IOException {
        return add(behind, new FunctionOptions(place, maker));
    }

    /**
     * Lets the driver know of an endpoint whose accesses do not come through us. Before {@link
     * #start}.
     *
     * @throws IllegalArgumentException the endpoint's id is taken, or there are too many
     */
    public void addPresent(IommuUnit behind, int endpoint, EndpointProperties properties) {
        behind.addPresent(behind.engine().plug(endpoint, properties));
    }

    /** The one place that knows how VMMs reach a device behind an IOMMU. */
    private Served served(Path socket, PciDevice device, GuestMemory memory) throws IOException {
        return new VfioUserServer(threads.loop(), socket, device, memory, SessionLimits.DEFAULT);
    }

    /** Of one device: each is told of the guest's memory by itself. */
    private GuestMemory memory() {
        return new GuestMemory(threads.guards(), regionLimit);
    }

    public String name() {
        return name;
    }

    /** Its IOMMUs in the order of adding. */
    public List<IommuUnit> iommus() {
        return List.copyOf(iommus);
    }

    /**
     * Runs {@code task} on the loop thread and waits for it; before the start, and after the end,
     * on the caller's.
     *
     * @return false if the loop has not begun the task within two seconds, and then never does, or
     *     has not ended it after two more; at once if the loop has failed
     */
    public boolean onLoop(Runnable task) {
        EventLoop loop = threads.loop();
        if (loop.hasFailed()) {
            return false;
        }
        // Whoever comes first has it: the loop, or the end of the wait.
        AtomicBoolean isTaken = new AtomicBoolean();
        boolean isDone =
                loop.executeAndWait(
                        () -> {
                            if (isTaken.compareAndSet(false, true)) {
                                task.run();
                            }
                        },
                        ANSWER_NANOS);
        return isDone
                || (!isTaken.compareAndSet(false, true)
                        && loop.executeAndWait(() -> {}, ANSWER_NANOS));
    }

    /** Serves from now on. */
    public void start() {
        threads.start();
    }

    /** Its devices of one kind, in the order of adding to each IOMMU. */
    public <D extends EndpointDevice> List<D> devices(Class<D> kind) {
        return iommus.stream()
                .flatMap(iommu -> iommu.devices().stream())
                .filter(kind::isInstance)
                .map(kind::cast)
                .toList();
    }

    /** How many requests to all IOMMUs were of this type and ended so. */
    public long requests(RequestType type, Status status) {
        long sum = 0;
        for (IommuUnit iommu : iommus) {
            sum += iommu.device().counts().answeredWith(type, status);
        }
        return sum;
    }

    /** Requests to all IOMMUs. */
    public long requests() {
        long sum = 0;
        for (IommuUnit iommu : iommus) {
            sum += iommu.device().counts().total();
        }
        return sum;
    }

    /** Accesses that were refused so far. */
    public long faults() {
        long sum = 0;
        for (IommuUnit iommu : iommus) {
            sum += iommu.engine().faults().reported();
        }
        return sum;
    }

    /** The last faults of each IOMMU, explained. */
    public List<Fault> recentFaults() {
        List<Fault> faults = new ArrayList<>();
        for (IommuUnit iommu : iommus) {
            faults.addAll(iommu.engine().faults().recent());
        }
        return faults;
    }

    /**
     * Calls on the loop that failed: each is a bug of ours, and {@link #loopState} has the reason
     * of the last.
     */
    public long internalFailures() {
        return threads.loop().failures();
    }

    /** What the loop has done so far. */
    public LoopCounts loopCounts() {
        return threads.loop().counts();
    }

    /** What the loop is doing, with its thread's stack, also when it does not answer. */
    public String loopState() {
        return threads.loop().dump();
    }

    /** One line on a fault, for people. */
    public static String describe(Fault fault) {
        return "endpoint 0x%x, %s at 0x%x: %s%s"
                .formatted(
                        fault.endpoint(),
                        fault.access(),
                        fault.address(),
                        fault.explanation(),
                        fault.count() > 1 ? " (" + fault.count() + " times)" : "");
    }

    /** Sum of the endpoints' accesses. */
    public EndpointCounts accesses() {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (IommuUnit iommu : iommus) {
            for (EndpointDevice device : iommu.devices()) {
                sum = sum.plus(device.accesses());
            }
        }
        return sum;
    }

    /** Ends the sessions, removes the sockets, ends the threads. Works twice. */
    @Override
    public void close() throws IOException {
        for (IommuUnit iommu : iommus) {
            for (EndpointDevice device : iommu.devices()) {
                device.server().close();
            }
            iommu.server().close();
        }
        threads.close();
        for (IommuUnit iommu : iommus) {
            for (EndpointDevice device : iommu.devices()) {
                device.close();
            }
        }
        // The end of a session has dropped all domains, and nothing reaches a table but through
        // one; but a loop that hangs may be in the middle of anything.
        boolean areTablesUnused = threads.loop().isOver();
        for (IommuUnit iommu : iommus) {
            areTablesUnused &= iommu.engine().domainCount() == 0;
        }
        if (areTablesUnused) {
            for (EngineMemory reserved : tables) {
                reserved.close();
            }
        }
    }
}
