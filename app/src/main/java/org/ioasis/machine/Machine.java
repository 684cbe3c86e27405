// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.LoopCounts;
import org.ioasis.loop.Polled;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.PinnedLease;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.peer.Served;
import org.ioasis.peer.SessionTasks;
import org.ioasis.spec.Pci;
import org.ioasis.sys.EngineMemory;
import org.ioasis.vfiouser.SessionLimits;
import org.ioasis.vfiouser.VfioUserServer;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtqueue.RingFormat;

/**
 * The devices of one virtual machine: its IOMMUs and what is behind each, every one a vfio-user
 * server on a socket of its own, all served by one event loop. Blocking file I/O goes to a small
 * pool.
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

    private static final int FAULT_CAPACITY = 64;
    private static final int FAULTS_PER_SECOND = 256;
    private static final int IO_THREADS = 2;

    private static final long ANSWER_NANOS = 2_000_000_000L;

    /** What an x86 VMM's devices have: the doorbell of interrupts, and nothing else. */
    public static final EndpointProperties X86_ENDPOINT =
            EndpointProperties.reserving(List.of(X86_MSI));

    private final String name;
    private final int regionLimit;
    private final RingFormat rings;
    private final Guards guards;
    private final Guard guard;
    private final EventLoop loop;
    private final ExecutorService io;
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
        guards = new Guards(System::nanoTime, this::endSessionOf);
        guard = guards.open();
        loop =
                new EventLoop(
                        name, Polled.of(guards::hasPending, guards::poll), System::nanoTime, idle);
        io =
                Executors.newFixedThreadPool(
                        IO_THREADS, Thread.ofPlatform().name(name + "-io-", 0).daemon().factory());
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
                loop.close();
                io.shutdown();
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
        EngineMemory reserved = EngineMemory.reserve(options.tableLimit());
        boolean isAdded = false;
        try {
            IommuUnit unit = iommu(iommuName, options, socket, reserved);
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
            String iommuName, IommuOptions options, Path socket, EngineMemory reserved)
            throws IOException {
        SessionTasks tasks = new SessionTasks(loop);
        TablePool pool = new TablePool(new EngineTables(reserved), options.tableLimit(), guards);
        Iommu engine =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(FAULT_CAPACITY, FAULTS_PER_SECOND, System::nanoTime),
                        MappingStores.forPageSizes(options.pageSizeMask(), pool));
        VirtioIommuDevice device = new VirtioIommuDevice(engine, tasks);
        GuestMemory memory = new GuestMemory(guards, regionLimit);
        VirtioPciFunction function =
                new VirtioPciFunction(
                        device,
                        new DirectDma(memory, guard),
                        Frame.features(rings),
                        Pci.CLASS_SYSTEM_IOMMU);
        Served server = served(socket, function, memory, tasks);
        return new IommuUnit(iommuName, engine, device, function, server, tasks);
    }

    /**
     * Adds a device behind {@code behind}. Before {@link #start}.
     *
     * @throws IllegalArgumentException the endpoint's id is taken, or there are too many
     * @throws IOException something of the host's cannot be opened, or the socket not made
     */
    public <D extends EndpointDevice> D add(IommuUnit behind, DeviceOptions<D> options)
            throws IOException {
        Port port = new Port(behind, options.place());
        boolean isAdded = false;
        try {
            D device = options.build(port);
            behind.add(device);
            isAdded = true;
            return device;
        } finally {
            if (!isAdded) {
                behind.engine().unplug(port.endpoint, () -> {});
            }
        }
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

    /** The one place that knows how VMMs reach a device. */
    private Served served(
            Path socket, VirtioPciFunction function, GuestMemory memory, SessionTasks tasks)
            throws IOException {
        Served served = new VfioUserServer(loop, socket, function, memory, SessionLimits.DEFAULT);
        tasks.of(served);
        return served;
    }

    private final class Port implements DevicePort {
        private final Endpoint endpoint;
        private final Dma dma;
        private final SessionTasks tasks = new SessionTasks(loop);
        private final GuestMemory memory = new GuestMemory(guards, regionLimit);
        private final Path socket;

        Port(IommuUnit behind, DevicePlace place) {
            endpoint = behind.engine().plug(place.endpoint(), place.properties());
            dma = behind.engine().dma(endpoint, memory, guard);
            socket = place.socket();
        }

        @Override
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

        @Override
        public EventLoop loop() {
            return loop;
        }

        @Override
        public VirtioPciFunction function(DeviceType type, int classCode) {
            return new VirtioPciFunction(type, dma, Frame.translated(rings), classCode);
        }

        @Override
        public Served serve(VirtioPciFunction function) throws IOException {
            return served(socket, function, memory, tasks);
        }
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
     * @return false if the loop does not answer within two seconds; the task may still run. False
     *     at once if the loop has failed
     */
    public boolean onLoop(Runnable task) {
        return !loop.hasFailed() && loop.executeAndWait(task, ANSWER_NANOS);
    }

    /** Serves from now on. */
    public void start() {
        loop.execute(guards::claim);
        loop.start();
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
        return loop.failures();
    }

    /**
     * A lease outlived its deadline inside a system call: its session cannot go on (loop thread).
     */
    private void endSessionOf(PinnedLease lease) {
        for (IommuUnit iommu : iommus) {
            for (EndpointDevice device : iommu.devices()) {
                if (lease.owner() instanceof Attachment owner
                        && owner.endpoint() == device.endpoint()) {
                    device.server()
                            .endSession(
                                    "a lease on 0x%x..0x%x could not be taken back at its deadline"
                                            .formatted(lease.first(), lease.last()));
                }
            }
        }
    }

    /** What the loop has done so far. */
    public LoopCounts loopCounts() {
        return loop.counts();
    }

    /** What the loop is doing, with its thread's stack, also when it does not answer. */
    public String loopState() {
        return loop.dump();
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
        loop.close();
        io.shutdown();
        try {
            boolean _ = io.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (IommuUnit iommu : iommus) {
            for (EndpointDevice device : iommu.devices()) {
                device.close();
            }
        }
        // The end of a session has dropped all domains, and nothing reaches a table but through
        // one; but a loop that hangs may be in the middle of anything.
        boolean areTablesUnused = loop.isOver();
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
