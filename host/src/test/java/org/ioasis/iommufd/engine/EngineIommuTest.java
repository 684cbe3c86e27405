// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_DIRTY_TRACKING;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.MAP_FIXED_IOVA;
import static org.ioasis.spec.Iommufd.MAP_READABLE;
import static org.ioasis.spec.Iommufd.MAP_WRITEABLE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.RevocableBuffer;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Devices of the engine on the address spaces of iommufd: bytes get where a mapping says. */
class EngineIommuTest {
    private static final long PAGE = 4096;
    private static final long PAGES = 16;
    private static final long ADDRESS = 0x10_0000;
    private static final int RW = MAP_READABLE | MAP_WRITEABLE;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final FaultQueue faults = new FaultQueue(64, 256, System::nanoTime);
    private final EngineIommu iommu =
            new EngineIommu(node, IommuOptions.DEFAULT, guards, faults, IntervalStore::new);
    private final IommufdContext context = node.openContext();
    private final MemorySegment bytes = Arena.ofAuto().allocate(PAGES * PAGE, PAGE);
    private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);
    private final Owner owner = new Owner(new SegmentMemory(ADDRESS, bytes, locked), false);
    private final EngineDevice one = iommu.plug(1, EndpointProperties.UNLIMITED);
    private final EngineDevice two = iommu.plug(2, EndpointProperties.UNLIMITED);
    private final MemorySegment buffer = Arena.ofAuto().allocate(PAGES * PAGE, 8);

    private final List<Device> bound = new ArrayList<>();

    private Device bind(EngineDevice device) throws IommufdException {
        Device made = context.bind(device);
        bound.add(made);
        return made;
    }

    @AfterEach
    void nothingIsLeft() {
        context.release();
        for (Device device : bound) {
            device.detach(5);
            device.detach(NO_PASID);
            device.unbind();
        }
        assertThat(node.heldPages()).isZero();
        assertThat(node.openContexts()).isZero();
        assertThat(locked.pinned()).isZero();
        assertThat(locked.user()).isZero();
        assertThat(iommu.memory().regionCount()).isZero();
        assertThat(iommu.iommu().domainCount()).isZero();
        assertThat(iommu.iommu().mappingCount()).isZero();
    }

    private Outcome read(Dma dma, long iova, long length) {
        dma.enter();
        try {
            return dma.read(iova, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    private Outcome write(Dma dma, long iova, long length) {
        dma.enter();
        try {
            return dma.write(iova, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    @Test
    void whatOneDeviceWritesTheOtherReadsUntilItIsReplaced() throws IommufdException {
        Device first = bind(one);
        Device second = bind(two);
        Ioas shared = context.allocateIoas();
        Ioas other = context.allocateIoas();
        long iova = shared.map(owner, ADDRESS, PAGES * PAGE, RW, 0);
        Dma writer = one.dma(guards.open());
        Dma reader = two.dma(guards.open());
        assertThat(write(writer, iova, 8)).isEqualTo(Outcome.FAULT);
        first.attach(shared.id(), NO_PASID);
        int hwpt = second.attach(shared.id(), NO_PASID);
        assertThat(hwpt)
                .as("one table for both")
                .isEqualTo(requireNonNull(first.attached(NO_PASID)).id());
        assertThat(node.heldPages()).isEqualTo(PAGES);
        for (long i = 0; i < PAGES * PAGE; i++) {
            buffer.set(JAVA_BYTE, i, (byte) (i * 7));
        }
        assertThat(write(writer, iova, PAGES * PAGE)).isEqualTo(Outcome.OK);
        assertThat(bytes.mismatch(buffer)).isEqualTo(-1);
        buffer.fill((byte) 0);
        assertThat(read(reader, iova, PAGES * PAGE)).isEqualTo(Outcome.OK);
        assertThat(bytes.mismatch(buffer)).isEqualTo(-1);
        assertThat(read(reader, iova, PAGES * PAGE + 1)).isEqualTo(Outcome.FAULT);

        second.replace(other.id(), NO_PASID);
        assertThat(read(reader, iova, 8)).isEqualTo(Outcome.FAULT);
        assertThat(read(writer, iova, 8)).isEqualTo(Outcome.OK);
        assertThat(faults.recent().toString()).contains("of endpoint 0x2 at 0x20000");
        second.detach(NO_PASID);
        first.detach(NO_PASID);
        assertThat(read(writer, iova, 8)).isEqualTo(Outcome.FAULT);
        assertThat(node.heldPages()).as("nobody needs them").isZero();
        assertThat(one.counts().faults()).isEqualTo(2);
    }

    @Test
    void copiesOfAMappingLeadToTheSameBytesWithTheirOwnRights() throws IommufdException {
        Ioas from = context.allocateIoas();
        Ioas to = context.allocateIoas();
        bind(one).attach(from.id(), NO_PASID);
        bind(two).attach(to.id(), NO_PASID);
        long iova = from.map(owner, ADDRESS, 4 * PAGE, RW, 0);
        long copy = to.copy(from, iova + PAGE, PAGE, MAP_READABLE | MAP_FIXED_IOVA, 1L << 40);
        Dma writer = one.dma(guards.open());
        Dma reader = two.dma(guards.open());
        buffer.set(JAVA_LONG, 0, 0x1122334455667788L);
        assertThat(write(writer, iova + PAGE + 8, 8)).isEqualTo(Outcome.OK);
        buffer.set(JAVA_LONG, 0, 0);
        assertThat(read(reader, copy + 8, 8)).isEqualTo(Outcome.OK);
        assertThat(buffer.get(JAVA_LONG, 0)).isEqualTo(0x1122334455667788L);
        assertThat(write(reader, copy, 8)).isEqualTo(Outcome.FAULT);
        assertThat(read(reader, iova, 8)).isEqualTo(Outcome.FAULT);
        assertThat(from.unmap(iova, 4 * PAGE)).isEqualTo(4 * PAGE);
        assertThat(read(writer, iova, 8)).isEqualTo(Outcome.FAULT);
        assertThat(read(reader, copy, 8)).as("the copy stays").isEqualTo(Outcome.OK);
        assertThat(node.heldPages()).isEqualTo(1);
    }

    @Test
    void aPasidHasAnAddressSpaceOfItsOwn() throws IommufdException {
        Device device = bind(one);
        Ioas plain = context.allocateIoas();
        Ioas special = context.allocateIoas();
        PagingHwpt first = context.allocateHwpt(device, plain, HWPT_ALLOC_PASID);
        PagingHwpt second = context.allocateHwpt(device, special, HWPT_ALLOC_PASID);
        plain.map(owner, ADDRESS, PAGE, RW | MAP_FIXED_IOVA, PAGE);
        special.map(owner, ADDRESS + PAGE, PAGE, RW | MAP_FIXED_IOVA, PAGE);
        device.attach(first.id(), NO_PASID);
        device.attach(second.id(), 5);
        Dma without = one.dma(guards.open());
        Dma with = one.dma(5, guards.open());
        bytes.set(JAVA_LONG, 0, 1);
        bytes.set(JAVA_LONG, PAGE, 2);
        assertThat(read(without, PAGE, 8)).isEqualTo(Outcome.OK);
        assertThat(buffer.get(JAVA_LONG, 0)).isEqualTo(1);
        assertThat(read(with, PAGE, 8)).isEqualTo(Outcome.OK);
        assertThat(buffer.get(JAVA_LONG, 0)).isEqualTo(2);
        device.detach(5);
        assertThat(read(with, PAGE, 8)).isEqualTo(Outcome.FAULT);
        device.attach(first.id(), 5);
        assertThat(read(with, PAGE, 8)).as("the same way to memory").isEqualTo(Outcome.OK);
        assertThat(buffer.get(JAVA_LONG, 0)).isEqualTo(1);
        device.detach(5);
        refuses(Errno.EINVAL, () -> device.attach(first.id(), 1 << 20));
    }

    @Test
    void withoutLargePagesAMappingIsCutForDevicesToo() throws IommufdException {
        Ioas ioas = context.allocateIoas();
        ioas.useLargePages(false);
        bind(one).attach(ioas.id(), NO_PASID);
        ioas.map(owner, ADDRESS, 4 * PAGE, RW | MAP_FIXED_IOVA, PAGE);
        assertThat(iommu.iommu().mappingCount()).isEqualTo(4);
        assertThat(read(one.dma(guards.open()), PAGE, 4 * PAGE)).isEqualTo(Outcome.OK);
    }

    @Test
    void reservedIovasOfADeviceKeepMappingsOutAndTheDeviceAway() throws IommufdException {
        EngineDevice picky =
                iommu.plug(
                        3,
                        new EndpointProperties(
                                0,
                                PAGE,
                                (1L << 32) - 1,
                                ReservedWindows.of(
                                        List.of(
                                                new ReservedRegion(
                                                        0xfee00000L, 0xfeefffffL, Kind.MSI)))));
        Ioas ioas = context.allocateIoas();
        Device device = bind(picky);
        device.attach(ioas.id(), NO_PASID);
        assertThat(ioas.usable())
                .containsExactly(
                        new IovaRange(PAGE, 0xfedfffffL), new IovaRange(0xfef00000L, 0xffffffffL));
        refuses(
                Errno.EINVAL,
                () -> ioas.map(owner, ADDRESS, PAGE, RW | MAP_FIXED_IOVA, 0xfee00000L));
        device.detach(NO_PASID);
        ioas.map(owner, ADDRESS, PAGE, RW | MAP_FIXED_IOVA, 0xfee00000L);
        refuses(Errno.EADDRINUSE, () -> device.attach(ioas.id(), NO_PASID));
    }

    @Test
    void whatNoAddressSpaceCouldGiveADeviceIsNotPlugged() {
        assertThatThrownBy(() -> iommu.plug(1, EndpointProperties.UNLIMITED))
                .isInstanceOf(IllegalArgumentException.class);
        ReservedRegion identity = new ReservedRegion(0, 0xffff, Kind.IDENTITY);
        assertThatThrownBy(() -> iommu.plug(9, EndpointProperties.reserving(List.of(identity))))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() ->
                        iommu.plug(
                                9, new EndpointProperties(1 << 21, 0, -1L, ReservedWindows.NONE)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void whatTheEngineDoesNotHaveIsRefused() throws IommufdException {
        Device device = bind(one);
        Ioas ioas = context.allocateIoas();
        for (int flags : new int[] {HWPT_ALLOC_NEST_PARENT, HWPT_ALLOC_DIRTY_TRACKING}) {
            refuses(Errno.EOPNOTSUPP, () -> context.allocateHwpt(device, ioas, flags));
        }
        IommufdNode elsewhere = IommufdNode.builder().build();
        EngineIommu another =
                new EngineIommu(
                        elsewhere,
                        IommuOptions.DEFAULT,
                        new Guards(System::nanoTime, _ -> {}),
                        faults,
                        IntervalStore::new);
        Device stranger = bind(another.plug(1, EndpointProperties.UNLIMITED));
        PagingHwpt ours = context.allocateHwpt(device, ioas, 0);
        refuses(Errno.EINVAL, () -> stranger.attach(ours.id(), NO_PASID));
        assertThat(stranger.attached(NO_PASID)).isNull();
    }

    @Test
    void atTheEnginesLimitsNothingOfACallIsLeft() throws IommufdException {
        IommuOptions few = IommuOptions.builder().domainLimit(2).mappingLimit(3).build();
        IommufdNode small = IommufdNode.builder().build();
        EngineIommu limited =
                new EngineIommu(
                        small,
                        few,
                        new Guards(System::nanoTime, _ -> {}),
                        faults,
                        IntervalStore::new);
        IommufdContext opened = small.openContext();
        Ioas ioas = opened.allocateIoas();
        ioas.useLargePages(false);
        Device device = opened.bind(limited.plug(1, EndpointProperties.UNLIMITED));
        device.attach(ioas.id(), NO_PASID);
        Ioas empty = opened.allocateIoas();
        PagingHwpt last = opened.allocateHwpt(device, empty, 0);
        int objects = opened.objects();
        refuses(Errno.ENOMEM, () -> opened.allocateHwpt(device, empty, 0));
        assertThat(opened.objects()).isEqualTo(objects);
        assertThat(limited.iommu().domainCount()).isEqualTo(2);
        opened.destroy(last.id());
        refuses(Errno.ENOMEM, () -> ioas.map(owner, ADDRESS, 4 * PAGE, RW, 0));
        assertThat(limited.iommu().mappingCount()).isZero();
        assertThat(small.heldPages()).isZero();
        ioas.map(owner, ADDRESS, 3 * PAGE, RW, 0);
        assertThat(limited.iommu().mappingCount()).isEqualTo(3);
        opened.release();
        assertThat(small.openContexts()).as("a driver has a device of it").isEqualTo(1);
        assertThatThrownBy(device::unbind).isInstanceOf(IllegalStateException.class);
        device.detach(NO_PASID);
        device.unbind();
        assertThat(small.openContexts()).isZero();
        assertThat(small.heldPages()).isZero();
    }

    /** Pages that can be read and written, but are no memory of this process. */
    private record Distant(MemorySegment bytes) implements PageSource {
        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            MemorySegment.copy(bytes, offset, to, at, length);
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            MemorySegment.copy(from, at, bytes, offset, length);
            return 0;
        }
    }

    @Test
    void pagesThatOnlyCallsReachAreHeldAndRefusedToDevices() throws IommufdException {
        Ioas ioas = context.allocateIoas();
        bind(one).attach(ioas.id(), NO_PASID);
        RevocableBuffer distant = new RevocableBuffer(new Distant(bytes), PAGES * PAGE);
        long iova = ioas.map(owner, distant, 0, PAGE, RW, 0);
        assertThat(node.heldPages()).isEqualTo(1);
        assertThat(read(one.dma(guards.open()), iova, 8)).isEqualTo(Outcome.REFUSED);
        assertThat(iommu.memory().regionCount()).as("told of, and closed").isEqualTo(1);
        assertThatThrownBy(() ->
                        new EngineIommu(
                                node, IommuOptions.DEFAULT, guards, faults, IntervalStore::new))
                .as("it would not know what is held already")
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void memoryOfSegmentsIsReadOnlyOrGoneAsTheyAre() throws IommufdException {
        SegmentMemory constant = new SegmentMemory(ADDRESS, bytes.asReadOnly());
        Ioas ioas = context.allocateIoas();
        bind(one).attach(ioas.id(), NO_PASID);
        refuses(Errno.EFAULT, () -> ioas.map(new Owner(constant, false), ADDRESS, PAGE, RW, 0));
        Dma dma = one.dma(guards.open());
        long iova = ioas.map(new Owner(constant, false), ADDRESS, PAGE, MAP_READABLE, 0);
        assertThat(read(dma, iova, 8)).isEqualTo(Outcome.OK);
        Arena arena = Arena.ofShared();
        SegmentMemory gone = new SegmentMemory(ADDRESS, arena.allocate(PAGE, PAGE));
        refuses(Errno.EFAULT, () -> ioas.map(new Owner(gone, false), ADDRESS, 2 * PAGE, RW, 0));
        arena.close();
        assertThat(gone.isGone()).isTrue();
        assertThat(gone.read(ADDRESS, buffer, 0, 8)).isEqualTo(-Errno.EFAULT.number());
        refuses(Errno.EFAULT, () -> ioas.map(new Owner(gone, false), ADDRESS, PAGE, RW, 0));
        for (long[] odd : new long[][] {{ADDRESS + 1, PAGE}, {ADDRESS, 100}, {-PAGE, PAGE}}) {
            MemorySegment some = MemorySegment.ofArray(new byte[(int) odd[1]]);
            assertThatThrownBy(() -> new SegmentMemory(odd[0], some))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    /** The fence of the engine: a page is not given back while an access is in it. */
    @Test
    @Timeout(60)
    void anUnmapReturnsOnlyWhenNoDeviceIsInTheMemoryAnyMore() throws Exception {
        Ioas ioas = context.allocateIoas();
        bind(one).attach(ioas.id(), NO_PASID);
        CountDownLatch inSection = new CountDownLatch(1);
        CountDownLatch isUnmapped = new CountDownLatch(1);
        AtomicReference<Outcome> outcome = new AtomicReference<>();
        AtomicBoolean wasEarly = new AtomicBoolean();
        long iova = ioas.map(owner, ADDRESS, PAGE, RW, 0);
        Dma dma = one.dma(guards.open());
        Thread device =
                new Thread(() -> {
                    dma.enter();
                    outcome.set(dma.resolve(iova, 8, Access.WRITE));
                    inSection.countDown();
                    try {
                        wasEarly.set(isUnmapped.await(300, TimeUnit.MILLISECONDS));
                    } catch (InterruptedException e) {
                        throw new AssertionError(e);
                    }
                    dma.segment().set(JAVA_LONG, dma.offset(), 42);
                    dma.leave();
                });
        device.start();
        inSection.await();
        long unmapped = ioas.unmap(iova, PAGE);
        isUnmapped.countDown();
        device.join();
        assertThat(unmapped).isEqualTo(PAGE);
        assertThat(outcome.get()).isEqualTo(Outcome.OK);
        assertThat(wasEarly).as("unmapped while the device was in it").isFalse();
        assertThat(bytes.get(JAVA_LONG, 0)).isEqualTo(42);
    }
}
