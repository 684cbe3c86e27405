// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.MAP_FIXED_IOVA;
import static org.ioasis.spec.Iommufd.MAP_READABLE;
import static org.ioasis.spec.Iommufd.MAP_WRITEABLE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.IommufdNesting.*;
import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.FaultQueue;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.memory.Guards;
import org.ioasis.smmuv3.Smmuv3Iommu;
import org.ioasis.spec.Smmuv3Command;
import org.ioasis.spec.Tegra241;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * What a guest with tables of its own does all day: it takes translations away, by entries of its
 * IOMMU's, by requests of virtio-iommu, or in a queue that nobody is called for; and it answers
 * page requests. Per entry; the same numbers as in {@code peers/hostmodel.c}. One thread.
 */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@State(Scope.Benchmark)
public class NestedBenchmarks {
    private static final int ENTRIES = 2_000_000;
    private static final int REQUESTS = 200_000;
    private static final int QUEUE = 1024;
    private static final long GUEST = 0x4000_0000L;
    private static final long ADDRESS = 0x7f00_0000_0000L;
    private static final long BYTES = 1 << 20;
    private static final int ASID = 9;

    /** The VMID of another guest. */
    private static final int OTHER = 0x7777;

    /** {@code native}, {@code virtio} or {@code direct}. */
    @Param("native")
    public String format = "";

    /** Entries of one call, or of one look at the queue. */
    @Param("1")
    public int batch;

    private final IommufdNode node = IommufdNode.builder().build();
    private final IommufdContext context = node.openContext();
    private final MemorySegment memory = Arena.ofAuto().allocate(BYTES, 4096);
    private final MemorySegment requests =
            Arena.ofAuto().allocate((long) QUEUE * INVALIDATE_SIZE, 64);
    private final Device device;
    private final Viommu viommu;
    private final FaultQueue faults;
    private final MemorySegment registers;

