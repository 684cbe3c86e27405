// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.sys.EngineMemory;

/**
 * What every machine runs on, whoever its devices are for: one event loop, the guards that it owns
 * and asks, and a small pool for blocking file I/O. Made, started and closed by the machine's one
 * thread.
 */
final class MachineThreads {
    private static final int FAULT_CAPACITY = 64;
    private static final int FAULTS_PER_SECOND = 256;
    private static final int IO_THREADS = 2;
    private static final long CLOSE_SECONDS = 5;

    private final Supplier<List<EndpointDevice>> devices;
    private final Guards guards;
    private final Guard guard;
    private final EventLoop loop;
    private final ExecutorService io;

    /**
     * @param name of the loop's thread, with which those of the others begin
     * @param devices all of the machine's
     * @throws IOException the loop cannot be made
     */
    MachineThreads(String name, IdlePolicy idle, Supplier<List<EndpointDevice>> devices)
            throws IOException {
        this.devices = devices;
        guards = new Guards(System::nanoTime, this::endSessionOf);
        guard = guards.open();
        loop =
                new EventLoop(
                        name, Polled.of(guards::hasPending, guards::poll), System::nanoTime, idle);
        io =
                Executors.newFixedThreadPool(
                        IO_THREADS, Thread.ofPlatform().name(name + "-io-", 0).daemon().factory());
    }

    Guards guards() {
        return guards;
    }

    /** For whatever works on the loop. */
    Guard guard() {
        return guard;
    }

    EventLoop loop() {
        return loop;
    }

    Executor io() {
        return io;
    }

    /** For the faults of one IOMMU. */
    static FaultQueue faults() {
        return new FaultQueue(FAULT_CAPACITY, FAULTS_PER_SECOND, System::nanoTime);
    }

    /** The mapping stores of one IOMMU, with their tables in {@code reserved}. */
    Supplier<MappingStore> stores(IommuOptions options, EngineMemory reserved) {
        TablePool pool = new TablePool(new EngineTables(reserved), options.tableLimit(), guards);
        return MappingStores.forPageSizes(options.pageSizeMask(), pool);
    }

    /**
     * A lease outlived its deadline inside a system call: its session cannot go on (loop thread).
     */
    private void endSessionOf(PinnedLease lease) {
        for (EndpointDevice device : devices.get()) {
            if (lease.owner() instanceof Attachment owner
                    && owner.endpoint() == device.endpoint()) {
                device.server()
                        .endSession(
                                "a lease on 0x%x..0x%x could not be taken back at its deadline"
                                        .formatted(lease.first(), lease.last()));
            }
        }
    }

    /** Serves from now on. */
    void start() {
        loop.execute(guards::claim);
        loop.execute(loop::hurry);
        loop.start();
    }

    /** Ends the threads. Works twice. */
    void close() {
        loop.close();
        io.shutdown();
        try {
            boolean _ = io.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
