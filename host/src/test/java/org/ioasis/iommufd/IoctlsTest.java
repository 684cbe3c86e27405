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
import org.junit.jupiter.api.Test;

/** What holds for every ioctl: sizes, tails, unknown numbers, answers that cannot be written. */
class IoctlsTest {
    private final MockHost host = new MockHost();

    @AfterEach
    void nothingIsLeft() {
        host.closeAll();
    }

    @Test
    void cmdFail() {
        assertThat(host.destroy(0)).isEqualTo(error(Errno.ENOENT));
        assertThat(host.file.ioctl(host.program, ';' << 8 | Iommufd.CMD_DESTROY, 0))
                .isEqualTo(error(Errno.EFAULT));
        ProgramStub.Struct any = host.program.struct(8);
        assertThat(any.call(host.file, Iommufd.CMD_BASE - 1)).isEqualTo(error(Errno.ENOTTY));
        assertThat(any.call(host.file, 0x96)).isEqualTo(error(Errno.ENOTTY));
        // The number of one of ours with a size encoded is no command of ours.
        assertThat(any.call(host.file, 0x40080000 | Iommufd.CMD_DESTROY))
                .isEqualTo(error(Errno.ENOTTY));
    }

    @Test
    void eachStructureHasAMinimumAndATailThatMustBeZero() {
        int[][] sizes = {
            {Iommufd.CMD_DESTROY, 8, 8},
            {Iommufd.CMD_GET_HW_INFO, 40, 32},
            {Iommufd.CMD_HWPT_ALLOC, 48, 24},
            {Iommufd.CMD_HWPT_INVALIDATE, 32, 32},
            {Iommufd.CMD_IOAS_ALLOC, 12, 12},
            {Iommufd.CMD_IOAS_IOVA_RANGES, 32, 32},
            {Iommufd.CMD_IOAS_ALLOW_IOVAS, 24, 24},
            {Iommufd.CMD_IOAS_MAP, 40, 40},
            {Iommufd.CMD_IOAS_COPY, 40, 40},
            {Iommufd.CMD_IOAS_UNMAP, 24, 24},
            {Iommufd.CMD_OPTION, 24, 24},
            {Iommufd.CMD_VFIO_IOAS, 12, 12},
            {Iommufd.CMD_IOAS_MAP_FILE, 40, 40},
            {Iommufd.CMD_VIOMMU_ALLOC, 40, 24},
            {Iommufd.CMD_VDEVICE_ALLOC, 24, 24},
            {Iommufd.CMD_IOAS_CHANGE_PROCESS, 8, 8},
            {Iommufd.CMD_VEVENTQ_ALLOC, 32, 28},
            {Iommufd.CMD_HW_QUEUE_ALLOC, 40, 40},
            {Iommufd.CMD_IOAS_NOIOMMU_GET_PA, 48, 48},
        };
        for (int[] entry : sizes) {
            String name = "command 0x%x".formatted(entry[0]);
            assertThat(host.program.struct(entry[2] - 1).call(host.file, entry[0]))
                    .as(name)
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(
                            host.program
                                    .struct(entry[1] + 4)
                                    .with(entry[1], 0xff)
                                    .call(host.file, entry[0]))
                    .as(name)
                    .isEqualTo(error(Errno.E2BIG));
            long exact = host.program.struct(entry[1]).call(host.file, entry[0]);
            assertThat(exact).as(name).isNotEqualTo(error(Errno.ENOTTY));
            assertThat(host.program.struct(entry[1] + 4).call(host.file, entry[0]))
                    .as(name)
                    .isEqualTo(exact);
        }
    }

