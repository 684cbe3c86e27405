// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.Formats;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.spec.Iommufd;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Page tables of a format as what an address space is shown in. */
class TableDomainTest {
    private static final FailureInjector NO_FAILURES = new FailureInjector();

    static List<PageTableFormat> formats() {
        return Formats.ALL;
    }

    private static TableDomain domain(PageTableFormat format, IommufdNode node)
            throws IommufdException {
        return new TableDomain(format, -1L, 0, -1L, true, node);
    }

    /** Where addresses of a format begin. */
    private static long start(PageTableFormat format) {
        return format.iova(0);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void anyFormatShowsWhatIsMappedAndGivesItsMemoryBack(PageTableFormat format)
            throws IommufdException {
        IommufdNode node = IommufdNode.builder().build();
        TableDomain domain = domain(format, node);
        long granule = Long.lowestOneBit(domain.pageSizes());
        long first = start(format) + (1L << 21);
        domain.map(first, 1L << 30, 64 * granule, true, true, NO_FAILURES);
        for (int i = 0; i < 64; i++) {
            assertThat(domain.toPhysical(first + i * granule + 3))
                    .isEqualTo((1L << 30) + i * granule + 3);
        }
        assertThat(domain.lookUp(first + 64 * granule)).isEqualTo(TableDomain.NOWHERE);
        assertThat(domain.write(first)).isTrue();
        assertThat(node.tables().held()).isPositive();
        domain.unmap(first, 64 * granule);
        assertThat(domain.lookUp(first)).isEqualTo(TableDomain.NOWHERE);
        domain.free();
        assertThat(node.tables().held()).isZero();
    }

    @ParameterizedTest
    @MethodSource("formats")
    void whatTheFormatCannotShowIsRefusedInTheKernelsWords(PageTableFormat format)
            throws IommufdException {
        TableDomain domain = domain(format, IommufdNode.builder().build());
        long granule = Long.lowestOneBit(domain.pageSizes());
        if (format.outputBits() < 63) {
            refuses(Errno.ENXIO, domain, start(format), 1L << format.outputBits(), granule);
        }
        if (format.inputBits() < 63) {
            long outside = start(format) == 0 ? 1L << format.inputBits() : 0;
            refuses(Errno.ERANGE, domain, outside, 0, granule);
        }
        assertThat(domain.lookUp(start(format))).isEqualTo(TableDomain.NOWHERE);
        assertThatThrownBy(() -> domain.unmap(start(format), granule))
                .isInstanceOf(IllegalStateException.class);
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aPageLeadsElsewhereWithOtherRightsOrIsAsItWas(PageTableFormat format)
            throws IommufdException {
        TableDomain domain = domain(format, IommufdNode.builder().build());
        int pageLg2 = format.pageLg2();
        long page = 1L << pageLg2;
        long first = start(format);
        domain.map(first, 4 * page, page, true, true, NO_FAILURES);
        domain.replace(first, 8 * page, pageLg2, true, false);
        assertThat(domain.toPhysical(first + 1)).isEqualTo(8 * page + 1);
        assertThat(domain.lookUp(first, Rights.READ)).isEqualTo(8 * page);
        assertThat(domain.lookUp(first, Rights.WRITE)).isEqualTo(TableDomain.NOWHERE);
        assertThat(domain.write(first)).isFalse();
        assertThatThrownBy(() -> domain.replace(first, 1, pageLg2, true, true))
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENXIO));
        assertThatThrownBy(() -> domain.replace(first + page, 0, pageLg2, true, true))
                .isInstanceOf(IllegalStateException.class);
        assertThat(domain.toPhysical(first)).isEqualTo(8 * page);
        assertThat(domain.lookUp(first + page)).isEqualTo(TableDomain.NOWHERE);
        List<Long> shown = new ArrayList<>();
        domain.leaves(first, first + 8 * page - 1, (iova, _, _, _, _) -> shown.add(iova));
        assertThat(shown).containsExactly(first);
    }

    @Test
    void whoHoldsPagesHimselfChargesForThemHimself() {
        IommufdNode node = IommufdNode.builder().build();
        ProgramStub.Memory memory = new ProgramStub.Memory(8 * PAGE);
        long address = node.hold(memory, PAGE, 4);
        assertThat(address).isPositive();
        assertThat(node.heldPages()).isEqualTo(4);
        assertThat(node.addressOf(memory, 4 * PAGE)).isEqualTo(address + 3 * PAGE);
        node.giveBack(address, 4);
        assertThat(node.heldPages()).isZero();
        // Addresses follow each other within 1 GiB of a source.
        assertThat(IommufdNode.pagesTogether((1L << 30) - PAGE)).isEqualTo(1);
        LockedMemory locked = new ProgramStub(3).locked();
        assertThat(locked.chargeProcess(3, false)).isTrue();
        assertThat(locked.chargeProcess(1, false)).isFalse();
        assertThat(locked.chargeProcess(1, true)).isTrue();
        assertThat(locked.chargeProcess(-4, false)).isTrue();
        assertThat(locked.locked()).isZero();
    }

