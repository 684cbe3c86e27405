package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.PinnedLease;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.spec.Virtio;
import org.ioasis.vfiouser.SessionLimits;
import org.ioasis.vfiouser.VfioUserServer;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.VirtioBlk;
import org.ioasis.virtio.iommu.RequestCounts;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.jspecify.annotations.Nullable;

/**
 * The devices of one virtual machine: an IOMMU and the disks behind it, each a vfio-user server on
 * a socket of its own, all served by one event loop. Blocking file I/O goes to a small pool.
 *
 * <p>Built and closed by one thread; {@link #dump} and the counters are for any.
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
    private static final long DUMP_NANOS = 2_000_000_000L;

    private final Guards guards;
    private final Guard guard;
    private final EventLoop loop;
    private final ExecutorService io;
    private final Iommu iommu;
    private final VirtioIommuDevice iommuDevice;
    private final VfioUserServer iommuServer;
    private final VirtioPciFunction iommuFunction;
    private final List<Disk> disks = new ArrayList<>();

    /**
     * @param name of the loop's thread
     * @param iommuSocket where the VMM connects the IOMMU's PCI function
     * @throws IOException the socket cannot be made
     */
    public Machine(String name, IommuOptions options, IdlePolicy idle, Path iommuSocket)
            throws IOException {
        guards = new Guards(System::nanoTime, this::endSessionOf);
        guard = guards.open();
        loop = new EventLoop(name, guards, System::nanoTime, idle);
        io =
                Executors.newFixedThreadPool(
                        IO_THREADS, Thread.ofPlatform().name(name + "-io-", 0).daemon().factory());
        iommu =
                new Iommu(
                        options,
                        guards,
                        new FaultQueue(FAULT_CAPACITY, FAULTS_PER_SECOND, System::nanoTime),
                        IntervalStore::new);
        iommuDevice = new VirtioIommuDevice(iommu, loop::execute);
        GuestMemory memory = new GuestMemory(guards, SessionLimits.DEFAULT.regions());
        iommuFunction =
                new VirtioPciFunction(
                        iommuDevice,
                        new DirectDma(memory, guard),
                        Virtio.F_VERSION_1
                                | Virtio.F_INDIRECT_DESC
                                | Virtio.F_EVENT_IDX
                                | Virtio.F_RING_RESET,
                        Pci.CLASS_SYSTEM_IOMMU);
        boolean isServed = false;
        try {
            iommuServer =
                    new VfioUserServer(
                            loop, iommuSocket, iommuFunction, memory, SessionLimits.DEFAULT);
            isServed = true;
        } finally {
            if (!isServed) {
                loop.close();
                io.shutdown();
            }
        }
    }

    /**
     * Adds a disk. Before {@link #start}.
     *
     * @param name for reports, and the serial number that the guest sees
     * @param endpointId what the IOMMU tells the disk by; the topology table must give its function
     *     the same id
     * @throws IOException the file cannot be opened or the socket not made
     */
    public Disk addDisk(String name, int endpointId, Path file, boolean isWritable, Path socket)
            throws IOException {
        FileStore store = FileStore.open(file, isWritable);
        Endpoint endpoint = iommu.plug(endpointId, EndpointProperties.reserving(List.of(X86_MSI)));
        GuestMemory memory = new GuestMemory(guards, SessionLimits.DEFAULT.regions());
        VirtioBlk blk = new VirtioBlk(store, BlkSettings.of(name), io, loop::execute);
        VirtioPciFunction function =
                new VirtioPciFunction(
                        blk,
                        iommu.dma(endpoint, memory, guard),
                        Virtio.F_VERSION_1
                                | Virtio.F_ACCESS_PLATFORM
                                | Virtio.F_INDIRECT_DESC
                                | Virtio.F_EVENT_IDX,
                        Pci.CLASS_STORAGE_SCSI);
        VfioUserServer server =
                new VfioUserServer(loop, socket, function, memory, SessionLimits.DEFAULT);
        Disk disk = new Disk(name, endpoint, blk, store, function, server);
        disks.add(disk);
        return disk;
    }

    /** Serves from now on. */
    public void start() {
        loop.start();
    }

    public List<Disk> disks() {
        return List.copyOf(disks);
    }

    /** The IOMMU's requests so far. */
    public RequestCounts requests() {
        return iommuDevice.counts();
    }

    /** Accesses that the IOMMU refused so far. */
    public long faults() {
        return iommu.faults().reported();
    }

    /** The last faults, explained. */
    public List<Fault> recentFaults() {
        return iommu.faults().recent();
    }

    /**
     * Calls on the loop that failed: each is a bug of ours, and the reason stands in {@link #dump}.
     */
    public long internalFailures() {
        return loop.failures();
    }

    /**
     * A lease outlived its deadline inside a system call: its session cannot go on (loop thread).
     */
    private void endSessionOf(PinnedLease lease) {
        for (Disk disk : disks) {
            if (lease.isOwnedBy(disk.endpoint())) {
                disk.server()
                        .endSession(
                                "a lease on 0x%x..0x%x could not be taken back at its deadline"
                                        .formatted(lease.first(), lease.last()));
            }
        }
    }

    /**
     * Everything that helps to see why a guest does not go on: loop, sessions, devices, domains,
     * counters. When the loop does not answer, what can be seen from outside.
     */
    public String dump() {
        StringBuilder text = new StringBuilder(loop.dump());
        text.append(iommuServer.dump());
        text.append(device("iommu", iommuFunction));
        for (Disk disk : disks) {
            text.append(disk.server().dump());
            text.append(device(disk.name(), disk.function()));
            text.append("  ")
                    .append(disk.accesses())
                    .append("\n  ")
                    .append(disk.requests())
                    .append('\n');
        }
        text.append("requests:");
        for (RequestType type : RequestType.values()) {
            for (Status status : Status.values()) {
                long count = requests().answeredWith(type, status);
                if (count > 0) {
                    text.append(' ')
                            .append(type)
                            .append('/')
                            .append(status)
                            .append('=')
                            .append(count);
                }
            }
        }
        text.append(" unanswered=").append(requests().unansweredRequests()).append('\n');
        for (Fault fault : recentFaults()) {
            text.append("fault: ").append(describe(fault)).append('\n');
        }
        String[] domains = {"domains: the loop does not answer\n"};
        boolean _ = loop.executeAndWait(() -> domains[0] = iommu.dump(), DUMP_NANOS);
        return text.append(domains[0]).toString();
    }

    private static String device(String name, VirtioPciFunction function) {
        String reason = function.device().brokenReason();
        return "  %s: status 0x%x, features 0x%x%s%n"
                .formatted(
                        name,
                        function.device().status(),
                        function.device().driverFeatures(),
                        reason == null ? "" : ", needs reset: " + reason);
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
        for (Disk disk : disks) {
            sum = sum.plus(disk.accesses());
        }
        return sum;
    }

    /** Ends the sessions, removes the sockets, ends the threads. Works twice. */
    @Override
    public void close() throws IOException {
        for (Disk disk : disks) {
            disk.server().close();
        }
        iommuServer.close();
        loop.close();
        io.shutdown();
        try {
            boolean _ = io.awaitTermination(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (Disk disk : disks) {
            disk.store().close();
        }
    }

    /** The disk with this name, or null. */
    public @Nullable Disk disk(String name) {
        for (Disk disk : disks) {
            if (disk.name().equals(name)) {
                return disk;
            }
        }
        return null;
    }
}
