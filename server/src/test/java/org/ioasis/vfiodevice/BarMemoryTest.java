// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guards;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.spec.Ivshmem;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioType1;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.ErrnoException;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** BARs that are memory: which file shows them, what of it can be mapped, and what they hold. */
class BarMemoryTest {
    private static final long PAGE = 4096;
    private static final int BYTES = 0x10000;
    private static final long MEMORY = 0x40_0000;
    private static final long STRUCTURE = MEMORY + PAGE;
    private static final long BAR = (long) Ivshmem.MEMORY_BAR << VfioDevice.REGION_SHIFT;
    private static final int SHARED = 1;
    private static final int PRIVATE = 2;
    private static final int READ_WRITE =
            VfioUser.VFIO_REGION_INFO_FLAG_READ | VfioUser.VFIO_REGION_INFO_FLAG_WRITE;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final EngineIommu iommu =
            new EngineIommu(
                    node,
                    IommuOptions.DEFAULT,
                    guards,
                    new FaultQueue(64, 256, System::nanoTime),
                    IntervalStore::new);
    private final MemorySegment bytes = Arena.ofAuto().allocate(2 * PAGE, PAGE);
    private final ProgramStub program = new ProgramStub(new SegmentMemory(MEMORY, bytes));
    private final IommufdContext context = node.openContext();
    private final SharedMemoryFunction function = new SharedMemoryFunction(BYTES, 2);
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
        device = new AssignedDevice(loop, 5, function, iommu.plug(1, EndpointProperties.UNLIMITED));
    }

    @AfterEach
    void nothingIsLeft() {
        context.release();
        device.close();
        loop.close();
        assertThat(device.hasSession()).isFalse();
        assertThat(node.openContexts()).isZero();
        assertThat(function.barRead(Ivshmem.MEMORY_BAR, 0, 8)).as("the next finds zeroes").isZero();
    }

    private OpenFile bound() {
        OpenFile file = device.open(program);
        bytes.set(JAVA_INT, PAGE, VfioDevice.BIND_SIZE);
        bytes.set(JAVA_INT, PAGE + VfioDevice.BIND_FLAGS, 0);
        bytes.set(JAVA_INT, PAGE + VfioDevice.BIND_IOMMUFD_FD, program.opened(context));
        assertThat(file.ioctl(program, VfioDevice.BIND_IOMMUFD, STRUCTURE)).isZero();
        return file;
    }

    private int regionFlags(OpenFile file, int region) {
        bytes.set(JAVA_INT, PAGE, VfioUser.REGION_INFO_SIZE);
        bytes.set(JAVA_INT, PAGE + VfioUser.REGION_INFO_INDEX, region);
        assertThat(file.ioctl(program, VfioDevice.GET_REGION_INFO, STRUCTURE)).isZero();
        return bytes.get(JAVA_INT, PAGE + VfioUser.REGION_INFO_FLAGS);
    }

    private long read(OpenFile file, long offset) {
        assertThat(file.readAt(program, MEMORY, 8, offset)).isEqualTo(8);
        return bytes.get(JAVA_LONG, 0);
    }

    private void write(OpenFile file, long offset, long value) {
        bytes.set(JAVA_LONG, 0, value);
        assertThat(file.writeAt(program, MEMORY, 8, offset)).isEqualTo(8);
    }

    private void close(OpenFile file) {
        file.release();
        program.unmapAll();
    }

    @Test
    void onlyABarThatIsMemoryCanBeMapped() {
        OpenFile file = bound();
        for (int region = 0; region < VfioDevice.PCI_VGA_REGION_INDEX; region++) {
            boolean isMemory = region == Ivshmem.MEMORY_BAR;
            assertThat(regionFlags(file, region) & VfioUser.VFIO_REGION_INFO_FLAG_MMAP)
                    .as("region " + region)
                    .isEqualTo(isMemory ? VfioUser.VFIO_REGION_INFO_FLAG_MMAP : 0);
            long begin = (long) region << VfioDevice.REGION_SHIFT;
            assertThat(file.map(begin, PAGE, 3, SHARED))
                    .as("region " + region)
                    .isEqualTo(isMemory ? 0 : -Errno.EINVAL.number());
        }
        close(file);
    }

    @Test
    void aWrongPlaceOrLengthOrAPrivateMappingIsRefused() {
        OpenFile file = bound();
        long invalid = -Errno.EINVAL.number();
        assertThat(file.map(BAR, BYTES, 3, SHARED)).isZero();
        assertThat(file.map(BAR + PAGE, BYTES - PAGE, 1, SHARED)).isZero();
        assertThat(file.map(BAR, 1, 3, SHARED)).as("rounded up to a page").isZero();
        assertThat(file.map(BAR, BYTES + 1, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR + PAGE, BYTES, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR + PAGE, -1, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR + BYTES, PAGE, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR - PAGE, PAGE, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR, 0, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(-PAGE, PAGE, 3, SHARED)).isEqualTo(invalid);
        assertThat(file.map(BAR, PAGE, 3, PRIVATE)).isEqualTo(invalid);
        close(file);
        assertThat(file.map(BAR, PAGE, 3, SHARED)).as("closed").isEqualTo(invalid);
        OpenFile unbound = device.open(program);
        assertThat(unbound.map(BAR, PAGE, 3, SHARED)).as("not bound").isEqualTo(invalid);
        unbound.release();
    }

    @Test
    void whatIsMappedIsWhatIsReadAndWritten() {
        OpenFile file = bound();
        MemorySegment mapped = program.mapped(BAR);
        mapped.set(JAVA_LONG, 0x2008, 0x1122334455667788L);
        assertThat(read(file, BAR + 0x2008)).isEqualTo(0x1122334455667788L);
        write(file, BAR + 0x3010, 42);
        assertThat(mapped.get(JAVA_LONG, 0x3010)).isEqualTo(42);
        assertThat(file.ioctl(program, VfioDevice.RESET, 0)).isZero();
        assertThat(mapped.get(JAVA_LONG, 0x3010)).as("a reset is power-on").isZero();
        mapped.set(JAVA_LONG, 0, -1);
        close(file);
    }

    @Test
    void withoutRoomForAWindowTheBarIsReadAndWrittenOnly() {
        program.isWithoutWindows = true;
        OpenFile file = bound();
        assertThat(regionFlags(file, Ivshmem.MEMORY_BAR)).isEqualTo(READ_WRITE);
        assertThat(file.map(BAR, PAGE, 3, SHARED)).isEqualTo(-Errno.EINVAL.number());
        write(file, BAR, 42);
        assertThat(read(file, BAR)).isEqualTo(42);
        close(file);
    }

    /** One of a group's descriptors shows the BAR; what it holds is the device's and stays. */
    @Test
    void theBarGoesOnWhenTheFileThatShowsItIsClosed() throws Exception {
        OpenFile group = device.openGroup(program);
        ContainerFile container =
                new ContainerFile(new VfioContainer(java.util.List.of(new Type1Kind(node))));
        int number = program.opened(container);
        bytes.set(JAVA_INT, PAGE, number);
        assertThat(group.ioctl(program, VfioType1.GROUP_SET_CONTAINER, STRUCTURE)).isZero();
        assertThat(container.ioctl(program, VfioType1.SET_IOMMU, VfioType1.TYPE1V2_IOMMU)).isZero();
        OpenFile first = given(group);
        OpenFile second = given(group);
        assertThat(regionFlags(first, Ivshmem.MEMORY_BAR))
                .isEqualTo(READ_WRITE | VfioUser.VFIO_REGION_INFO_FLAG_MMAP);
        assertThat(regionFlags(second, Ivshmem.MEMORY_BAR)).isEqualTo(READ_WRITE);
        assertThat(second.map(BAR, PAGE, 3, SHARED)).isEqualTo(-Errno.EINVAL.number());
        program.mapped(BAR).set(JAVA_LONG, 8, 42);
        assertThat(read(second, BAR + 8)).isEqualTo(42);

        close(first);

        assertThat(read(second, BAR + 8)).isEqualTo(42);
        OpenFile third = given(group);
        assertThat(program.mapped(BAR).get(JAVA_LONG, 8)).isEqualTo(42);
        third.release();
        second.release();
        program.unmapAll();
        group.release();
        container.release();
    }

    private OpenFile given(OpenFile group) {
        byte[] name =
                (device.address() + "\0").getBytes(java.nio.charset.StandardCharsets.US_ASCII);
        MemorySegment.copy(MemorySegment.ofArray(name), 0, bytes, PAGE, name.length);
        return program.file(group.ioctl(program, VfioType1.GROUP_GET_DEVICE_FD, STRUCTURE));
    }
}
