// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.READ_WRITE;

import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.junit.jupiter.api.Test;

/**
 * Failure at each point of a sequence of calls: after every one of them nothing is held, charged or
 * left. The sequences are those of the kernel's fail-nth cases.
 */
class FailNthTest {
    private interface Sequence {
        /** False as soon as a call is refused. */
        boolean run(MockHost host);
    }

    private static boolean ok(long result) {
        return result >= 0;
    }

    /** How many points there were: each was made to fail once. */
    private static int sweep(Sequence sequence) {
        for (int n = 1; ; n++) {
            assertThat(n).isLessThan(1000);
            MockHost host = new MockHost();
            host.program.failures().arm(n);
            boolean isDone = sequence.run(host);
            boolean hasFailed = host.program.failures().remaining() == 0;
            host.program.failures().arm(0);
            host.program.closeAll();
            host.closeAll();
            assertThat(isDone).as("done without failure %d", n).isEqualTo(!hasFailed);
            if (!hasFailed) {
                return n - 1;
            }
        }
    }

    private static int ioas(MockHost host) {
        ProgramStub.Struct struct = host.program.struct(Iommufd.IOAS_ALLOC_SIZE);
        return struct.call(host.file, Iommufd.CMD_IOAS_ALLOC) == 0
                ? struct.getInt(Iommufd.IOAS_ALLOC_OUT_IOAS_ID)
                : -1;
    }

    private static int stdev(MockHost host, int pt, int flags) {
        return host.tryMockDomain(pt, flags) == 0
                ? host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID)
                : -1;
    }

    @Test
    void basic() {
        assertThat(
                        sweep(host -> {
                            int ioas = ioas(host);
                            long memory = host.program.mmap(64 * PAGE);
                            if (ioas < 0) {
                                return false;
                            }
                            long iova = host.map(ioas, memory, 64 * PAGE);
                            return ok(iova)
                                    && ok(host.copy(ioas, ioas, iova, 160, 1L << 40, READ_WRITE))
                                    && ok(host.unmap(ioas, iova, 64 * PAGE));
                        }))
                .isGreaterThan(4);
    }

    @Test
    void mapTwoDomains() {
        assertThat(
                        sweep(host -> {
                            int ioas = ioas(host);
                            host.node.temporaryMemory(32);
                            long memory = scattered(host);
                            if (ioas < 0) {
                                return false;
                            }
                            int one = stdev(host, ioas, 0);
                            int two = one < 0 ? -1 : stdev(host, ioas, 0);
                            if (two < 0) {
                                return false;
                            }
                            int device = host.program.peek(24);
                            int extra = host.hwpt(device, ioas, 0);
                            return extra > 0
                                    && ok(host.map(ioas, memory, 64 * PAGE))
                                    && ok(host.destroy(one))
                                    && ok(host.destroy(two))
                                    && ok(host.destroy(extra))
                                    && stdev(host, ioas, 0) > 0;
                        }))
                .isGreaterThan(100);
    }

    /** Memory of which no two neighbouring pages lie side by side. */
    private static long scattered(MockHost host) {
        ProgramStub.Memory memory = new ProgramStub.Memory(128 * PAGE);
        return host.program.mmapScattered(memory, 64);
    }

    @Test
    void accessPinDomain() {
        assertThat(
                        sweep(host -> {
                            int ioas = ioas(host);
                            host.node.temporaryMemory(32);
                            long memory = scattered(host);
                            if (ioas < 0 || stdev(host, ioas, 0) < 0) {
                                return false;
                            }
                            int stdev = host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID);
                            if (!ok(host.mapFixed(ioas, memory, 64 * PAGE, APERTURE))) {
                                return false;
                            }
                            int access = host.access(ioas, true);
                            if (access < 0) {
                                return false;
                            }
                            int held = host.hold(access, APERTURE, 64 * PAGE, memory);
                            boolean isDone =
                                    held > 0
                                            && ok(host.destroy(stdev))
                                            && ok(host.drop(access, held));
                            host.program.close(access);
                            return isDone;
                        }))
                .isGreaterThan(50);
    }

    @Test
    void accessPinWithoutDomain() {
        assertThat(
                        sweep(host -> {
                            int ioas = ioas(host);
                            host.node.temporaryMemory(16);
                            long memory = scattered(host);
                            if (ioas < 0 || !ok(host.mapFixed(ioas, memory, 64 * PAGE, APERTURE))) {
                                return false;
                            }
                            int access = host.access(ioas, true);
                            if (access < 0) {
                                return false;
                            }
                            int held = host.hold(access, APERTURE, 64 * PAGE, memory);
                            boolean isDone = held > 0 && ok(host.drop(access, held));
                            host.program.close(access);
                            return isDone;
                        }))
                .isGreaterThan(50);
    }

    @Test
    void device() {
        assertThat(sweep(FailNthTest::device)).isGreaterThan(40);
    }

    private static boolean device(MockHost host) {
        int ioas = ioas(host);
        int other = ioas < 0 ? -1 : ioas(host);
        long memory = host.program.mmap(PAGE);
        if (other < 0
                || !ok(host.mapFixed(ioas, memory, PAGE, APERTURE))
                || !ok(host.mapFixed(other, memory, PAGE, APERTURE))
                || !ok(host.tryMockDomain(ioas, IommufdTest.DEVICE_PASID))) {
            return false;
        }
        int stdev = host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_STDEV_ID);
        int device = host.program.peek(IommufdTest.MOCK_DOMAIN_OUT_IDEV_ID);
        int plain = host.hwpt(device, ioas, Iommufd.HWPT_ALLOC_PASID);
        if (plain < 0 || !ok(host.replace(stdev, other)) || !ok(host.replace(stdev, plain))) {
            return false;
        }
        int parent =
                host.hwpt(device, ioas, Iommufd.HWPT_ALLOC_NEST_PARENT | Iommufd.HWPT_ALLOC_PASID);
        int viommu = parent < 0 ? -1 : host.viommu(device, parent);
        int vdevice = viommu < 0 ? -1 : host.vdevice(viommu, device, 0);
        int queue = vdevice < 0 ? -1 : host.hwQueue(viommu, 0, APERTURE, PAGE);
        if (queue < 0) {
            return false;
        }
        ProgramStub.Struct faults = host.program.struct(Iommufd.FAULT_ALLOC_SIZE);
        if (!ok(faults.call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC))) {
            return false;
        }
        int faultQueue = faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_ID);
        host.program.close(faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_FD));
        int nested = host.nested(device, parent, Iommufd.HWPT_FAULT_ID_VALID, faultQueue);
        int events = nested < 0 ? -1 : host.veventq(viommu, 2);
        int pasid = 200;
        if (events < 0 || !ok(host.pasid(IommufdTest.OP_PASID_ATTACH, stdev, pasid, parent))) {
            return false;
        }
        boolean isDone = ok(host.pasid(IommufdTest.OP_PASID_REPLACE, stdev, pasid, plain));
        // A device goes with its PASIDs detached.
        return ok(host.pasid(IommufdTest.OP_PASID_DETACH, stdev, pasid, 0)) && isDone;
    }
}