    public NestedBenchmarks() {
        try {
            device = device();
            PagingHwpt parent = parent(device);
            viommu =
                    parent.allocateViommu(
                            device,
                            VIOMMU_TEGRA241,
                            UserData.of(
                                    VIOMMU_TEGRA241, Arena.ofAuto().allocate(TEGRA241_SIZE, 8)));
            viommu.allocateDevice(device, 7);
            viommu.allocateQueue(HW_QUEUE_TEGRA241, 0, GUEST, (long) QUEUE * Smmuv3Command.SIZE);
            faults = context.allocateFaultQueue();
            MemorySegment entry = Arena.ofAuto().allocate(SMMUV3_SIZE, 8);
            device.attach(
                    viommu.allocateNested(device, 0, UserData.of(HWPT_DATA_SMMUV3, entry), faults)
                            .id(),
                    HwDevice.NO_PASID);
            registers = requireNonNull(viommu.window());
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
        registers.set(JAVA_INT, Tegra241.CONFIG, Tegra241.ENABLED);
        fill();
    }

    private Device device() throws IommufdException {
        Guards guards = new Guards(System::nanoTime, _ -> {});
        EngineIommu iommu =
                new EngineIommu(
                        node,
                        IommuOptions.DEFAULT,
                        guards,
                        new org.ioasis.iommu.fault.FaultQueue(64, 256, System::nanoTime),
                        IntervalStore::new,
                        Smmuv3Iommu.makerWithQueues());
        keepOthers((Iotlb) iommu.cached());
        return context.bind(iommu.plug(1, EndpointProperties.UNLIMITED));
    }

    /** What is kept is another guest's, at the same addresses: it is looked at and stays. */
    private static void keepOthers(Iotlb cached) {
        long tag = Iotlb.tag(OTHER, ASID, Iotlb.FIRST | Iotlb.SECOND);
        for (int i = 0; i < QUEUE; i++) {
            long address = address(i);
            int rights = Rights.READ | Rights.WRITE;
            if (!cached.fill(cached.epoch(), tag, address, address, rights, 12, 12, false)) {
                throw new IllegalStateException("not kept");
            }
        }
    }

    private static long address(int entry) {
        return 0x10_0000_0000L + ((long) entry << 12);
    }

    private PagingHwpt parent(Device of) throws IommufdException {
        Ioas ioas = context.allocateIoas();
        LockedMemory locked = new LockedMemory(new AtomicLong(), -1);
        ioas.map(
                new Owner(new SegmentMemory(ADDRESS, memory, locked), false),
                ADDRESS,
                BYTES,
                MAP_FIXED_IOVA | MAP_READABLE | MAP_WRITEABLE,
                GUEST);
        return context.allocateHwpt(of, ioas, HWPT_ALLOC_NEST_PARENT);
    }

    /** The same entry as a command in the guest's queue and as a request of virtio-iommu. */
    private void fill() {
        for (int i = 0; i < QUEUE; i++) {
            long address = address(i);
            long command = Smmuv3Command.TLBI_NH_VA | (long) ASID << Smmuv3Command.ASID_SHIFT;
            memory.set(JAVA_LONG, (long) i * Smmuv3Command.SIZE, command);
            memory.set(JAVA_LONG, (long) i * Smmuv3Command.SIZE + 8, address);
            MemorySegment request = requests.asSlice((long) i * INVALIDATE_SIZE, INVALIDATE_SIZE);
            request.set(JAVA_BYTE, INVALIDATE_HEAD, (byte) T_INVALIDATE);
            request.set(JAVA_SHORT, INVALIDATE_GRANULARITY, (short) GRANULARITY_VA);
            request.set(JAVA_SHORT, INVALIDATE_TYPE, (short) TYPE_IOTLB);
            request.set(JAVA_SHORT, INVALIDATE_FLAGS, (short) FLAG_ARCHID);
            request.set(JAVA_LONG, INVALIDATE_ARCHID, ASID);
            request.set(JAVA_LONG, INVALIDATE_VIRT_START, address);
            request.set(JAVA_LONG, INVALIDATE_NR_PAGES, 1);
            request.set(JAVA_BYTE, INVALIDATE_GRANULE, (byte) 12);
        }
    }

    @TearDown(Level.Trial)
    public void end() {
        device.detach(HwDevice.NO_PASID);
        context.release();
        device.unbind();
        if (node.heldPages() != 0) {
            throw new IllegalStateException(node.heldPages() + " pages are held");
        }
    }

    @Benchmark
    public void invalidate(Meter meter) {
        meter.begin();
        switch (format) {
            case "native" -> calls(INVALIDATE_SMMUV3, memory, Smmuv3Command.SIZE);
            case "virtio" -> calls(INVALIDATE_VIRTIO, requests, INVALIDATE_SIZE);
            default -> rings();
        }
        meter.end(ENTRIES);
    }

    private void calls(int type, MemorySegment queue, int size) {
        int at = 0;
        for (int done = 0; done < ENTRIES; done += batch) {
            if (at + batch > QUEUE) {
                at = 0;
            }
            long handled = viommu.invalidate(type, queue, (long) at * size, size, batch);
            if (Handled.done(handled) != batch) {
                throw new IllegalStateException("refused: " + Handled.refusal(handled));
            }
            at += batch;
        }
    }

    private void rings() {
        int prod = registers.get(JAVA_INT, Tegra241.PROD);
        for (int done = 0; done < ENTRIES; done += batch) {
            prod = (prod + batch) & (2 * QUEUE - 1);
            registers.set(JAVA_INT, Tegra241.PROD, prod);
            if (viommu.poll() != batch) {
                throw new IllegalStateException("not all were carried out");
            }
        }
    }

    /** A page request, until its answer is with the device. */
    @Benchmark
    public void pageRequest(Meter meter) {
        meter.begin();
        for (int i = 0; i < REQUESTS; i++) {
            device.requests().report(PGFAULT_FLAGS_LAST_PAGE, 0, i & 0x1ff, 1, (long) i << 12);
            FaultQueue.Taken taken = faults.take();
            if (taken == null || faults.answer(taken.cookie(), 0) != 0) {
                throw new IllegalStateException("no answer");
            }
        }
        meter.end(REQUESTS);
    }
}
