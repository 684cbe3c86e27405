// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.iommufd.SegmentMemory;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.kvm.KvmVfioDevice;
import org.ioasis.kvm.KvmVm;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guards;
import org.ioasis.spec.VfioDevice;
import org.ioasis.spec.VfioType1;
import org.ioasis.sys.ErrnoException;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * KVM and VFIO, each as it is, which find each other when a program shows one's file to the other.
 */
class VfioFilesTest {
    private static final long STRUCTURE = 0x1000;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final MemorySegment bytes = Arena.ofAuto().allocate(4096, 4096);
    private final ProgramStub program = new ProgramStub(new SegmentMemory(STRUCTURE, bytes));
    private final KvmVm machine = new KvmVm();
    private KvmVfioDevice kvm;
    private EventLoop loop;
    private AssignedDevice device;

    @BeforeEach
    void plug() throws ErrnoException, IommufdException {
        loop =
                new EventLoop(
                        "test",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        EngineIommu iommu =
                new EngineIommu(
                        node,
                        IommuOptions.DEFAULT,
                        guards,
                        new FaultQueue(64, 256, System::nanoTime),
                        IntervalStore::new);
        device =
                new AssignedDevice(
                        loop, 5, new PlainFunction(), iommu.plug(1, EndpointProperties.UNLIMITED));
        kvm = machine.createVfioDevice(new FailureInjector());
    }

    @AfterEach
    void nothingIsLeft() {
        kvm.close();
        device.close();
        loop.close();
        assertThat(device.hasSession()).isFalse();
        assertThat(node.openContexts()).isZero();
    }

    private void add(OpenFile file) throws IommufdException {
        kvm.add(file, new FailureInjector());
    }

    private long call(OpenFile file, int command, int... structure) {
        MemorySegment.copy(structure, 0, bytes, JAVA_INT, 0, structure.length);
        return file.ioctl(program, command, STRUCTURE);
    }

    private long bind(OpenFile file, IommufdContext context) {
        return call(file, VfioDevice.BIND_IOMMUFD, 16, 0, program.opened(context), 0);
    }

    @Test
    void kvmFindsThatVfioIsThereAndWhichFilesAreVfios() throws Exception {
        IommufdContext context = node.openContext();
        assertThatThrownBy(() -> add(context))
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
        OpenFile file = device.open(program);
        add(file);
        assertThat(machine.assigned()).isOne();
        assertThat(machine.emulatesWbinvd()).as("its DMA is coherent").isFalse();
        file.release();
        context.release();
    }

    @Test
    void aDeviceIsTheMachinesThatKvmHasNamedBeforeItIsBoundUntilItIsClosed() throws Exception {
        IommufdContext context = node.openContext();
        OpenFile late = device.open(program);
        assertThat(bind(late, context)).isZero();
        add(late);
        assertThat(device.machine()).as("it was bound before").isNull();
        kvm.delete(late);
        late.release();

        OpenFile file = device.open(program);
        add(file);
        assertThat(device.machine()).as("nobody uses it").isNull();
        assertThat(bind(file, context)).isZero();
        assertThat(device.machine()).isSameAs(machine);
        kvm.delete(file);
        assertThat(device.machine()).as("its driver may use it still").isSameAs(machine);
        file.release();
        assertThat(device.machine()).isNull();
        context.release();
    }

    @Test
    void aDeviceThatKvmHoldsStaysBoundWhenItsDescriptorsAreClosed() throws Exception {
        IommufdContext context = node.openContext();
        OpenFile file = device.open(program);
        add(file);
        assertThat(bind(file, context)).isZero();
        file.release();
        file.release();
        assertThat(device.hasSession()).isTrue();
        assertThat(bind(device.open(program), context)).isEqualTo(-Errno.EINVAL.number());

        kvm.delete(file);
        assertThat(device.hasSession()).isFalse();
        context.release();
    }

    @Test
    void aGroupThatKvmHoldsStaysOpenWithTheMachineForTheDevicesThatItGivesOut() throws Exception {
        OpenFile group = device.openGroup(program);
        add(group);
        ContainerFile container =
                new ContainerFile(new VfioContainer(List.of(new Type1Kind(node))));
        assertThat(call(group, VfioType1.GROUP_SET_CONTAINER, program.opened(container))).isZero();
        assertThat(container.ioctl(program, VfioType1.SET_IOMMU, VfioType1.TYPE1V2_IOMMU)).isZero();
        byte[] name = device.address().getBytes(StandardCharsets.US_ASCII);
        bytes.fill((byte) 0).copyFrom(MemorySegment.ofArray(name));
        OpenFile file =
                program.file(group.ioctl(program, VfioType1.GROUP_GET_DEVICE_FD, STRUCTURE));
        assertThat(device.machine()).isSameAs(machine);

        file.release();
        group.release();
        container.release();
        assertThat(device.hasSession()).isFalse();
        assertThat(device.isGroupOpen()).isTrue();
        kvm.close();
        assertThat(device.isGroupOpen()).isFalse();
        assertThat(machine.assigned()).isZero();
    }
}
