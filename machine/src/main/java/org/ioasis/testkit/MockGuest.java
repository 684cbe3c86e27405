// SPDX-License-Identifier: Apache-2.0
package org.ioasis.testkit;

import java.io.Closeable;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.Executor;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.machine.FunctionMaker;
import org.ioasis.machine.FunctionPort;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.RegionAccess;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;

/**
 * A guest for a unit test: memory, an IOMMU, one function behind it, and what a driver does with
 * these. No VMM, no socket, no thread and no native code: a call of the function is over when the
 * driver's is, and what the function leaves for {@linkplain FunctionPort#tasks later} is done by
 * {@link #run}. Time stands still but for {@link #tick}. One thread.
 */
public final class MockGuest implements VirtioPciTransport.Bus, AutoCloseable {
    private static final int ENDPOINT = 0x88;
    private static final int DOMAIN = 1;
    private static final int FAULTS = 64;
    private static final int FAULTS_PER_SECOND = 1000;

    private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
    private final MemorySegment memory;
    private final FaultQueue faults;
    private final PagingDomain domain;
    private final PciFunction function;
    private final RegionAccess regions;
    private final MemorySegment word = MemorySegment.ofArray(new byte[Long.BYTES]);
    private final long[] interrupts;
    private long now;

    /**
     * A guest after power-on: nothing is mapped, and the function may not touch memory yet ({@link
     * #enable}).
     *
     * @param memoryBytes of memory, from guest-physical address 0 on; all zeros
     * @throws IOException what {@code maker} throws
     */
    public MockGuest(long memoryBytes, FunctionMaker maker) throws IOException {
        memory = Arena.ofAuto().allocate(memoryBytes, Pci.MSIX_ENTRY_SIZE);
        Guards guards = new Guards(() -> now, _ -> {});
        faults = new FaultQueue(FAULTS, FAULTS_PER_SECOND, () -> now);
        Iommu iommu = new Iommu(IommuOptions.DEFAULT, guards, faults, IntervalStore::new);
        GuestMemory regionsOfMemory = new GuestMemory(guards, 1);
        regionsOfMemory.add(new Region(0, memoryBytes - 1, memory, true, null));
        Endpoint endpoint = iommu.plug(ENDPOINT, EndpointProperties.UNLIMITED);
        domain = iommu.pagingDomain(DOMAIN);
        iommu.attach(endpoint.attachment(), domain, status -> check("ATTACH", status));
        Dma dma = iommu.dma(endpoint, regionsOfMemory, guards.open());
        function = maker.make(new Port(dma));
        regions = new RegionAccess(function);
        interrupts = new long[function.vectorCount()];
        function.vectors(vector -> {
            interrupts[vector]++;
            return true;
        });
    }

    private final class Port implements FunctionPort {
        private final Dma dma;

        Port(Dma dma) {
            this.dma = dma;
        }

        @Override
        public Dma dma() {
            return dma;
        }

        @Override
        public Executor tasks() {
            return tasks::add;
        }

        @Override
        public Executor io() {
            return tasks::add;
        }

        @Override
        public VirtioPciFunction function(DeviceType type, int classCode) {
            return new VirtioPciFunction(
                    type,
                    dma,
                    Virtio.F_VERSION_1
                            | Virtio.F_INDIRECT_DESC
                            | Virtio.F_EVENT_IDX
                            | Virtio.F_RING_RESET
                            | Virtio.F_ACCESS_PLATFORM,
                    classCode);
        }
    }

    private static void check(String what, Status status) {
        if (status != Status.OK) {
            throw new IllegalArgumentException(what + " was answered " + status);
        }
    }

    /** The guest's memory from guest-physical address 0 on, as its processors see it. */
    public MemorySegment memory() {
        return memory;
    }

    /**
     * Maps, as the driver of the IOMMU does.
     *
     * @param iova where the function will find it, a multiple of 4096
     * @param physical where it is in memory, a multiple of 4096
     * @param length bytes, a multiple of 4096
     * @param flags {@code MapFlags.READ} for what the function may read, {@code MapFlags.WRITE} for
     *     what it may write, or both
     * @throws IllegalArgumentException the IOMMU has refused it; the message has its answer
     */
    public void map(long iova, long physical, long length, int flags) {
        domain.map(iova, iova + length - 1, physical, flags, status -> check("MAP", status));
    }

    /**
     * Takes whole mappings away.
     *
     * @param iova first address
     * @param length bytes
     * @throws IllegalArgumentException the IOMMU has refused it; the message has its answer
     */
    public void unmap(long iova, long length) {
        domain.unmap(iova, iova + length - 1, status -> check("UNMAP", status));
    }

    /** Lets the function touch memory and send interrupts, as a driver does first of all. */
    public void enable() {
        configWrite(Pci.COMMAND, 2, Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
        int at = config(Pci.CAPABILITY_LIST, 1);
        while (at != 0 && config(at + Pci.CAP_LIST_ID, 1) != Pci.CAP_ID_MSIX) {
            at = config(at + Pci.CAP_LIST_NEXT, 1);
        }
        if (at != 0) {
            configWrite(at + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE);
        }
    }

    /**
     * Reads 1, 2 or 4 bytes of configuration space, zero-extended.
     *
     * @throws IllegalArgumentException they are not in it
     */
    @Override
    public int config(int offset, int size) {
        return (int) read(VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, offset, size);
    }

    /**
     * Writes 1, 2 or 4 bytes of configuration space.
     *
     * @throws IllegalArgumentException they are not in it
     */
    public void configWrite(int offset, int size, int value) {
        write(VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, offset, size, value);
    }

    /**
     * Reads 1, 2, 4 or 8 bytes of a BAR, zero-extended.
     *
     * @throws IllegalArgumentException they are not in one
     */
    @Override
    public long read(int bar, long offset, int size) {
        if (!regions.read(bar, offset, size, word, 0)) {
            throw nowhere(bar, offset, size);
        }
        return RegionAccess.register(word, 0, size);
    }

    /**
     * Writes 1, 2, 4 or 8 bytes of a BAR.
     *
     * @throws IllegalArgumentException they are not in one
     */
    @Override
    public void write(int bar, long offset, int size, long value) {
        RegionAccess.register(word, 0, size, value);
        if (!regions.write(bar, offset, size, word, 0)) {
            throw nowhere(bar, offset, size);
        }
    }

    private static IllegalArgumentException nowhere(int bar, long offset, int size) {
        return new IllegalArgumentException(
                "%d bytes at 0x%x of BAR %d are not there".formatted(size, offset, bar));
    }

    /** Does what the function has left for later, and what that leaves, until nothing is left. */
    public void run() {
        for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
            task.run();
        }
    }

    /** Lets {@code nanos} pass, 0 or more, and tells the function if it wants to be told. */
    public void tick(long nanos) {
        now += nanos;
        if (function.needsTick()) {
            function.tick(now);
        }
    }

    /** Resets the machine: the function is as after power-on, and what was mapped stays so. */
    public void reset() {
        function.reset();
    }

    /** How often a vector of MSI-X was sent so far. */
    public long interrupts(int vector) {
        return interrupts[vector];
    }

    /** What the IOMMU has refused so far, in its order: the first 64. */
    public List<Fault> faults() {
        return faults.waiting();
    }

    /** The function, for what its author wants to ask it. */
    public PciFunction function() {
        return function;
    }

    /** Closes the function, if it is {@link Closeable}. */
    @Override
    public void close() throws IOException {
        if (function instanceof Closeable closeable) {
            closeable.close();
        }
    }
}
