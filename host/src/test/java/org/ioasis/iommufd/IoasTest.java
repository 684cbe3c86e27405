// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refusal;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.READ_WRITE;
import static org.ioasis.iommufd.MockHost.error;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Iommufd;
import org.ioasis.spec.IommufdTest;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Address spaces: what may be mapped where, and what a page being held once means. Named after the
 * kernel's cases where one of them says the same.
 */
class IoasTest {
    private final MockHost host = new MockHost();
    private final int ioas = host.ioas();
    private final long buffer = host.program.mmap(16 * PAGE);

    @AfterEach
    void nothingIsLeft() {
        host.closeAll();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void areaIsUnmappedWholeAndOverlapsNothing(int domains) {
        for (int i = 0; i < domains; i++) {
            host.mockDomain(ioas);
        }
        long base = APERTURE + 16 * PAGE;
        assertThat(host.unmap(ioas, base, PAGE)).isEqualTo(error(Errno.ENOENT));
        assertThat(host.mapFixed(ioas, buffer, 2 * PAGE, base)).isZero();
        assertThat(host.unmap(ioas, base, PAGE)).isEqualTo(error(Errno.ENOENT));
        assertThat(host.unmap(ioas, base + PAGE, PAGE)).isEqualTo(error(Errno.ENOENT));
        for (long[] over :
                new long[][] {{base, 2}, {base, 1}, {base + PAGE, 1}, {base - PAGE, 3}}) {
            assertThat(host.mapFixed(ioas, buffer, over[1] * PAGE, over[0]))
                    .isEqualTo(error(Errno.EEXIST));
        }
        assertThat(host.checkHolds(buffer, 2 * PAGE, domains == 0 ? 0 : 1)).isZero();
        assertThat(host.unmap(ioas, 0, -1)).isEqualTo(2 * PAGE);
        assertThat(host.unmap(ioas, 0, -1)).isZero();
        assertThat(host.checkHolds(buffer, 2 * PAGE, 0)).isZero();
    }

    @Test
    void automaticIovasAreTheLowestThatAreAlignedAsTheLengthIs() {
        assertThat(host.map(ioas, buffer, PAGE)).isEqualTo(PAGE);
        assertThat(host.map(ioas, buffer, 3 * PAGE)).isEqualTo(4 * PAGE);
        assertThat(host.map(ioas, buffer, PAGE)).isEqualTo(2 * PAGE);
        assertThat(host.map(ioas, buffer + 5, 7)).isEqualTo(3 * PAGE + 5);
    }

    @Test
    void automaticIovasKeepToWhatIsAllowedAndNotReserved() throws IommufdException {
        IommufdContext context = (IommufdContext) host.file;
        Ioas space = context.find(ioas, Ioas.class);
        space.reserve(4 * PAGE, 104 * PAGE - 1);
        assertThat(host.map(ioas, buffer, 4 * PAGE)).isEqualTo(104 * PAGE);
        space.allow(List.of(new IovaRange(200 * PAGE, 203 * PAGE - 1)));
        assertThat(host.map(ioas, buffer, 2 * PAGE)).isEqualTo(200 * PAGE);
        assertThat(host.map(ioas, buffer, PAGE)).isEqualTo(202 * PAGE);
        assertThat(host.map(ioas, buffer, PAGE)).isEqualTo(error(Errno.ENOSPC));
        // What is fixed is not bound by what was allowed.
        assertThat(host.mapFixed(ioas, buffer, PAGE, 300 * PAGE)).isZero();
        assertThat(host.mapFixed(ioas, buffer, PAGE, 50 * PAGE)).isEqualTo(error(Errno.EINVAL));
    }

    @Test
    void reservedOverflow() throws IommufdException {
        IommufdContext context = (IommufdContext) host.file;
        context.find(ioas, Ioas.class).reserve(6, 0xffffffffffff8006L);
        assertThat(host.map(ioas, buffer, 5 * PAGE)).isEqualTo(error(Errno.ENOSPC));
    }

    @Test
    void aMappingMayEndAtTheLastIova() {
        assertThat(host.mapFixed(ioas, buffer, PAGE, -PAGE)).isZero();
        assertThat(host.mapFixed(ioas, buffer, 2 * PAGE, -PAGE)).isEqualTo(error(Errno.EOVERFLOW));
        assertThat(host.unmap(ioas, -PAGE, PAGE)).isEqualTo(PAGE);
    }

    @Test
    @Tag("S04")
    void iovaRangesAreTheHolesOfTheApertures() {
        List<IovaRange> ranges = new ArrayList<>();
        assertThat(ranges(8, ranges)).isZero();
        assertThat(ranges).containsExactly(new IovaRange(0, -1));
        host.mockDomain(ioas);
        assertThat(ranges(8, ranges)).isZero();
        assertThat(ranges).containsExactly(new IovaRange(APERTURE, IommufdTest.APERTURE_LAST));
        assertThat(ranges(0, ranges)).isEqualTo(error(Errno.EMSGSIZE));
    }

    private long ranges(int room, List<IovaRange> into) {
        into.clear();
        long list = host.program.mmap(PAGE);
        ProgramStub.Struct struct =
                host.program
                        .struct(Iommufd.IOVA_RANGES_SIZE)
                        .with(Iommufd.IOVA_RANGES_IOAS_ID, ioas)
                        .with(Iommufd.IOVA_RANGES_NUM_IOVAS, room)
                        .with(Iommufd.IOVA_RANGES_ALLOWED_IOVAS, list);
        long result = struct.call(host.file, Iommufd.CMD_IOAS_IOVA_RANGES);
        for (int i = 0; result == 0 && i < struct.getInt(Iommufd.IOVA_RANGES_NUM_IOVAS); i++) {
            into.add(
                    new IovaRange(
                            host.program.memoryAt(list).bytes().get(JAVA_LONG, i * 16L),
                            host.program.memoryAt(list).bytes().get(JAVA_LONG, i * 16L + 8)));
        }
        return result;
    }

    @Test
    void aCopySharesThePagesAndHoldsEachOnce() {
        int first = host.mockDomain(ioas).hwpt();
        int other = host.ioas();
        int second = host.mockDomain(other).hwpt();
        assertThat(host.mapFixed(ioas, buffer, 4 * PAGE, APERTURE)).isZero();
        assertThat(host.copy(other, ioas, APERTURE + PAGE, 2 * PAGE, APERTURE, READ_WRITE))
                .isZero();

        assertThat(host.checkMap(first, APERTURE, 4 * PAGE, buffer)).isZero();
        assertThat(host.checkMap(second, APERTURE, 2 * PAGE, buffer + PAGE)).isZero();
        assertThat(host.checkHolds(buffer, 4 * PAGE, 1)).isZero();

        assertThat(host.unmap(ioas, APERTURE, 4 * PAGE)).isEqualTo(4 * PAGE);
        assertThat(host.checkHolds(buffer, PAGE, 0)).isZero();
        assertThat(host.checkHolds(buffer + PAGE, 2 * PAGE, 1)).isZero();
        assertThat(host.checkMap(second, APERTURE, 2 * PAGE, buffer + PAGE)).isZero();
        assertThat(host.program.locked().pinned()).isEqualTo(2);
    }

    @Test
    void whatIsReadOnlyIsNotCopiedForWriting() {
        assertThat(host.mapFixed(ioas, buffer, PAGE, APERTURE, Iommufd.MAP_READABLE)).isZero();
        assertThat(host.copy(ioas, ioas, APERTURE, PAGE, 2 * APERTURE, READ_WRITE))
                .isEqualTo(error(Errno.EPERM));
        assertThat(host.copy(ioas, ioas, APERTURE, PAGE, 2 * APERTURE, Iommufd.MAP_READABLE))
                .isZero();
    }

    @Test
    void copySweep() {
        host.mockDomain(ioas);
        int other = host.ioas();
        assertThat(host.mapFixed(ioas, buffer, 16 * PAGE, APERTURE)).isZero();
        int copies = 0;
        for (long iova = APERTURE - PAGE; iova <= APERTURE + 16 * PAGE; iova += 511) {
            long result = host.copy(other, ioas, iova, 2048, APERTURE, READ_WRITE);
            if (iova < APERTURE || iova + 2047 > APERTURE + 16 * PAGE - 1) {
                assertThat(result).isEqualTo(error(Errno.ENOENT));
            } else {
                assertThat(result).isZero();
                assertThat(host.unmap(other, APERTURE, 2048)).isEqualTo(2048);
                copies++;
            }
        }
        assertThat(copies).isEqualTo(124);
    }

    @Test
    void memoryThatIsNotThereIsNotMappedAndNothingStaysHeld() {
        int hwpt = host.mockDomain(ioas).hwpt();
        long hole = host.program.mmap(8 * PAGE);
        host.program.munmapFrom(hole, hole + 4 * PAGE);
        assertThat(host.map(ioas, hole, 8 * PAGE)).isEqualTo(error(Errno.EFAULT));
        assertThat(host.node.heldPages()).isZero();
        assertThat(host.program.locked().user()).isZero();
        assertThat(host.mapFixed(ioas, hole, 4 * PAGE, APERTURE)).isZero();
        assertThat(host.checkMap(hwpt, APERTURE, 4 * PAGE, hole)).isZero();
    }

    @Test
    void theLimitOfLockedMemoryIsReachedByOnePageTooMany() throws IommufdException {
        ProgramStub poor = new ProgramStub(4);
        IommufdContext context = host.node.openContext();
        Ioas space = context.allocateIoas();
        HoldsAll access = new HoldsAll(context, space);
        Owner owner = new Owner(poor, false);
        long memory = poor.mmap(8 * PAGE);
        space.map(owner, memory, 5 * PAGE, READ_WRITE | Iommufd.MAP_FIXED_IOVA, 0);
        space.map(owner, memory, 4 * PAGE, READ_WRITE | Iommufd.MAP_FIXED_IOVA, 16 * PAGE);

        assertThat(access.errno(0, 5 * PAGE)).isEqualTo(Errno.ENOMEM);
        assertThat(poor.locked().user()).isZero();
        assertThat(access.errno(16 * PAGE, 4 * PAGE)).isNull();
        assertThat(poor.locked().user()).isEqualTo(4);
        assertThat(access.errno(0, PAGE)).isEqualTo(Errno.ENOMEM);
        access.access.close();
        context.release();
    }

    /** An access that holds until it is told to let go. */
    private static final class HoldsAll implements Access.User {
        private final Access access;
        private final List<IovaRange> held = new ArrayList<>();

        HoldsAll(IommufdContext context, Ioas space) throws IommufdException {
            access = context.access(this, true);
            access.attach(space);
        }

        @Nullable Errno errno(long iova, long length) {
            try {
                access.pin(iova, length, false);
                held.add(new IovaRange(iova, iova + length - 1));
                return null;
            } catch (IommufdException e) {
                return e.errno();
            }
        }

        @Override
        public void unmap(long iova, long length) {
            for (IovaRange range : held) {
                access.unpin(range.first(), range.last() - range.first() + 1);
            }
            held.clear();
        }
    }

    @Test
    void accessPin() {
        int access = host.access(ioas, true);
        for (int pages = 1; pages < 16; pages++) {
            assertThat(host.mapFixed(ioas, buffer, 16 * PAGE, APERTURE)).isZero();
            int one = host.hold(access, APERTURE, pages * PAGE, buffer);
            int two = host.hold(access, APERTURE, pages * PAGE, buffer);
            assertThat(one).isPositive();
            assertThat(two).isPositive();
            assertThat(host.checkHolds(buffer, pages * PAGE, 1)).isZero();
            assertThat(host.drop(access, two)).isZero();
            MockHost.Bound bound = host.mockDomain(ioas);
            assertThat(host.checkMap(bound.hwpt(), APERTURE, 16 * PAGE, buffer)).isZero();
            assertThat(host.checkHolds(buffer, 16 * PAGE, 1)).isZero();
            assertThat(host.destroy(bound.stdev())).isZero();
            assertThat(host.checkHolds(buffer, pages * PAGE, 1)).isZero();
            assertThat(host.node.heldPages()).isEqualTo(pages);
            assertThat(host.drop(access, one)).isZero();
            assertThat(host.node.heldPages()).isZero();
            assertThat(host.unmap(ioas, APERTURE, 16 * PAGE)).isEqualTo(16 * PAGE);
        }
        host.program.close(access);
    }

    @Test
    void accessPinUnmap() {
        int access = host.access(ioas, true);
        assertThat(host.mapFixed(ioas, buffer, 16 * PAGE, APERTURE)).isZero();
        int number = host.hold(access, APERTURE, 16 * PAGE, buffer);
        assertThat(number).isPositive();
        assertThat(host.unmap(ioas, APERTURE, 16 * PAGE)).isEqualTo(16 * PAGE);
        assertThat(host.drop(access, number)).isEqualTo(error(Errno.ENOENT));
        host.program.close(access);
    }

    @Test
    void anAccessThatNeverLetsGoIsADeadlockAfterAHundredTries() throws IommufdException {
        IommufdContext context = host.node.openContext();
        Ioas space = context.allocateIoas();
        int[] told = new int[1];
        Access access = context.access((_, _) -> told[0]++, true);
        access.attach(space);
        Owner owner = new Owner(host.program, false);
        space.map(owner, buffer, PAGE, READ_WRITE | Iommufd.MAP_FIXED_IOVA, APERTURE);
        access.pin(APERTURE, PAGE, true);

        assertThat(refusal(() -> space.unmap(APERTURE, PAGE))).isEqualTo(Errno.EDEADLK);
        assertThat(told[0]).isEqualTo(100);
        assertThat(space.mappings()).isEqualTo(1);
        access.unpin(APERTURE, PAGE);
        assertThat(space.unmap(APERTURE, PAGE)).isEqualTo(PAGE);
        access.close();
        context.release();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void accessCopiesAcrossPagesHeldOrNot(int domains) {
        for (int i = 0; i < domains; i++) {
            host.mockDomain(ioas);
        }
        long to = host.program.mmap(16 * PAGE);
        int access = host.access(ioas, false);
        assertThat(host.mapFixed(ioas, buffer, 16 * PAGE, APERTURE)).isZero();
        for (long i = 0; i < 16 * PAGE; i++) {
            host.program.memoryAt(buffer).bytes().set(JAVA_BYTE, i, (byte) (i * 7 + (i >>> 8)));
        }
        assertThat(host.copyAccess(access, APERTURE + 50, to, 2 * PAGE + 3, false)).isZero();
        assertThat(
                        host.program
                                .memoryAt(to)
                                .bytes()
                                .asSlice(0, 2 * PAGE + 3)
                                .mismatch(
                                        host.program
                                                .memoryAt(buffer)
                                                .bytes()
                                                .asSlice(50, 2 * PAGE + 3)))
                .isEqualTo(-1);
        assertThat(host.copyAccess(access, APERTURE + 15 * PAGE, to, PAGE + 1, false))
                .isEqualTo(error(Errno.ENOENT));
        host.program.close(access);
    }

    @Test
    void forkGone() {
        // Pages that a page table holds outlive their process; others do not.
        host.mockDomain(ioas);
        assertThat(host.mapFixed(ioas, buffer, 16 * PAGE, APERTURE)).isZero();
        int lazy = host.ioas();
        assertThat(host.mapFixed(lazy, buffer, 16 * PAGE, APERTURE)).isZero();
        host.program.isGone = true;
        assertThat(host.tryMockDomain(lazy, 0)).isEqualTo(error(Errno.EFAULT));
        host.program.isGone = false;
        host.program.isGone = true;
        int second = host.hwpt(host.mockDomain(ioas).device(), ioas, 0);
        host.program.isGone = false;
        assertThat(host.checkMap(second, APERTURE, 16 * PAGE, buffer)).isZero();
    }

    @Test
    void ioasAlignChange() throws IommufdException {
        IommufdContext context = (IommufdContext) host.file;
        Ioas space = context.find(ioas, Ioas.class);
        assertThat(host.mapFixed(ioas, buffer, PAGE, APERTURE)).isZero();
        space.useLargePages(false);
        assertThat(host.mapFixed(ioas, buffer + 2048, PAGE, APERTURE + PAGE))
                .isEqualTo(error(Errno.EINVAL));
        space.useLargePages(true);
        assertThat(host.mapFixed(ioas, buffer + 2048, PAGE, APERTURE + PAGE)).isZero();
        assertThat(refusal(() -> space.useLargePages(false))).isEqualTo(Errno.EADDRINUSE);
        assertThat(space.usesLargePages()).isTrue();
    }

    @Test
    void allAlignsCopy() {
        MockHost.Bound bound = host.mockDomain(ioas);
        long memory = host.program.mmap(8 * PAGE);
        int cases = 0;
        for (long start = 0; start < 8 * PAGE; start += 2048) {
            for (long end = start + 2048; end < 8 * PAGE; end += 2048) {
                long length = end - start;
                long iova = host.map(ioas, memory + start, length);
                assertThat(iova).isPositive();
                MockHost.Bound second = host.mockDomain(ioas);
                int fresh = host.hwpt(second.device(), ioas, 0);
                assertThat(host.checkMap(bound.hwpt(), iova, length, memory + start)).isZero();
                assertThat(host.checkMap(fresh, iova, length, memory + start)).isZero();
                long first = start / PAGE * PAGE;
                assertThat(host.checkHolds(memory + first, end / PAGE * PAGE - first, 1)).isZero();
                assertThat(host.destroy(fresh)).isZero();
                assertThat(host.destroy(second.stdev())).isZero();
                assertThat(host.unmap(ioas, iova, length)).isEqualTo(length);
                assertThat(host.checkHolds(memory, 8 * PAGE, 0)).isZero();
                cases++;
            }
        }
        assertThat(cases).isEqualTo(120);
    }

    @Test
    void aMappedFileStaysOpenUntilItIsUnmapped() {
        ProgramStub.Memory memory = new ProgramStub.Memory(4 * PAGE);
        int descriptor = host.program.open(memory);
        host.mockDomain(ioas);
        assertThat(host.mapFile(ioas, descriptor, 0, 5 * PAGE)).isEqualTo(error(Errno.EINVAL));
        assertThat(host.mapFile(ioas, 99, 0, PAGE)).isEqualTo(error(Errno.EBADF));
        assertThat(host.program.openFiles()).isZero();
        long iova = host.mapFile(ioas, descriptor, PAGE, 2 * PAGE);
        assertThat(iova).isPositive();
        assertThat(host.program.openFiles()).isEqualTo(1);
        assertThat(memory.isHeld()).isTrue();
        assertThat(host.unmap(ioas, iova, 2 * PAGE)).isEqualTo(2 * PAGE);
        assertThat(host.program.openFiles()).isZero();
        assertThat(memory.isHeld()).isFalse();
    }
}