    private static void refuses(
            Errno errno, TableDomain domain, long iova, long address, long length) {
        assertThatThrownBy(() -> domain.map(iova, address, length, true, true, NO_FAILURES))
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void onlyTheSizesThatWereAskedForAreUsed() throws IommufdException {
        long huge = 1L << 20;
        TableDomain domain =
                new TableDomain(
                        Amdv1Format.mock(),
                        2048 | huge,
                        0,
                        -1L,
                        true,
                        IommufdNode.builder().build());
        assertThat(domain.pageSizes()).isEqualTo(2048 | huge);
        domain.map(huge, huge, 2 * huge, true, true, NO_FAILURES);
        // A half cannot be unmapped: it is one page.
        assertThatThrownBy(() -> domain.unmap(huge + 2048, huge - 2048))
                .isInstanceOf(IllegalStateException.class);
        domain.unmap(huge, huge);
        assertThat(domain.toPhysical(2 * huge)).isEqualTo(2 * huge);
    }

    @Test
    void whatWasWrittenIsToldOncePerPage() throws IommufdException {
        TableDomain domain = domain(Amdv1Format.mock(), IommufdNode.builder().build());
        domain.map(0, 0, 1 << 16, true, true, NO_FAILURES);
        assertThat(domain.write(5000)).isTrue();
        List<String> told = new ArrayList<>();
        domain.dirty(0, 0xffff, true, (first, last) -> told.add(first + ".." + last));
        assertThat(told).as("nobody wanted to know").isEmpty();
        domain.trackDirty(true);
        assertThat(domain.write(5000)).isTrue();
        assertThat(domain.write(1 << 16)).isFalse();
        domain.dirty(0, 0xffff, true, (first, last) -> told.add(first + ".." + last));
        assertThat(told).containsExactly("0..65535");
        domain.dirty(0, 0xffff, true, (first, last) -> told.add(first + ".." + last));
        assertThat(told).hasSize(1);
    }

    @Test
    void atTheLimitOfTableMemoryATableIsRefusedAndAMappingChangesNothing() {
        // What one table with its first mapping takes, and not a byte more.
        MockHost host =
                new MockHost(
                        IommufdNode.builder()
                                .commands(new MockDriver())
                                .tableLimit(1 << 14)
                                .build());
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        assertThat(host.node.tables().held()).isEqualTo(1 << 14);
        assertThat(host.hwpt(bound.device(), ioas, 0)).isEqualTo((int) error(Errno.ENOMEM));
        long memory = host.program.mmap(PAGE);
        // A top table, and two below it for each place: the third does not fit any more.
        assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE)).isZero();
        long far = APERTURE + (1L << 30);
        assertThat(host.mapFixed(ioas, memory, PAGE, far)).isEqualTo(error(Errno.ENOMEM));
        assertThat(host.program.rule).contains("limit of memory for page tables");
        assertThat(host.checkHolds(memory, PAGE, 1)).isZero();
        assertThat(host.checkMap(bound.hwpt(), APERTURE, PAGE, memory)).isZero();
        assertThat(host.unmap(ioas, APERTURE, PAGE)).isEqualTo(PAGE);
        assertThat(host.mapFixed(ioas, memory, PAGE, far)).isZero();
        host.program.closeAll();
        host.closeAll();
        assertThat(host.node.tables().held()).isZero();
    }

    @Test
    void withoutLargePagesEachPageOfAMappingIsOneOfItsOwn() {
        MockHost host = new MockHost();
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        assertThat(
                        host.program
                                .struct(Iommufd.OPTION_SIZE)
                                .with(Iommufd.OPTION_ID, Iommufd.OPTION_HUGE_PAGES)
                                .with(Iommufd.OPTION_OBJECT_ID, ioas)
                                .with(Iommufd.OPTION_VAL64, 0L)
                                .call(host.file, Iommufd.CMD_OPTION))
                .as(host.program.rule)
                .isZero();
        long memory = host.program.mmap(16 * PAGE);
        assertThat(host.mapFixed(ioas, memory, 16 * PAGE, APERTURE)).isZero();
        TableDomain domain = (TableDomain) host.find(bound.hwpt(), PagingHwpt.class).domain();
        domain.unmap(APERTURE + 4 * PAGE, PAGE);
        assertThat(domain.lookUp(APERTURE + 4 * PAGE)).isEqualTo(TableDomain.NOWHERE);
        assertThat(domain.lookUp(APERTURE + 5 * PAGE)).isNotEqualTo(TableDomain.NOWHERE);
    }
}
