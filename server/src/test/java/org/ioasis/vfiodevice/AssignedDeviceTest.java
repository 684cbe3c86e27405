// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.Outcome;
import org.ioasis.peer.SharedMemory;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioType1;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.EventFd;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Memfd;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A VFIO device and its group as a program sees them: every call's rules, and where DMA gets. */
class AssignedDeviceTest {
    private static final long PAGE = 4096;
    private static final long PAGES = 64;
    private static final long MEMORY = 0x40_0000;

    /** Where calls have their structures: the last page. */
    private static final long STRUCTURE = MEMORY + (PAGES - 1) * PAGE;

    private static final int MSIX = VfioUser.VFIO_PCI_MSIX_IRQ_INDEX;
    private static final int TRIGGER = VfioUser.VFIO_IRQ_SET_ACTION_TRIGGER;
    private static final int RW = Iommufd.MAP_READABLE | Iommufd.MAP_WRITEABLE;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final EngineIommu iommu =
            new EngineIommu(
                    node,
                    IommuOptions.DEFAULT,
                    guards,
                    new FaultQueue(64, 256, System::nanoTime),
                    IntervalStore::new);
    private final EngineDevice hardware = iommu.plug(1, EndpointProperties.UNLIMITED);
    private final Dma dma = hardware.dma(guards.open());
    private final PlainFunction function = new PlainFunction();
    private final MemorySegment bytes = Arena.ofAuto().allocate(PAGES * PAGE, PAGE);
    private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);
    private final SegmentMemory memory = new SegmentMemory(MEMORY, bytes, locked);
    private final ProgramStub program = new ProgramStub(memory);
    private final List<OpenFile> open = new ArrayList<>();
    private final List<EventFd> events = new ArrayList<>();
    private final MemorySegment buffer = Arena.ofAuto().allocate(PAGE, 8);
    private EventLoop loop;
    private AssignedDevice device;

    @BeforeEach
    void plug() throws ErrnoException {
        loop =
                new EventLoop(
                        "test",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        device = new AssignedDevice(loop, 5, function, hardware);
        // What it is was read once.
        function.accesses.clear();
    }

    @AfterEach
    void nothingIsLeft() {
        for (OpenFile file : open.reversed()) {
            file.release();
        }
        events.forEach(EventFd::close);
        device.close();
        loop.close();
        assertThat(node.openContexts()).as("open contexts").isZero();
        assertThat(node.heldPages()).as("held pages").isZero();
        assertThat(locked.pinned()).as("pages charged").isZero();
        assertThat(device.hasSession()).isFalse();
        assertThat(function.sink.trigger(0)).isFalse();
    }

    private IommufdContext context() {
        IommufdContext made = node.openContext();
        open.add(made);
        return made;
    }

    private OpenFile opened() {
        OpenFile file = device.open(program);
        open.add(file);
        return file;
    }

    private OpenFile group() throws Exception {
        OpenFile file = device.openGroup(program);
        open.add(file);
        return file;
    }

    /** The structure is these ints, one after the other. */
    private void ints(int... values) {
        bytes.asSlice(STRUCTURE - MEMORY, PAGE).fill((byte) 0x5a);
        for (int i = 0; i < values.length; i++) {
            bytes.set(JAVA_INT_UNALIGNED, STRUCTURE - MEMORY + 4L * i, values[i]);
        }
    }

    private int field(int offset) {
        return bytes.get(JAVA_INT_UNALIGNED, STRUCTURE - MEMORY + offset);
    }

    private static final int UNTOUCHED = 0x5a5a5a5a;

    private long call(OpenFile file, int command, int... structure) {
        ints(structure);
        return file.ioctl(program, command, STRUCTURE);
    }

    private static long no(Errno errno) {
        return -errno.number();
    }

    private OpenFile bound(IommufdContext context) {
        OpenFile file = opened();
        assertThat(call(file, VfioDevice.BIND_IOMMUFD, 16, 0, program.opened(context), 0)).isZero();
        return file;
    }

    private void map(Ioas ioas, long page, long pages, long iova) throws Exception {
        ioas.map(
                new Owner(memory, false),
                MEMORY + page * PAGE,
                pages * PAGE,
                RW | Iommufd.MAP_FIXED_IOVA,
                iova);
    }

    private Outcome write(long iova, long length) {
        dma.enter();
        try {
            return dma.write(iova, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    private Outcome read(long iova, long length) {
        dma.enter();
        try {
            return dma.read(iova, buffer, 0, length);
        } finally {
            dma.leave();
        }
    }

    private EventFd event() throws ErrnoException {
        EventFd made = EventFd.create();
        events.add(made);
        return made;
    }

    private int descriptorOf(EventFd event) {
        return program.opened(() -> copyOf(event));
    }

    private static Fd copyOf(EventFd event) {
        try {
            return event.duplicate();
        } catch (ErrnoException e) {
            throw new AssertionError(e);
        }
    }

    // Binding.

    @Test
    void callsAreForTheLoopsThreadWhileThereIsOne() throws Exception {
        OpenFile file = opened();
        loop.start();

        assertThatThrownBy(() -> device.open(program)).isInstanceOf(AssertionError.class);
        assertThatThrownBy(() -> device.openGroup(program)).isInstanceOf(AssertionError.class);
        assertThatThrownBy(device::info).isInstanceOf(AssertionError.class);
        assertThat(loop.executeAndWait(() -> open.add(device.open(program)), 5_000_000_000L))
                .isTrue();
        assertThat(open).hasSize(2).startsWith(file);
        assertThat(device.isGroupOpen()).isFalse();
    }

    @Test
    void aDeviceThatIsNotBoundAnswersBindAlone() {
        OpenFile file = opened();
        for (int command :
                new int[] {
                    VfioDevice.GET_INFO,
                    VfioDevice.GET_REGION_INFO,
                    VfioDevice.GET_IRQ_INFO,
                    VfioDevice.SET_IRQS,
                    VfioDevice.RESET,
                    VfioDevice.FEATURE,
                    VfioDevice.ATTACH_IOMMUFD_PT,
                    VfioDevice.DETACH_IOMMUFD_PT,
                    0x3bff
                }) {
            assertThat(call(file, command, 32)).as("0x%x", command).isEqualTo(no(Errno.EINVAL));
        }
        assertThat(file.readAt(program, MEMORY, 4, 7L << 40)).isEqualTo(no(Errno.EINVAL));
        assertThat(file.writeAt(program, MEMORY, 4, 7L << 40)).isEqualTo(no(Errno.EINVAL));
        assertThat(function.accesses).isEmpty();
    }

    @Test
    void bindRefusesBeforeItBinds() throws Exception {
        OpenFile file = opened();
        int iommu = program.opened(context());
        int other = descriptorOf(event());
        int ours = program.opened(file);
        int bind = VfioDevice.BIND_IOMMUFD;
        assertThat(call(file, bind, 15, 0, iommu, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, bind, 16, 1, iommu, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, bind, 16, 0, -1, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, bind, 16, 0, 999, 0)).isEqualTo(no(Errno.EBADF));
        assertThat(call(file, bind, 16, 0, other, 0)).isEqualTo(no(Errno.EBADFD));
        assertThat(call(file, bind, 16, 0, ours, 0)).isEqualTo(no(Errno.EBADFD));
        assertThat(file.ioctl(program, bind, MEMORY + PAGES * PAGE - 8))
                .isEqualTo(no(Errno.EFAULT));
        assertThat(device.hasSession()).isFalse();
        assertThat(call(file, bind, 16, 0, iommu, 0)).isZero();
        assertThat(field(VfioDevice.BIND_OUT_DEVID)).isEqualTo(1);
        assertThat(call(file, bind, 16, 0, iommu, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(opened(), bind, 16, 0, iommu, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(device.sessionCount()).isEqualTo(1);
    }

    @Test
    void aGroupThatIsOpenAndADeviceThatIsBoundKeepEachOtherOut() throws Exception {
        OpenFile group = group();
        OpenFile file = opened();
        int iommu = program.opened(context());
        assertThat(call(file, VfioDevice.BIND_IOMMUFD, 16, 0, iommu, 0)).isEqualTo(no(Errno.EBUSY));
        group.release();
        assertThat(call(file, VfioDevice.BIND_IOMMUFD, 16, 0, iommu, 0)).isZero();
        assertThatThrownBy(this::group)
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EBUSY));
    }

    @Test
    void bindAndTheLastCloseResetTheFunction() {
        OpenFile file = bound(context());
        assertThat(function.resets).isEqualTo(1);
        file.release();
        assertThat(function.resets).isEqualTo(2);
        assertThat(device.hasSession()).isFalse();
        file.release();
        assertThat(function.resets).isEqualTo(2);
    }

    // What it is.

    @Test
    void infoIsAsLongAsThereIsRoomFor() {
        OpenFile file = bound(context());
        assertThat(call(file, VfioDevice.GET_INFO, 15)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.GET_INFO, 16)).isZero();
        assertThat(field(4)).isEqualTo(3);
        assertThat(field(8)).isEqualTo(9);
        assertThat(field(12)).isEqualTo(5);
        assertThat(field(16)).isEqualTo(UNTOUCHED);
        assertThat(call(file, VfioDevice.GET_INFO, 100)).isZero();
        assertThat(field(16)).isZero();
        assertThat(field(24)).isEqualTo(UNTOUCHED);
    }

    @Test
    void regionsAreWhatTheFunctionHas() {
        OpenFile file = bound(context());
        assertThat(call(file, VfioDevice.GET_REGION_INFO, 31, 0, 0)).isEqualTo(no(Errno.EINVAL));
        for (int index : new int[] {8, 9, -1, Integer.MIN_VALUE}) {
            assertThat(call(file, VfioDevice.GET_REGION_INFO, 32, 0, index))
                    .as("region %d", index)
                    .isEqualTo(no(Errno.EINVAL));
        }
        for (int index = 0; index < 8; index++) {
            assertThat(call(file, VfioDevice.GET_REGION_INFO, 32, 0, index)).isZero();
            long size = index == 2 ? 1024 : index == 7 ? 256 : 0;
            assertThat(field(4)).as("flags of %d", index).isEqualTo(size == 0 ? 0 : 3);
            assertThat(bytes.get(JAVA_LONG_UNALIGNED, STRUCTURE - MEMORY + 16)).isEqualTo(size);
            assertThat(bytes.get(JAVA_LONG_UNALIGNED, STRUCTURE - MEMORY + 24))
                    .isEqualTo((long) index << 40);
        }
    }

    @Test
    void interruptsAreThoseOfMsix() {
        OpenFile file = bound(context());
        assertThat(call(file, VfioDevice.GET_IRQ_INFO, 15, 0, MSIX)).isEqualTo(no(Errno.EINVAL));
        for (int index : new int[] {3, 5, -1}) {
            assertThat(call(file, VfioDevice.GET_IRQ_INFO, 16, 0, index))
                    .as("index %d", index)
                    .isEqualTo(no(Errno.EINVAL));
        }
        for (int index : new int[] {0, 1, 2, 4}) {
            assertThat(call(file, VfioDevice.GET_IRQ_INFO, 16, 0, index)).isZero();
            assertThat(field(12)).as("index %d", index).isEqualTo(index == MSIX ? 3 : 0);
            assertThat(field(4)).isEqualTo(index == MSIX ? 1 : 9);
        }
    }

    @Test
    void featuresAreAskedForInOneOfThreeWaysAndThereAreNone() {
        OpenFile file = bound(context());
        int get = VfioDevice.FEATURE_GET;
        int set = VfioDevice.FEATURE_SET;
        int probe = VfioDevice.FEATURE_PROBE;
        assertThat(call(file, VfioDevice.FEATURE, 7, get | 1)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.FEATURE, 8, 1 << 19)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.FEATURE, 8, get | set)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.FEATURE, 8, get | set | probe | 1))
                .isEqualTo(no(Errno.ENOTTY));
        assertThat(call(file, VfioDevice.FEATURE, 8, get | 1)).isEqualTo(no(Errno.ENOTTY));
        assertThat(call(file, 0x3bff, 8)).isEqualTo(no(Errno.ENOTTY));
        assertThat(call(file, VfioDevice.GET_PCI_HOT_RESET_INFO, 8)).isEqualTo(no(Errno.ENODEV));
    }

    // Regions.

    @Test
    void transfersReachTheFunctionAlignedAndAsWideAsCanBe() {
        OpenFile file = bound(context());
        function.accesses.clear();
        for (int i = 0; i < 32; i++) {
            bytes.set(JAVA_BYTE, i, (byte) (i + 1));
        }
        assertThat(file.writeAt(program, MEMORY, 15, (2L << 40) + 1)).isEqualTo(15);
        assertThat(function.accesses)
                .containsExactly("write 1,1", "write 2,2", "write 4,4", "write 8,8");
        assertThat(function.bar).startsWith(new byte[] {0, 1, 2, 3}).contains((byte) 15);
        function.accesses.clear();
        assertThat(file.readAt(program, MEMORY + PAGE, 16, 2L << 40)).isEqualTo(16);
        assertThat(function.accesses).containsExactly("read 0,8", "read 8,8");
        assertThat(bytes.get(JAVA_BYTE, PAGE + 15)).isEqualTo((byte) 15);
        function.accesses.clear();
        assertThat(file.readAt(program, MEMORY, 7, (7L << 40) + 2)).isEqualTo(7);
        assertThat(function.accesses)
                .containsExactly("config read 2,2", "config read 4,4", "config read 8,1");
    }

    @Test
    void transfersEndWhereTheRegionDoes() {
        OpenFile file = bound(context());
        assertThat(file.readAt(program, MEMORY, 100, (2L << 40) + 1020)).isEqualTo(4);
        assertThat(file.readAt(program, MEMORY, 100, (2L << 40) + 1024))
                .isEqualTo(no(Errno.EINVAL));
        assertThat(file.readAt(program, MEMORY, 4, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(file.readAt(program, MEMORY, 4, 8L << 40)).isEqualTo(no(Errno.EINVAL));
        assertThat(file.readAt(program, MEMORY, 4, 9L << 40)).isEqualTo(no(Errno.EINVAL));
        assertThat(file.readAt(program, MEMORY, 4, Long.MAX_VALUE)).isEqualTo(no(Errno.EINVAL));
        assertThat(file.readAt(program, MEMORY, 0, 7L << 40)).isZero();
        assertThat(file.readAt(program, MEMORY, Long.MAX_VALUE, 7L << 40)).isEqualTo(256);
        assertThat(file.readAt(program, MEMORY + PAGES * PAGE, 4, 7L << 40))
                .isEqualTo(no(Errno.EFAULT));
        function.accesses.clear();
        assertThat(file.writeAt(program, MEMORY + PAGES * PAGE, 4, 7L << 40))
                .isEqualTo(no(Errno.EFAULT));
        assertThat(function.accesses).isEmpty();
    }

    @Test
    void aRegionOfGigabytesIsReachedToItsEnd() {
        function.barSize = 1L << 32;
        OpenFile file = bound(context());
        function.accesses.clear();
        bytes.set(JAVA_BYTE, 0, (byte) 7);
        long last = (2L << 40) + (1L << 32) - 1;
        assertThat(file.writeAt(program, MEMORY, 8, last)).isEqualTo(1);
        assertThat(file.readAt(program, MEMORY + PAGE, 8, last)).isEqualTo(1);
        assertThat(file.readAt(program, MEMORY, 8, (2L << 40) + (3L << 30))).isEqualTo(8);
        assertThat(function.accesses)
                .containsExactly("write 4294967295,1", "read 4294967295,1", "read 3221225472,8");
        assertThat(bytes.get(JAVA_BYTE, PAGE)).isEqualTo((byte) 7);
    }

    @Test
    void aResetKeepsTheHeaderAsAKernelDoes() {
        OpenFile file = bound(context());
        function.accesses.clear();
        assertThat(call(file, VfioDevice.RESET)).isZero();
        assertThat(function.resets).isEqualTo(2);
        assertThat(function.accesses).hasSize(32).endsWith("config write 4,2");
    }

    // Interrupts.

    private long setIrqs(OpenFile file, int argsz, int flags, int index, int start, int... rest) {
        int[] all = new int[4 + rest.length];
        all[0] = argsz;
        all[1] = flags;
        all[2] = index;
        all[3] = start;
        System.arraycopy(rest, 0, all, 4, rest.length);
        return call(file, VfioDevice.SET_IRQS, all);
    }

    @Test
    void setIrqsRefusesBeforeItChanges() throws Exception {
        OpenFile file = bound(context());
        EventFd event = event();
        int fd = descriptorOf(event);
        int data = VfioUser.VFIO_IRQ_SET_DATA_EVENTFD;
        long invalid = no(Errno.EINVAL);
        assertThat(setIrqs(file, 19, TRIGGER | data, MSIX, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 23, TRIGGER | data, MSIX, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data | 64, MSIX, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data | 1, MSIX, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER, MSIX, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, 0, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, 5, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, -1, 0, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, MSIX, 3, 1, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, MSIX, 3, 0, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 400, TRIGGER | data, MSIX, 2, 2, fd, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, -1, TRIGGER | data, MSIX, 2, -1, fd, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, -1, TRIGGER | data, MSIX, -1, 2, fd, fd)).isEqualTo(invalid);
        assertThat(setIrqs(file, 24, TRIGGER | data, MSIX, 0, 1, 999)).isEqualTo(no(Errno.EBADF));
        assertThat(setIrqs(file, 24, TRIGGER | data, MSIX, 0, 1, -2)).isEqualTo(no(Errno.EBADF));
        int mask = VfioUser.VFIO_IRQ_SET_ACTION_MASK;
        assertThat(setIrqs(file, 24, mask | data, MSIX, 0, 1, fd)).isEqualTo(no(Errno.ENOTTY));
        int none = VfioUser.VFIO_IRQ_SET_DATA_NONE;
        assertThat(setIrqs(file, 20, TRIGGER | none, MSIX, 0, 1)).isEqualTo(invalid);
        assertThat(setIrqs(file, 20, TRIGGER | none, MSIX, 0, 0)).isEqualTo(invalid);
        assertThat(function.sink.trigger(0)).isFalse();
        assertThat(event.drain()).isZero();
    }

    @Test
    void oneDescriptorThatIsNoEventfdLeavesAllVectorsAsTheyWere() throws Exception {
        OpenFile file = bound(context());
        EventFd first = event();
        int data = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_EVENTFD;
        assertThat(setIrqs(file, 24, data, MSIX, 0, 1, descriptorOf(first))).isZero();
        EventFd second = event();
        int wrong =
                program.opened(() -> {
                    try {
                        return Memfd.create("no eventfd", 4096);
                    } catch (ErrnoException e) {
                        throw new AssertionError(e);
                    }
                });
        assertThat(setIrqs(file, 28, data, MSIX, 0, 2, descriptorOf(second), wrong))
                .isEqualTo(no(Errno.EINVAL));
        assertThat(function.sink.trigger(0)).isTrue();
        assertThat(first.drain()).isEqualTo(1);
        assertThat(second.drain()).isZero();
    }

    @Test
    void vectorsGoToTheirEventfdsUntilTheyAreTakenAway() throws Exception {
        OpenFile file = bound(context());
        EventFd one = event();
        EventFd two = event();
        int data = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_EVENTFD;
        int none = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_NONE;
        int bool = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_BOOL;
        function.accesses.clear();
        assertThat(setIrqs(file, 28, data, MSIX, 1, 2, descriptorOf(one), descriptorOf(two)))
                .isZero();
        assertThat(function.accesses).containsExactly("vectors changed");
        assertThat(function.sink.trigger(0)).isFalse();
        assertThat(function.sink.trigger(1)).isTrue();
        assertThat(function.sink.trigger(2)).isTrue();
        assertThat(one.drain()).isEqualTo(1);
        assertThat(two.drain()).isEqualTo(1);
        // What a program raises itself, to try it out.
        assertThat(setIrqs(file, 20, none, MSIX, 0, 3)).isZero();
        assertThat(one.drain()).isEqualTo(1);
        assertThat(two.drain()).isEqualTo(1);
        assertThat(setIrqs(file, 23, bool, MSIX, 0, 3, 0x010000)).isZero();
        assertThat(one.drain()).isZero();
        assertThat(two.drain()).isEqualTo(1);
        assertThat(setIrqs(file, 24, data, MSIX, 1, 1, -1)).isZero();
        assertThat(function.sink.trigger(1)).isFalse();
        assertThat(function.sink.trigger(2)).isTrue();
        assertThat(setIrqs(file, 20, none, MSIX, 0, 0)).isZero();
        assertThat(function.sink.trigger(2)).isFalse();
        assertThat(setIrqs(file, 20, none, MSIX, 0, 1)).isEqualTo(no(Errno.EINVAL));
    }

    @Test
    void theNextProgramIsNotHeardByTheLastOnesEventfds() throws Exception {
        OpenFile file = bound(context());
        EventFd last = event();
        int data = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_EVENTFD;
        assertThat(setIrqs(file, 24, data, MSIX, 0, 1, descriptorOf(last))).isZero();
        file.release();
        OpenFile next = bound(context());
        assertThat(function.sink.trigger(0)).isFalse();
        int none = TRIGGER | VfioUser.VFIO_IRQ_SET_DATA_NONE;
        assertThat(setIrqs(next, 20, none, MSIX, 0, 1)).isEqualTo(no(Errno.EINVAL));
        assertThat(last.drain()).isZero();
    }

    // DMA.

    @Test
    void dmaGoesWhereTheProgramHasMappedAndNowhereElse() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        Ioas ioas = context.allocateIoas();
        map(ioas, 4, 2, 0x10_0000);
        assertThat(read(0x10_0000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(call(file, VfioDevice.ATTACH_IOMMUFD_PT, 12, 0, ioas.id())).isZero();
        assertThat(field(VfioDevice.ATTACH_PT_ID)).isNotEqualTo(ioas.id());
        buffer.fill((byte) 7);
        assertThat(write(0x10_0ffc, 8)).isEqualTo(Outcome.OK);
        assertThat(bytes.get(JAVA_LONG_UNALIGNED, 5 * PAGE - 4)).isEqualTo(0x0707070707070707L);
        assertThat(write(0x10_1ffc, 8)).isEqualTo(Outcome.FAULT);
        assertThat(write(0xf_fffc, 8)).isEqualTo(Outcome.FAULT);
        ioas.unmap(0x10_0000, 2 * PAGE);
        assertThat(write(0x10_0000, 8)).isEqualTo(Outcome.FAULT);
        map(ioas, 8, 1, 0x10_0000);
        assertThat(write(0x10_0000, 8)).isEqualTo(Outcome.OK);
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 8, 0)).isZero();
        assertThat(write(0x10_0000, 8)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void closingADeviceThatIsAttachedEndsItsDma() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        Ioas ioas = context.allocateIoas();
        map(ioas, 4, 2, 0);
        assertThat(call(file, VfioDevice.ATTACH_IOMMUFD_PT, 12, 0, ioas.id())).isZero();
        assertThat(read(0, 8)).isEqualTo(Outcome.OK);
        // The context first: the device keeps it until it is closed itself.
        context.release();
        assertThat(read(0, 8)).isEqualTo(Outcome.OK);
        assertThat(node.openContexts()).isEqualTo(1);
        file.release();
        assertThat(read(0, 8)).isEqualTo(Outcome.FAULT);
        assertThat(node.openContexts()).isZero();
    }

    @Test
    void attachRefusesBeforeItChangesAndTheSecondOneMoves() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        int attach = VfioDevice.ATTACH_IOMMUFD_PT;
        Ioas one = context.allocateIoas();
        Ioas two = context.allocateIoas();
        map(one, 1, 1, 0x1000);
        map(two, 2, 1, 0x2000);
        assertThat(call(file, attach, 11, 0, one.id())).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, attach, 12, 2, one.id())).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, attach, 12, 1, one.id())).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, attach, 16, 1, one.id(), 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, attach, 12, 0, 999)).isEqualTo(no(Errno.ENOENT));
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 7, 0)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 8, 2)).isEqualTo(no(Errno.EINVAL));
        assertThat(read(0x1000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(call(file, attach, 12, 0, one.id())).isZero();
        assertThat(read(0x1000, 8)).isEqualTo(Outcome.OK);
        assertThat(call(file, attach, 12, 0, two.id())).isZero();
        assertThat(read(0x1000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(read(0x2000, 8)).isEqualTo(Outcome.OK);
        assertThat(function.memoryChanges).isEqualTo(2);
        // A program that is not told where the device is has it nowhere.
        program.isReadOnly = true;
        assertThat(call(file, attach, 12, 0, one.id())).isEqualTo(no(Errno.EFAULT));
        program.isReadOnly = false;
        assertThat(read(0x1000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(read(0x2000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(call(file, attach, 12, 0, two.id())).isZero();
        assertThat(read(0x2000, 8)).isEqualTo(Outcome.OK);
    }

    @Test
    void memoryThatIsGoneEndsWhatTheFunctionWasAt() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        function.isMemoryGone = true;
        assertThat(file.writeAt(program, MEMORY, 4, 2L << 40)).isEqualTo(no(Errno.EIO));
        assertThat(function.resets).isEqualTo(2);
        assertThat(device.info().lastEnd()).isEqualTo(SharedMemory.GONE + "it was cut short");
        int table = context.allocateIoas().id();
        assertThat(call(file, VfioDevice.ATTACH_IOMMUFD_PT, 12, 0, table)).isZero();
        assertThat(function.resets).isEqualTo(3);
        function.isMemoryGone = false;
        assertThat(file.writeAt(program, MEMORY, 4, 2L << 40)).isEqualTo(4);
        assertThat(device.hasSession()).isTrue();
    }

    @Test
    void aPasidHasAnAddressSpaceOfItsOwn() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        Device object = device.bound();
        Ioas ioas = context.allocateIoas();
        map(ioas, 3, 1, 0x3000);
        int table = context.allocateHwpt(object, ioas, Iommufd.HWPT_ALLOC_PASID).id();
        Dma ofPasid = hardware.dma(9, guards.open());
        int attach = VfioDevice.ATTACH_IOMMUFD_PT;
        assertThat(call(file, attach, 16, 1, table, 1 << 20)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, attach, 16, 1, table, 9)).isZero();
        ofPasid.enter();
        assertThat(ofPasid.read(0x3000, buffer, 0, 8)).isEqualTo(Outcome.OK);
        ofPasid.leave();
        assertThat(read(0x3000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 11, 1, 9)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 12, 1, 9)).isZero();
        ofPasid.enter();
        assertThat(ofPasid.read(0x3000, buffer, 0, 8)).isEqualTo(Outcome.FAULT);
        ofPasid.leave();
        assertThat(call(file, attach, 16, 1, table, 9)).isZero();
    }

    @Test
    void pasidsThatAProgramHasDetachedAreThereForTheNext() throws Exception {
        IommufdContext context = context();
        OpenFile file = bound(context);
        Ioas ioas = context.allocateIoas();
        map(ioas, 3, 1, 0x3000);
        int table = context.allocateHwpt(device.bound(), ioas, Iommufd.HWPT_ALLOC_PASID).id();
        Dma first = hardware.dma(1, guards.open());
        int attach = VfioDevice.ATTACH_IOMMUFD_PT;
        int behind = Endpoint.PASID_LIMIT + 1;
        for (int pasid = 1; pasid < behind; pasid++) {
            assertThat(call(file, attach, 16, 1, table, pasid)).isZero();
        }
        assertThat(call(file, attach, 16, 1, table, behind)).isEqualTo(no(Errno.ENOSPC));
        assertThat(call(file, VfioDevice.DETACH_IOMMUFD_PT, 12, 1, 2)).isZero();
        assertThat(call(file, attach, 16, 1, table, behind)).isZero();
        file.release();
        open.remove(file);

        bound(context);
        assertThat(call(open.getLast(), attach, 16, 1, table, behind + 1)).isZero();
        assertThat(hardware.endpoint().pasidCount()).as("with one of the function's").isEqualTo(2);
        assertThat(call(open.getLast(), attach, 16, 1, table, 1)).isZero();
        first.enter();
        assertThat(first.read(0x3000, buffer, 0, 8)).isEqualTo(Outcome.OK);
        first.leave();
    }

    /**
     * A device that tries a million addresses, half of them never mapped and half now and then,
     * while they come and go: it reads no byte of a page that was never mapped and writes none to a
     * page that is not mapped at that time.
     */
    @Test
    @Timeout(120)
    void aRogueGetsNoByteThatIsNotMapped() throws Exception {
        int attempts = 1_000_000;
        long window = 16;
        byte secret = (byte) 0xc3;
        byte stamp = 0x11;
        IommufdContext context = context();
        OpenFile file = bound(context);
        Ioas ioas = context.allocateIoas();
        assertThat(call(file, VfioDevice.ATTACH_IOMMUFD_PT, 12, 0, ioas.id())).isZero();
        bytes.asSlice(0, window * PAGE).fill(stamp);
        bytes.asSlice(window * PAGE, 32 * PAGE).fill(secret);
        Dma rogue = hardware.dma(guards.open());
        AtomicLong secrets = new AtomicLong();
        AtomicLong done = new AtomicLong();
        AtomicBoolean isOver = new AtomicBoolean();
        Thread thread =
                Thread.ofPlatform()
                        .start(() -> {
                            Random random = new Random(7);
                            MemorySegment own = Arena.ofAuto().allocate(8, 8);
                            for (int i = 0; i < attempts; i++) {
                                long iova = random.nextLong() & (64 * PAGE - 1);
                                rogue.enter();
                                if ((i & 1) == 0) {
                                    own.fill((byte) 0);
                                    if (rogue.read(iova, own, 0, 1) == Outcome.OK) {
                                        done.incrementAndGet();
                                        if (own.get(JAVA_BYTE, 0) == secret) {
                                            secrets.incrementAndGet();
                                        }
                                    }
                                } else {
                                    own.fill((byte) 0x77);
                                    if (rogue.write(iova, own, 0, 1) == Outcome.OK) {
                                        done.incrementAndGet();
                                    }
                                }
                                rogue.leave();
                            }
                            isOver.set(true);
                        });
        Random random = new Random(8);
        long changed = 0;
        long rounds = 0;
        while (!isOver.get()) {
            long page = random.nextInt((int) window);
            long iova = random.nextInt(64) * PAGE;
            map(ioas, page, 1, iova);
            Thread.onSpinWait();
            ioas.unmap(iova, PAGE);
            // From here on nobody writes there.
            MemorySegment mine = bytes.asSlice(page * PAGE, PAGE);
            mine.fill(stamp);
            Thread.onSpinWait();
            changed += mine.mismatch(stamped(stamp)) < 0 ? 0 : 1;
            rounds++;
        }
        thread.join();
        assertThat(secrets).hasValue(0);
        assertThat(changed).isZero();
        assertThat(rounds).isGreaterThan(100);
        assertThat(done.get()).as("accesses that were allowed").isPositive();
        for (long i = window * PAGE; i < (window + 32) * PAGE; i++) {
            assertThat(bytes.get(JAVA_BYTE, i)).isEqualTo(secret);
        }
    }

    private final MemorySegment stampedPage = Arena.ofAuto().allocate(PAGE);

    private MemorySegment stamped(byte stamp) {
        stampedPage.fill(stamp);
        return stampedPage;
    }

    // The group.

    private long name(OpenFile group, String name) {
        bytes.asSlice(STRUCTURE - MEMORY, PAGE).fill((byte) 'x');
        bytes.setString(STRUCTURE - MEMORY, name);
        return group.ioctl(program, VfioType1.GROUP_GET_DEVICE_FD, STRUCTURE);
    }

    @Test
    void aGroupIsOneProgramsUntilItAndItsDevicesAreClosed() throws Exception {
        OpenFile group = group();
        assertThatThrownBy(() -> device.openGroup(program))
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EBUSY));
        int container = program.opened(context());
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, container)).isZero();
        OpenFile file = program.file(name(group, device.address()));
        open.add(file);
        group.release();
        assertThat(device.isGroupOpen()).isTrue();
        file.release();
        assertThat(device.isGroupOpen()).isFalse();
        group();
    }

    @Test
    void aGroupTellsWhetherItIsInAContainer() throws Exception {
        OpenFile group = group();
        assertThat(call(group, VfioType1.GROUP_GET_STATUS, 7)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(group, VfioType1.GROUP_GET_STATUS, 8)).isZero();
        assertThat(field(4)).isEqualTo(1);
        assertThat(call(group, VfioType1.GROUP_UNSET_CONTAINER)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, -1)).isEqualTo(no(Errno.EINVAL));
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, 999)).isEqualTo(no(Errno.EBADF));
        int other = descriptorOf(event());
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, other)).isEqualTo(no(Errno.EBADFD));
        assertThat(name(group, device.address())).isEqualTo(no(Errno.EINVAL));
        int container = program.opened(context());
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, container)).isZero();
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, container))
                .isEqualTo(no(Errno.EINVAL));
        assertThat(call(group, VfioType1.GROUP_GET_STATUS, 8)).isZero();
        assertThat(field(4)).isEqualTo(3);
        assertThat(name(group, "0000:00:01.0")).isEqualTo(no(Errno.ENODEV));
        assertThat(name(group, "x".repeat(64))).isEqualTo(no(Errno.ENODEV));
        assertThat(call(group, 0x3bff)).isEqualTo(no(Errno.ENOTTY));
        program.isFull = true;
        assertThat(name(group, device.address())).isEqualTo(no(Errno.EMFILE));
        assertThat(device.hasSession()).isFalse();
        program.isFull = false;
        OpenFile file = program.file(name(group, device.address()));
        open.add(file);
        assertThat(call(group, VfioType1.GROUP_UNSET_CONTAINER)).isEqualTo(no(Errno.EBUSY));
        assertThat(call(file, VfioDevice.BIND_IOMMUFD, 16, 0, container, 0))
                .isEqualTo(no(Errno.EINVAL));
        assertThat(call(file, VfioDevice.ATTACH_IOMMUFD_PT, 12, 0, 1)).isEqualTo(no(Errno.ENOTTY));
        assertThat(call(file, VfioDevice.GET_INFO, 16)).isZero();
        file.release();
        assertThat(call(group, VfioType1.GROUP_UNSET_CONTAINER)).isZero();
    }

    @Test
    void anIommufdThatIsAContainerIsKeptByItsGroup() throws Exception {
        OpenFile group = group();
        IommufdContext context = context();
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, program.opened(context))).isZero();
        context.release();
        assertThat(node.openContexts()).isEqualTo(1);
        OpenFile file = program.file(name(group, device.address()));
        open.add(file);
        file.release();
        assertThat(node.openContexts()).isEqualTo(1);
        group.release();
        assertThat(node.openContexts()).isZero();
    }

    // The group in a container of type 1.

    private ContainerFile container() {
        ContainerFile file = new ContainerFile(new VfioContainer(List.of(new Type1Kind(node))));
        open.add(file);
        return file;
    }

    private long mapDma(OpenFile container, long page, long pages, long iova) {
        ints(32, VfioType1.MAP_FLAG_READ | VfioType1.MAP_FLAG_WRITE);
        long at = STRUCTURE - MEMORY;
        bytes.set(JAVA_LONG_UNALIGNED, at + VfioType1.MAP_VADDR, MEMORY + page * PAGE);
        bytes.set(JAVA_LONG_UNALIGNED, at + VfioType1.MAP_IOVA, iova);
        bytes.set(JAVA_LONG_UNALIGNED, at + VfioType1.MAP_SIZE, pages * PAGE);
        return container.ioctl(program, VfioType1.IOMMU_MAP_DMA, STRUCTURE);
    }

    private long unmapDma(OpenFile container, long pages, long iova) {
        ints(24, 0);
        long at = STRUCTURE - MEMORY;
        bytes.set(JAVA_LONG_UNALIGNED, at + VfioType1.UNMAP_IOVA, iova);
        bytes.set(JAVA_LONG_UNALIGNED, at + VfioType1.UNMAP_SIZE, pages * PAGE);
        return container.ioctl(program, VfioType1.IOMMU_UNMAP_DMA, STRUCTURE);
    }

    @Test
    void dmaGoesWhereAContainerOfTypeOneHasMapped() throws Exception {
        OpenFile group = group();
        ContainerFile container = container();
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, program.opened(container))).isZero();
        assertThat(name(group, device.address())).isEqualTo(no(Errno.EINVAL));
        assertThat(container.ioctl(program, VfioType1.SET_IOMMU, VfioType1.TYPE1V2_IOMMU)).isZero();
        OpenFile file = program.file(name(group, device.address()));
        open.add(file);
        assertThat(call(group, VfioType1.GROUP_UNSET_CONTAINER)).isEqualTo(no(Errno.EBUSY));
        assertThat(mapDma(container, 4, 2, 0x10_0000)).isZero();
        buffer.fill((byte) 7);
        assertThat(write(0x10_0ffc, 8)).isEqualTo(Outcome.OK);
        assertThat(bytes.get(JAVA_LONG_UNALIGNED, 5 * PAGE - 4)).isEqualTo(0x0707070707070707L);
        assertThat(write(0x10_1ffc, 8)).isEqualTo(Outcome.FAULT);
        assertThat(unmapDma(container, 2, 0x10_0000)).isZero();
        assertThat(write(0x10_0000, 8)).isEqualTo(Outcome.FAULT);
        assertThat(mapDma(container, 6, 1, 0)).isZero();
        assertThat(read(0, 8)).isEqualTo(Outcome.OK);
        file.release();
        assertThat(call(group, VfioType1.GROUP_UNSET_CONTAINER)).isZero();
        assertThat(read(0, 8)).isEqualTo(Outcome.FAULT);
        assertThat(node.heldPages()).isZero();
    }

    /** A program that dies has its files closed in the order of their numbers, or any other. */
    @Test
    void aContainerIsKeptByItsGroupAndAGroupByItsDevice() throws Exception {
        OpenFile group = group();
        ContainerFile container = container();
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, program.opened(container))).isZero();
        assertThat(container.ioctl(program, VfioType1.SET_IOMMU, VfioType1.TYPE1_IOMMU)).isZero();
        OpenFile file = program.file(name(group, device.address()));
        open.add(file);
        assertThat(mapDma(container, 4, 2, 0)).isZero();
        container.release();
        group.release();
        assertThat(read(0, 8)).isEqualTo(Outcome.OK);
        file.release();
        assertThat(read(0, 8)).isEqualTo(Outcome.FAULT);
        assertThat(node.heldPages()).isZero();
        assertThat(device.isGroupOpen()).isFalse();
    }
}
