// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.MAP_FIXED_IOVA;
import static org.ioasis.spec.Iommufd.MAP_READABLE;
import static org.ioasis.spec.Iommufd.MAP_WRITEABLE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.Outcome;

/**
 * A machine whose guest has tables of its own: its memory, mapped in a page table that is a nesting
 * parent, and devices behind an IOMMU of some architecture. One thread.
 */
public final class NestedMachine {
    public static final long PAGE = 4096;
    public static final int PAGES = 512;

    /** Where its memory begins for its guest; it is elsewhere for the host. */
    public static final long FIRST = 0x10_0000;

    /** Where that is. */
    public static final long ADDRESS = 0x7f00_0000_0000L;

    private static final int INDEX_BITS = 9;
    private static final long TABLE_MASK = 0xf_ffff_ffff_f000L;

    public final IommufdNode node = IommufdNode.builder().build();
    public final IommufdContext context = node.openContext();
    public final EngineIommu iommu;
    public final EngineDevice hardware;
    public final EngineDevice otherHardware;
    public final Device device;
    public final Device other;
    public final Ioas ioas;
    public final PagingHwpt parent;
    public final org.ioasis.iommufd.FaultQueue requests;

    /** All of its memory. */
    public final MemorySegment ram = Arena.ofAuto().allocate(PAGES * PAGE, PAGE);

    /** Whose it is. */
    public final Owner owner;

    private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);
    private final Guards guards = new Guards(this::clock, _ -> {});
    private final Guard guard = guards.open();
    private final Guard open = guards.open();
    private boolean isOpen;
    private final FaultQueue faults = new FaultQueue(64, 1_000_000, System::nanoTime);
    private final MemorySegment buffer = Arena.ofAuto().allocate(8, 8);
    private final List<Device> bound = new ArrayList<>();
    private long nextPage = FIRST;

    public NestedMachine(Architecture.Maker architecture) throws IommufdException {
        iommu =
                new EngineIommu(
                        node,
                        IommuOptions.DEFAULT,
                        guards,
                        faults,
                        IntervalStore::new,
                        architecture);
        hardware = iommu.plug(0x51, EndpointProperties.UNLIMITED);
        otherHardware = iommu.plug(0x52, EndpointProperties.UNLIMITED);
        device = bind(hardware);
        other = bind(otherHardware);
        ioas = context.allocateIoas();
        owner = new Owner(new SegmentMemory(ADDRESS, ram, locked), false);
        int flags = MAP_FIXED_IOVA | MAP_READABLE | MAP_WRITEABLE;
        ioas.map(owner, ADDRESS, ram.byteSize(), flags, FIRST);
        parent = context.allocateHwpt(device, ioas, HWPT_ALLOC_NEST_PARENT | HWPT_ALLOC_PASID);
        requests = context.allocateFaultQueue();
    }

    private Device bind(EngineDevice one) throws IommufdException {
        Device made = context.bind(one);
        bound.add(made);
        return made;
    }

    /** Everything ends, and nothing is left. */
    public void close(int... pasids) {
        for (Device one : bound) {
            for (int pasid : pasids) {
                one.detach(pasid);
            }
            one.detach(NO_PASID);
        }
        context.release();
        bound.forEach(Device::unbind);
        assertThat(node.heldPages()).isZero();
        assertThat(node.openContexts()).isZero();
        assertThat(locked.pinned()).isZero();
        assertThat(iommu.memory().regionCount()).isZero();
        assertThat(iommu.iommu().domainCount()).isZero();
    }

    // Memory, as the guest sees it

    /** A page that nobody has, with zeros. */
    public long allocate() {
        long page = nextPage;
        nextPage += PAGE;
        ram.asSlice(page - FIRST, PAGE).fill((byte) 0);
        return page;
    }

    public void set(long physical, long word) {
        ram.set(JAVA_LONG, physical - FIRST, word);
    }

    public long get(long physical) {
        return ram.get(JAVA_LONG, physical - FIRST);
    }

    /**
     * Writes the entry of a page in a table of four levels, with tables on the way.
     *
     * @param tableBits of an entry that leads to a table
     * @return where the entry is
     */
    public long map(long root, long address, long leaf, long tableBits) {
        long table = root;
        for (int level = 3; level > 0; level--) {
            long at = table + index(address, level) * Long.BYTES;
            if (get(at) == 0) {
                set(at, allocate() | tableBits);
            }
            table = get(at) & TABLE_MASK;
        }
        long at = table + index(address, 0) * Long.BYTES;
        set(at, leaf);
        return at;
    }

    private static long index(long address, int level) {
        return address >>> (12 + INDEX_BITS * level) & ((1 << INDEX_BITS) - 1);
    }

    // Devices

    public Dma dma(int pasid) throws IommufdException {
        return pasid == NO_PASID ? hardware.dma(guard) : hardware.dma(pasid, guard);
    }

    /** A word that a device reads; -1: the access was refused. */
    public long read(Dma dma, long address) {
        dma.enter();
        Outcome outcome = dma.read(address, buffer, 0, Long.BYTES);
        dma.leave();
        return outcome == Outcome.OK ? buffer.get(JAVA_LONG, 0) : -1;
    }

    public Outcome write(Dma dma, long address, long word) {
        buffer.set(JAVA_LONG, 0, word);
        dma.enter();
        Outcome outcome = dma.write(address, buffer, 0, Long.BYTES);
        dma.leave();
        return outcome;
    }

    /** Whoever waits looks at the clock: that ends the section that it waits for. */
    private long clock() {
        endSection();
        return System.nanoTime();
    }

    private void endSection() {
        if (isOpen) {
            isOpen = false;
            open.leave();
        }
    }

    /** Whether an action that is taken while a device accesses memory waits until that is over. */
    public boolean waitsForAccess(Runnable action) {
        open.enter();
        isOpen = true;
        action.run();
        boolean hasWaited = !isOpen;
        endSection();
        return hasWaited;
    }

    /** The guest hears of what was refused since the last time; how much that was. */
    public int reportFaults() {
        int reported = 0;
        for (Fault fault = faults.poll(); fault != null; fault = faults.poll()) {
            iommu.report(fault);
            reported++;
        }
        return reported;
    }
}