    @Test
    void anAnswerThatCannotBeWrittenLeavesNoObject() {
        // The structure ends with the program's memory, and goes away before the answer.
        IommufdContext context = (IommufdContext) host.file;
        host.program.isDeaf = true;
        assertThat(
                        host.program
                                .struct(Iommufd.IOAS_ALLOC_SIZE)
                                .call(host.file, Iommufd.CMD_IOAS_ALLOC))
                .isEqualTo(error(Errno.EFAULT));
        assertThat(context.objects()).isZero();
        assertThat(
                        host.program
                                .struct(Iommufd.FAULT_ALLOC_SIZE)
                                .call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC))
                .isEqualTo(error(Errno.EFAULT));
        assertThat(context.objects()).isZero();
        host.program.isDeaf = false;
        assertThat(host.ioas()).isEqualTo(1);
    }

    @Test
    void unknownFlagsAndReservedFieldsAreNotSupported() {
        int ioas = host.ioas();
        assertThat(
                        host.program
                                .struct(Iommufd.IOAS_ALLOC_SIZE)
                                .with(Iommufd.IOAS_ALLOC_FLAGS, 1)
                                .call(host.file, Iommufd.CMD_IOAS_ALLOC))
                .isEqualTo(error(Errno.EOPNOTSUPP));
        assertThat(host.mapFixed(ioas, 0, PAGE, APERTURE, 8)).isEqualTo(error(Errno.EOPNOTSUPP));
        assertThat(host.mapFixed(ioas, 0, PAGE, APERTURE, 0)).isEqualTo(error(Errno.EINVAL));
    }

    @Test
    void idsAreTheLowestThatAreFree() {
        assertThat(host.ioas()).isEqualTo(1);
        assertThat(host.ioas()).isEqualTo(2);
        assertThat(host.destroy(1)).isZero();
        assertThat(host.destroy(1)).isEqualTo(error(Errno.ENOENT));
        assertThat(host.ioas()).isEqualTo(1);
    }

    @Test
    void vdeviceTombstone() {
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
        int viommu = host.viommu(bound.device(), parent);
        int vdevice = host.vdevice(viommu, bound.device(), 0x99);
        assertThat(vdevice).isPositive();
        assertThat(host.destroy(viommu)).isEqualTo(error(Errno.EBUSY));
        assertThat(host.destroy(bound.device())).isEqualTo(error(Errno.EBUSY));
        assertThat(host.destroy(bound.stdev())).isZero();
        assertThat(host.destroy(vdevice)).isEqualTo(error(Errno.ENOENT));
        // Its id is nobody's from now on, although lower and higher ones are given out.
        for (int i = 0; i < 12; i++) {
            assertThat(host.ioas()).isNotEqualTo(vdevice);
        }
    }

    @Test
    void aContextOwnsADeviceAndAnOpenQueueKeepsItThere() {
        int ioas = host.ioas();
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
        int queue = struct.getInt(Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_ID);
        int descriptor = struct.getInt(Iommufd.VEVENTQ_ALLOC_OUT_VEVENTQ_FD);
        assertThat(host.destroy(queue)).isEqualTo(error(Errno.EBUSY));
        host.file.release();
        assertThat(host.node.openContexts()).isEqualTo(1);
        host.program.close(descriptor);
        assertThat(host.node.openContexts()).isZero();
    }

    @Test
    void atTheLimitOfAllowedRangesTheListIsRefused() {
        int ioas = host.ioas();
        long list = host.program.mmap(2 << 20);
        MemorySegment bytes = host.program.memoryAt(list).bytes();
        for (long i = 0; i <= 65536; i++) {
            bytes.set(JAVA_LONG, i * 16, i * 2 * PAGE);
            bytes.set(JAVA_LONG, i * 16 + 8, i * 2 * PAGE + PAGE - 1);
        }
        assertThat(allow(ioas, list, 65536)).isZero();
        assertThat(allow(ioas, list, 65537)).isEqualTo(error(Errno.ENOMEM));
    }

    private long allow(int ioas, long list, int count) {
        return host.program
                .struct(Iommufd.ALLOW_IOVAS_SIZE)
                .with(Iommufd.ALLOW_IOVAS_IOAS_ID, ioas)
                .with(Iommufd.ALLOW_IOVAS_NUM_IOVAS, count)
                .with(Iommufd.ALLOW_IOVAS_ALLOWED_IOVAS, list)
                .call(host.file, Iommufd.CMD_IOAS_ALLOW_IOVAS);
    }

    @Test
    void aTailIsLookedAtUpToItsLimit() {
        int limit = 1 << 20;
        long address = host.program.mmap(limit + PAGE);
        MemorySegment bytes = host.program.memoryAt(address).bytes();
        bytes.set(JAVA_INT, Iommufd.DESTROY_ID, 99);
        int command = ';' << 8 | Iommufd.CMD_DESTROY;
        bytes.set(JAVA_INT, 0, Iommufd.DESTROY_SIZE + limit);
        assertThat(host.file.ioctl(host.program, command, address)).isEqualTo(error(Errno.ENOENT));
        bytes.set(JAVA_INT, 0, Iommufd.DESTROY_SIZE + limit + 1);
        assertThat(host.file.ioctl(host.program, command, address)).isEqualTo(error(Errno.E2BIG));
    }
}
