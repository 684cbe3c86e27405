// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Calls that no well-meaning program makes: each is answered, and nothing is left of it. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class HostileCallsTest {
    private final MockHost host = new MockHost();

    @Test
    void aDeviceWhosePasidsAreAttachedGoesWithItsDriverAndWithItsContext() {
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas, IommufdTest.DEVICE_PASID);
        int table = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        assertThat(host.replace(bound.stdev(), table)).isZero();
        for (int pasid : new int[] {7, 100}) {
            assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, bound.stdev(), pasid, table))
                    .isZero();
        }
        assertThat(host.destroy(table)).isEqualTo(error(Errno.EBUSY));
        assertThat(host.destroy(bound.stdev())).isZero();
        assertThat(host.destroy(table)).isZero();

        MockHost.Bound left = host.mockDomain(ioas, IommufdTest.DEVICE_PASID);
        int last = host.hwpt(left.device(), ioas, Iommufd.HWPT_ALLOC_PASID);
        assertThat(host.replace(left.stdev(), last)).isZero();
        assertThat(host.pasid(IommufdTest.OP_PASID_ATTACH, left.stdev(), 7, last)).isZero();
        host.closeAll();
    }

    @Test
    void lengthsOfHalfOfAllAddressesAreAnswered() {
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        int table = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_DIRTY_TRACKING);
        long memory = host.program.mmap(PAGE);
        assertThat(host.checkHolds(memory, Long.MIN_VALUE, 0)).isEqualTo(error(Errno.EFAULT));
        assertThat(host.checkMap(table, 0, Long.MIN_VALUE, memory)).isEqualTo(error(Errno.EINVAL));
        assertThat(
                        host.test(IommufdTest.OP_DIRTY, table)
                                .with(IommufdTest.DIRTY_LENGTH, Long.MIN_VALUE)
                                .with(IommufdTest.DIRTY_PAGE_SIZE, 1L)
                                .with(IommufdTest.DIRTY_UPTR, memory)
                                .call(host.file, MockHost.TEST))
                .isEqualTo(error(Errno.ENOMEM));
        host.closeAll();
    }

    /** 2^64 bytes are more than the answer can say. */
    @Test
    void whoUnmapsAllIovasThereAreIsToldSo() {
        int ioas = host.ioas();
        for (long iova : new long[] {0, Long.MIN_VALUE}) {
            assertThat(host.mapFixed(ioas, 0, Long.MIN_VALUE, iova)).isZero();
        }
        assertThat(host.unmap(ioas, 0, -1)).isEqualTo(-1);
        assertThat(host.program.rule).as("not refused").isEmpty();
        assertThat(host.find(ioas, Ioas.class).mappings()).isZero();
        host.closeAll();
    }

    /**
     * A table that tells what is written, of all of {@code memory} at the aperture's first IOVA.
     */
    private int trackedTable(int ioas, long memory, long length) {
        MockHost.Bound bound = host.mockDomain(ioas);
        int table = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_DIRTY_TRACKING);
        assertThat(host.mapFixed(ioas, memory, length, APERTURE)).isZero();
        assertThat(
                        host.program
                                .struct(Iommufd.SET_DIRTY_SIZE)
                                .with(Iommufd.SET_DIRTY_FLAGS, Iommufd.DIRTY_TRACKING_ENABLE)
                                .with(Iommufd.SET_DIRTY_HWPT_ID, table)
                                .call(host.file, Iommufd.CMD_HWPT_SET_DIRTY_TRACKING))
                .isZero();
        return table;
    }

    private long dirtyBitmap(int table, long length, long pageSize, long bitmap) {
        return host.program
                .struct(Iommufd.GET_DIRTY_SIZE)
                .with(Iommufd.GET_DIRTY_HWPT_ID, table)
                .with(Iommufd.GET_DIRTY_IOVA, APERTURE)
                .with(Iommufd.GET_DIRTY_LENGTH, length)
                .with(Iommufd.GET_DIRTY_PAGE_SIZE, pageSize)
                .with(Iommufd.GET_DIRTY_DATA, bitmap)
                .call(host.file, Iommufd.CMD_HWPT_GET_DIRTY_BITMAP);
    }

    private boolean write(int table, long iova) {
        return ((TableDomain) host.find(table, PagingHwpt.class).domain()).write(iova);
    }

    @Test
    void whatWasWrittenIsNotForgottenIfItCannotBeTold() {
        long memory = host.program.mmap(4 * PAGE);
        int table = trackedTable(host.ioas(), memory, 4 * PAGE);
        long bitmap = host.program.mmap(PAGE);
        assertThat(write(table, APERTURE)).isTrue();

        host.program.isDeaf = true;
        assertThat(dirtyBitmap(table, 4 * PAGE, PAGE, bitmap)).isEqualTo(error(Errno.EFAULT));
        host.program.isDeaf = false;

        assertThat(dirtyBitmap(table, 4 * PAGE, PAGE, bitmap)).isZero();
        assertThat((int) host.program.memoryAt(bitmap).bytes().get(JAVA_BYTE, 0)).isEqualTo(0b1111);
        host.closeAll();
    }

    @Test
    void aLeafThatIsLargerThanAWindowOfTheBitmapIsToldAsAWhole() {
        long length = 1 << 20;
        long memory = host.program.mmap(length);
        int table = trackedTable(host.ioas(), memory, length);
        long bitmap = host.program.mmap(length / Byte.SIZE);
        assertThat(write(table, APERTURE)).isTrue();

        assertThat(dirtyBitmap(table, length, 1, bitmap)).isZero();

        MemorySegment bits = host.program.memoryAt(bitmap).bytes();
        int set = 0;
        for (long i = 0; i < bits.byteSize(); i++) {
            set += Integer.bitCount(bits.get(JAVA_BYTE, i) & 0xff);
        }
        assertThat(set).as("one leaf of all the memory").isEqualTo((int) length);
        host.closeAll();
    }

    @Test
    void memoryOfADeviceIsNobodysLockedMemoryAfterAChangeOfProcessEither() {
        int ioas = host.ioas();
        host.mockDomain(ioas);
        int buffer =
                (int)
                        host.test(IommufdTest.OP_DMABUF_GET, 0)
                                .with(IommufdTest.DMABUF_GET_LENGTH, 4 * (int) PAGE)
                                .call(host.file, MockHost.TEST);
        assertThat(host.mapFile(ioas, buffer, 0, 4 * PAGE)).isPositive();
        ProgramStub next = new ProgramStub();
        long result =
                next.struct(Iommufd.CHANGE_PROCESS_SIZE)
                        .call(host.file, Iommufd.CMD_IOAS_CHANGE_PROCESS);
        assertThat(result).isEqualTo(error(Errno.EINVAL));
        assertThat(next.locked().pinned()).isZero();
        assertThat(host.program.locked().pinned()).isZero();
        host.program.close(buffer);
        host.closeAll();
    }

    @Test
    void whoIsChargedAlreadyIsNotChargedTwiceForAChangeOfProcessToItself() {
        ProgramStub limited = new ProgramStub(4);
        MockHost owner = new MockHost(host.node, limited);
        int ioas = owner.ioas();
        owner.mockDomain(ioas);
        int file = limited.open(new ProgramStub.Memory(3 * PAGE));
        assertThat(owner.mapFile(ioas, file, 0, 3 * PAGE)).isPositive();
        assertThat(limited.locked().user()).isEqualTo(3);
        assertThat(
                        limited.struct(Iommufd.CHANGE_PROCESS_SIZE)
                                .call(owner.file, Iommufd.CMD_IOAS_CHANGE_PROCESS))
                .isZero();
        assertThat(limited.locked().user()).isEqualTo(3);
        host.file.release();
        owner.closeAll();
    }

    @Test
    void atTheLimitOfMappingsNothingIsMappedUntilOneIsGone() {
        MockHost small =
                new MockHost(
                        IommufdNode.builder().commands(new MockDriver()).mappingLimit(3).build());
        int ioas = small.ioas();
        int other = small.ioas();
        long memory = small.program.mmap(4 * PAGE);
        for (int i = 0; i < 3; i++) {
            assertThat(small.mapFixed(ioas, memory, PAGE, APERTURE + i * PAGE)).isZero();
        }
        assertThat(small.mapFixed(ioas, memory, PAGE, APERTURE + 3 * PAGE))
                .isEqualTo(error(Errno.ENOMEM));
        assertThat(small.copy(other, ioas, APERTURE, PAGE, APERTURE, MockHost.READ_WRITE))
                .isEqualTo(error(Errno.ENOMEM));
        assertThat(small.find(ioas, Ioas.class).mappings()).isEqualTo(3);
        assertThat(small.find(other, Ioas.class).mappings()).isZero();
        assertThat(small.unmap(ioas, APERTURE, 2 * PAGE)).isEqualTo(2 * PAGE);
        assertThat(
                        small.copy(
                                other,
                                ioas,
                                APERTURE + 2 * PAGE,
                                PAGE,
                                APERTURE,
                                MockHost.READ_WRITE))
                .isZero();
        assertThat(small.node.mappings()).isEqualTo(2);
        small.closeAll();
        host.closeAll();
    }

    /** One of as many objects as a context may have. */
    private static final class Counted extends DriverObject {
        private final AtomicInteger ended;

        Counted(IommufdContext context, AtomicInteger ended) {
            super(context);
            this.ended = ended;
        }

        @Override
        protected void destroyed() {
            ended.incrementAndGet();
        }
    }

    @Test
    void aContextWithAsManyObjectsAsItMayHaveEnds() throws IommufdException {
        AtomicInteger ended = new AtomicInteger();
        IommufdContext context = (IommufdContext) host.file;
        for (int i = 1; i < ObjectTable.LIMIT; i++) {
            context.add(new Counted(context, ended));
        }
        host.closeAll();
        assertThat(ended).hasValue(ObjectTable.LIMIT - 1);
    }
}
