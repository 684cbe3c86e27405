// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.lang.foreign.MemorySegment;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Devices and what they are attached to: page tables, PASIDs, page requests, what they wrote. */
class DevicesTest {
    private final MockHost host = new MockHost();
    private final int ioas = host.ioas();

    @AfterEach
    void nothingIsLeft() {
        host.program.closeAll();
        host.closeAll();
    }

    @Test
    void anAutomaticPageTableIsSharedAndGoesWithItsLastDevice() {
        MockHost.Bound one = host.mockDomain(ioas);
        MockHost.Bound two = host.mockDomain(ioas);
        assertThat(two.hwpt()).isEqualTo(one.hwpt());
        assertThat(host.destroy(ioas)).isEqualTo(error(Errno.EBUSY));
        int other = host.ioas();
        assertThat(host.replace(one.stdev(), other)).isZero();
        assertThat(host.replace(two.stdev(), other)).isZero();
        assertThat(host.replace(one.stdev(), one.hwpt())).isEqualTo(error(Errno.ENOENT));
        assertThat(host.destroy(ioas)).isZero();
    }

    @Test
    void whatIsReservedByADomainKeepsMappingsOutAndDevicesAway() {
        long memory = host.program.mmap(PAGE);
        assertThat(host.mapFixed(ioas, memory, PAGE, PAGE)).isZero();
        assertThat(host.tryMockDomain(ioas, 0)).isEqualTo(error(Errno.EADDRINUSE));
        assertThat(host.unmap(ioas, PAGE, PAGE)).isEqualTo(PAGE);
        MockHost.Bound bound = host.mockDomain(ioas);
        assertThat(host.mapFixed(ioas, memory, PAGE, PAGE)).isEqualTo(error(Errno.EINVAL));
        assertThat(host.destroy(bound.stdev())).isZero();
        assertThat(host.mapFixed(ioas, memory, PAGE, PAGE)).isZero();
    }

    @Test
    void pasidAttach() {
        MockHost.Bound bound = host.mockDomain(ioas, IommufdTest.DEVICE_PASID);
        int stdev = bound.stdev();
        int plain = host.hwpt(bound.device(), ioas, 0);
        int table = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        int second = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        assertThat(host.pasid(IommufdTest.OP_PASID_DETACH, stdev, 100, 0)).isZero();
        // What the device itself is attached to must be made for PASIDs too.
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 100, table))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.replace(stdev, table)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 100, plain))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 100, ioas))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.pasid(IommufdTest.OP_PASID_REPLACE, stdev, 100, table))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 100, table)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 100, second))
                .isEqualTo(error(Errno.EBUSY));
        assertThat(host.replace(stdev, plain)).isEqualTo(error(Errno.EINVAL));
        assertThat(host.pasid(IommufdTest.OP_PASID_REPLACE, stdev, 100, second)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_CHECK_HWPT, stdev, 100, second)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, 1 << 20, table))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.pasid(IommufdTest.OP_PASID_DETACH, stdev, 100, 0)).isZero();
        assertThat(host.destroy(second)).isZero();
    }

    @Test
    void aReplaceThatFailsLeavesWhatWasThere() {
        MockHost.Bound bound = host.mockDomain(ioas, IommufdTest.DEVICE_PASID);
        int stdev = bound.stdev();
        int table = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        int second = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        assertThat(host.replace(stdev, table)).isZero();
        int pasid = IommufdTest.PASID_RESERVED;
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, pasid, table)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_REPLACE, stdev, pasid, second))
                .isEqualTo(error(Errno.ENOMEM));
        assertThat(host.pasid(IommufdTest.OP_PASID_CHECK_HWPT, stdev, pasid, table)).isZero();
        assertThat(host.destroy(second)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_DETACH, stdev, pasid, 0)).isZero();
    }

    @Test
    @Tag("S03")
    void aPageRequestIsAnsweredOnceByTheProgramOrWhenItsTableIsDetached() {
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        ProgramStub.Struct faults = host.program.struct(Iommufd.FAULT_ALLOC_SIZE);
        assertThat(faults.call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC)).isZero();
        int id = faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_ID);
        int descriptor = faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_FD);
        OpenFile file = host.program.ours(descriptor);
        FaultQueue queue = host.find(id, FaultQueue.class);
        int nested = host.nested(bound.device(), parent, Iommufd.HWPT_FAULT_ID_VALID, id);
        assertThat(host.replace(bound.stdev(), nested)).isZero();
        assertThat(host.destroy(id)).isEqualTo(error(Errno.EBUSY));

        assertThat(pageRequest(bound.device(), 2)).isZero();
        assertThat(pageRequest(bound.device(), 3)).isZero();
        long buffer = host.program.mmap(PAGE);
        assertThat(file.isReadable()).isTrue();
        assertThat(file.read(host.program, buffer, 41)).isEqualTo(error(Errno.ESPIPE));
        assertThat(file.read(host.program, buffer, Iommufd.PGFAULT_SIZE))
                .isEqualTo(Iommufd.PGFAULT_SIZE);
        assertThat(queue.open()).isEqualTo(2);
        int cookie = host.program.memoryAt(buffer).bytes().get(JAVA_INT, Iommufd.PGFAULT_COOKIE);
        assertThat(host.program.memoryAt(buffer).bytes().get(JAVA_INT, Iommufd.PGFAULT_GRPID))
                .isEqualTo(2);
        host.program.memoryAt(buffer).bytes().set(JAVA_INT, 0, cookie);
        host.program.memoryAt(buffer).bytes().set(JAVA_INT, 4, 2);
        assertThat(file.write(host.program, buffer, 8)).isEqualTo(error(Errno.EINVAL));
        host.program.memoryAt(buffer).bytes().set(JAVA_INT, 4, Iommufd.PAGE_RESP_SUCCESS);
        assertThat(file.write(host.program, buffer, 8)).isEqualTo(8);
        assertThat(file.write(host.program, buffer, 8)).isEqualTo(error(Errno.EINVAL));
        assertThat(queue.open()).isEqualTo(1);

        assertThat(host.replace(bound.stdev(), ioas)).isZero();
        assertThat(queue.open()).isZero();
        assertThat(file.isReadable()).isFalse();
        assertThat(host.destroy(nested)).isZero();
    }

    private long pageRequest(int device, int group) {
        return host.test(IommufdTest.OP_TRIGGER_IOPF, 0)
                .with(IommufdTest.TRIGGER_IOPF_DEV_ID, device)
                .with(IommufdTest.TRIGGER_IOPF_GRPID, group)
                .with(IommufdTest.TRIGGER_IOPF_PERM, 3)
                .call(host.file, MockHost.TEST);
    }

    @Test
    void atTheLimitOfGroupsAPageRequestIsAnsweredAsInvalid() {
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        ProgramStub.Struct faults = host.program.struct(Iommufd.FAULT_ALLOC_SIZE);
        assertThat(faults.call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC)).isZero();
        int id = faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_ID);
        FaultQueue queue = host.find(id, FaultQueue.class);
        int nested = host.nested(bound.device(), parent, Iommufd.HWPT_FAULT_ID_VALID, id);
        assertThat(host.replace(bound.stdev(), nested)).isZero();
        for (int i = 0; i < FaultQueue.GROUPS_MAX; i++) {
            assertThat(pageRequest(bound.device(), i)).isZero();
        }
        assertThat(queue.refused()).isZero();
        assertThat(pageRequest(bound.device(), 1)).isZero();
        assertThat(queue.refused()).isEqualTo(1);
        assertThat(queue.open()).isEqualTo(FaultQueue.GROUPS_MAX);
    }

    @Test
    void atTheLimitOfWaitingRequestsOneIsDroppedAndCounted() {
        MockHost.Bound bound = host.mockDomain(ioas);
        Device device = host.find(bound.device(), Device.class);
        for (int i = 0; i < PageRequests.WAITING_MAX; i++) {
            device.requests().report(0, 0, i, 1, 0);
        }
        assertThat(device.requests().dropped()).isZero();
        device.requests().report(0, 0, 7, 1, 0);
        assertThat(device.requests().dropped()).isEqualTo(1);
    }

    @Test
    void anEventThatIsLostLeavesAGapAndAHeader() {
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        int viommu = host.viommu(bound.device(), parent);
        ProgramStub.Struct struct =
                host.program
                        .struct(Iommufd.VEVENTQ_ALLOC_SIZE)
                        .with(Iommufd.VEVENTQ_ALLOC_VIOMMU_ID, viommu)
                        .with(Iommufd.VEVENTQ_ALLOC_TYPE, IommufdTest.VEVENTQ_TYPE_SELFTEST)
                        .with(Iommufd.VEVENTQ_ALLOC_DEPTH, 2);
        assertThat(struct.call(host.file, Iommufd.CMD_VEVENTQ_ALLOC)).isZero();
        OpenFile file = host.program.ours(struct.getInt(Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_FD));
        Veventq queue =
                host.find(struct.getInt(Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_ID), Veventq.class);
        for (int i = 0; i < 4; i++) {
            queue.report(new byte[] {(byte) i, 0, 0, 0});
        }
        long buffer = host.program.mmap(PAGE);
        assertThat(file.read(host.program, buffer, 8)).isEqualTo(error(Errno.EINVAL));
        assertThat(file.read(host.program, buffer, 100)).isEqualTo(12 + 12 + 8);
        MemorySegment bytes = host.program.memoryAt(buffer).bytes();
        assertThat(bytes.get(JAVA_INT, 4)).isZero();
        assertThat(bytes.get(JAVA_INT, 16)).isEqualTo(1);
        assertThat(bytes.get(JAVA_INT, 24)).isEqualTo(Iommufd.VEVENTQ_FLAG_LOST_EVENTS);
        assertThat(bytes.get(JAVA_INT, 28)).isEqualTo(3);
        assertThat(file.isReadable()).isFalse();
        queue.report(new byte[4]);
        assertThat(file.read(host.program, buffer, 100)).isEqualTo(12);
        assertThat(bytes.get(JAVA_INT, 4)).isEqualTo(4);
    }

    @Test
    void aHardwareQueueLocksItsPagesAndQueuesEndInOrder() {
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        int viommu = host.viommu(bound.device(), parent);
        long memory = host.program.mmap(PAGE);
        assertThat(host.hwQueue(viommu, 0, APERTURE, PAGE)).isEqualTo((int) error(Errno.ENOENT));
        assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE)).isZero();
        assertThat(host.hwQueue(viommu, 1, APERTURE, PAGE)).isEqualTo((int) error(Errno.EIO));
        int first = host.hwQueue(viommu, 0, APERTURE, PAGE);
        int second = host.hwQueue(viommu, 1, APERTURE + 2048, 2048);
        assertThat(host.unmap(ioas, APERTURE, PAGE)).isEqualTo(error(Errno.EBUSY));
        assertThat(host.destroy(first)).isEqualTo(error(Errno.EBUSY));
        assertThat(host.destroy(second)).isZero();
        assertThat(host.destroy(first)).isZero();
        assertThat(host.unmap(ioas, APERTURE, PAGE)).isEqualTo(PAGE);
    }

    @Test
    void aWindowThatIsMappedKeepsItsOwnerUntilItIsUnmapped() {
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        long data = host.program.mmap(PAGE);
        MemorySegment bytes = host.program.memoryAt(data).bytes();
        ProgramStub.Struct struct =
                host.program
                        .struct(Iommufd.VIOMMU_ALLOC_SIZE)
                        .with(Iommufd.VIOMMU_ALLOC_TYPE, IommufdTest.VIOMMU_TYPE_SELFTEST)
                        .with(Iommufd.VIOMMU_ALLOC_DEV_ID, bound.device())
                        .with(Iommufd.VIOMMU_ALLOC_HWPT_ID, parent)
                        .with(Iommufd.VIOMMU_ALLOC_DATA_LEN, IommufdTest.VIOMMU_SIZE)
                        .with(Iommufd.VIOMMU_ALLOC_DATA_UPTR, data);
        assertThat(struct.call(host.file, Iommufd.CMD_VIOMMU_ALLOC)).isZero();
        int viommu = struct.getInt(Iommufd.VIOMMU_ALLOC_OUT_VIOMMU_ID);
        long offset = bytes.get(JAVA_LONG, IommufdTest.VIOMMU_OUT_MMAP_OFFSET);
        long length = bytes.get(JAVA_LONG, IommufdTest.VIOMMU_OUT_MMAP_LENGTH);
        assertThat(offset).as("the first page is nobody's").isGreaterThanOrEqualTo(PAGE);
        int readWrite = 3;
        int shared = 1;
        int isPrivate = 2;
        int execute = 4;
        assertThat(host.file.map(offset + PAGE, length, readWrite, shared))
                .isEqualTo(error(Errno.ENXIO));
        assertThat(host.file.map(offset, length - PAGE, readWrite, shared))
                .isEqualTo(error(Errno.ENXIO));
        assertThat(host.file.map(offset, length, readWrite, isPrivate))
                .isEqualTo(error(Errno.EINVAL));
        assertThat(host.file.map(offset, length, readWrite | execute, shared))
                .isEqualTo(error(Errno.EPERM));
        assertThat(host.file.map(offset, length, readWrite, shared)).isZero();
        assertThat(host.file.map(offset, length, readWrite, shared)).isZero();
        host.program.mapped.add(offset);
        assertThat(host.destroy(viommu)).isEqualTo(error(Errno.EBUSY));
        host.program.mapped.clear();
        assertThat(host.destroy(viommu)).isZero();
        assertThat(host.file.map(offset, length, readWrite, shared)).isEqualTo(error(Errno.ENXIO));
    }

    @Test
    void compatVersionOneCutsMappingsAndVersionTwoDoesNot() {
        host.mockDomain(ioas);
        IommufdContext context = (IommufdContext) host.file;
        context.compat().ioas(host.find(ioas, Ioas.class));
        long memory = host.program.mmap(16 * PAGE);
        assertThat(host.file.ioctl(host.program, 0x3b66, 3)).isZero();
        assertThat(host.mapFixed(ioas, memory, 16 * PAGE, APERTURE)).isZero();
        assertThat(compatUnmap(APERTURE + 4 * PAGE, 2 * PAGE)).isEqualTo(error(Errno.ENOENT));
        assertThat(compatUnmap(APERTURE, 16 * PAGE)).isEqualTo(16 * PAGE);
        assertThat(compatUnmap(APERTURE, 16 * PAGE)).isZero();

        assertThat(host.file.ioctl(host.program, 0x3b66, 1)).isZero();
        assertThat(host.mapFixed(ioas, memory, 16 * PAGE, APERTURE)).isZero();
        assertThat(compatUnmap(APERTURE + 4 * PAGE, 2 * PAGE)).isEqualTo(2 * PAGE);
        assertThat(host.checkHolds(memory + 4 * PAGE, 2 * PAGE, 0)).isZero();
        assertThat(host.checkHolds(memory, 4 * PAGE, 1)).isZero();
        assertThat(compatUnmap(APERTURE, 4 * PAGE)).isEqualTo(4 * PAGE);
        assertThat(compatUnmap(APERTURE + 6 * PAGE, 10 * PAGE)).isEqualTo(10 * PAGE);
    }

    private long compatUnmap(long iova, long size) {
        ProgramStub.Struct struct = host.program.struct(24).with(8, iova).with(16, size);
        long result = struct.call(host.file, 0x72);
        return result == 0 ? struct.getLong(16) : result;
    }

    @Test
    void changeProcessMovesWhatFilesAreChargedForOrNothing() throws IommufdException {
        host.mockDomain(ioas);
        IommufdContext context = (IommufdContext) host.file;
        int descriptor = host.program.open(new ProgramStub.Memory(4 * PAGE));
        assertThat(host.mapFile(ioas, descriptor, 0, 3 * PAGE)).isPositive();
        ProgramStub poor = new ProgramStub(2);
        IommufdException refusal = null;
        try {
            context.changeProcess(poor);
        } catch (IommufdException e) {
            refusal = e;
        }
        assertThat(refusal).isNotNull();
        assertThat(poor.locked().pinned()).isZero();
        assertThat(host.program.locked().pinned()).isEqualTo(3);
        ProgramStub rich = new ProgramStub(3);
        context.changeProcess(rich);
        assertThat(rich.locked().pinned()).isEqualTo(3);
        assertThat(rich.locked().user()).isEqualTo(3);
        assertThat(host.program.locked().pinned()).isZero();
        assertThat(host.program.locked().user()).isZero();
        assertThat(host.unmap(ioas, 0, -1)).isEqualTo(3 * PAGE);
        assertThat(rich.locked().user()).isZero();
    }
}
