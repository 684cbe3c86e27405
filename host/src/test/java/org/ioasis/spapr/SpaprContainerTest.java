// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.spapr.StubProcess.AT;
import static org.ioasis.spapr.StubProcess.BYTES;
import static org.ioasis.spapr.StubProcess.PAGE;

import java.util.List;
import java.util.Objects;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommu.pagetable.format.ArmFormat;
import org.ioasis.iommu.pagetable.format.VtdSecondStageFormat;
import org.ioasis.iommu.pagetable.format.X86Format;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.spec.SpaprTce;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What containers of both kinds allow and refuse: registered memory, windows, mappings. */
class SpaprContainerTest {
    private static final long WINDOW = 1L << 30;
    private static final int WINDOW_PAGES = (int) (WINDOW / PAGE);

    private final IommufdNode node = IommufdNode.builder().build();
    private final SpaprHost host = new SpaprHost(node);
    private final StubProcess process = new StubProcess();
    private final Task task = process.task();
    private final SpaprGroup group = SpaprGroup.builder().build();
    private final SpaprV2 v2 = new SpaprV2(host);
    private final SpaprV1 v1 = new SpaprV1(host);

    @AfterEach
    void nothingIsLeft() {
        v1.close();
        v2.close();
        v2.close();
        assertThat(node.heldPages()).isZero();
        assertThat(node.tables().held()).isZero();
        assertThat(process.locked().locked()).isZero();
        assertThat(host.processes()).isZero();
    }

    private void attach(SpaprContainer container, SpaprGroup some) throws IommufdException {
        container.attach(some, process.failures());
    }

    /** A container of version 2 with a group and all memory registered. */
    private void ready() throws IommufdException {
        attach(v2, group);
        v2.register(task, AT, BYTES);
    }

    /** Where a device of the group that writes somewhere comes to, as an offset of the memory. */
    private long offset(long iova) {
        long found = group.lookUp(iova, true);
        return found == HardwareTable.NOWHERE ? -1 : found - node.addressOf(process.source, 0);
    }

    // Registered memory

    @Test
    @Tag("S10")
    void registeredMemoryIsHeldAndChargedOnceAndExactlyIsUnregistered() throws IommufdException {
        v2.register(task, AT, 16 * PAGE);
        assertThat(node.heldPages()).isEqualTo(16);
        assertThat(process.locked().locked()).isEqualTo(16);
        refuses(Errno.EBUSY, () -> v2.register(task, AT, 16 * PAGE));
        refuses(Errno.EINVAL, () -> v2.register(task, AT + 15 * PAGE, 2 * PAGE));
        refuses(Errno.EINVAL, () -> v2.register(task, AT, 8 * PAGE));
        refuses(Errno.ENOENT, () -> v2.unregister(task, AT, 8 * PAGE));
        refuses(Errno.ENOENT, () -> v2.unregister(task, AT + PAGE, 15 * PAGE));
        assertThat(node.heldPages()).isEqualTo(16);
        v2.unregister(task, AT, 16 * PAGE);
        assertThat(node.heldPages()).isZero();
        assertThat(process.locked().locked()).isZero();
        refuses(Errno.ENOENT, () -> v2.unregister(task, AT, 16 * PAGE));
    }

    @Test
    @Tag("S10")
    void whatTwoContainersRegisterIsHeldUntilBothHaveUnregisteredIt() throws IommufdException {
        SpaprV2 other = new SpaprV2(host);
        v2.register(task, AT, 4 * PAGE);
        other.register(task, AT, 4 * PAGE);
        RegisteredMemory memory = Objects.requireNonNull(v2.memory());
        assertThat(memory.registrations(AT)).isEqualTo(2);
        assertThat(node.heldPages()).isEqualTo(4);
        assertThat(process.locked().locked()).isEqualTo(4);
        v2.unregister(task, AT, 4 * PAGE);
        assertThat(memory.registrations(AT)).isEqualTo(1);
        refuses(Errno.ENOENT, () -> v2.unregister(task, AT, 4 * PAGE));
        assertThat(node.heldPages()).isEqualTo(4);
        other.close();
        assertThat(memory.regions()).isZero();
        assertThat(node.heldPages()).isZero();
    }

    @Test
    @Tag("S10")
    void memoryIsNotUnregisteredWhileAnEntryLeadsToIt() throws IommufdException {
        attach(v2, group);
        v2.register(task, AT, 4 * PAGE);
        v2.map(task, 0, AT, 2 * PAGE, true, true);
        RegisteredMemory memory = Objects.requireNonNull(v2.memory());
        assertThat(memory.entriesInto(AT)).isEqualTo(2);
        refuses(Errno.EBUSY, () -> v2.unregister(task, AT, 4 * PAGE));
        assertThat(memory.registrations(AT)).isEqualTo(1);
        v2.map(task, 0, AT + PAGE, PAGE, true, true);
        assertThat(memory.entriesInto(AT)).as("led elsewhere, counted once").isEqualTo(2);
        v2.unmap(task, 0, 2 * PAGE);
        assertThat(memory.entriesInto(AT)).isZero();
        v2.unregister(task, AT, 4 * PAGE);
    }

    @Test
    void memoryThatAnothersEntriesLeadToOutlivesTheContainerThatRegisteredIt()
            throws IommufdException {
        attach(v2, group);
        v2.register(task, AT, PAGE);
        SpaprV2 other = new SpaprV2(host);
        other.register(task, AT + PAGE, 2 * PAGE);
        other.register(task, AT + 4 * PAGE, PAGE);
        v2.map(task, 0, AT + PAGE, PAGE, true, true);
        v2.map(task, PAGE, AT + 4 * PAGE, PAGE, true, true);
        other.close();
        assertThat(offset(0)).isEqualTo(PAGE);
        assertThat(offset(PAGE)).isEqualTo(4 * PAGE);
        assertThat(node.heldPages()).isEqualTo(4);
        v2.register(task, AT + PAGE, 2 * PAGE);
        assertThat(node.heldPages()).as("once").isEqualTo(4);
        refuses(Errno.EBUSY, () -> v2.unregister(task, AT + PAGE, 2 * PAGE));
        v2.unmap(task, 0, PAGE);
        v2.unregister(task, AT + PAGE, 2 * PAGE);
        assertThat(node.heldPages()).as("the other is still led to").isEqualTo(2);
        v2.close();
        assertThat(node.heldPages()).isZero();
    }

    @Test
    void registeringRefusesWhatIsNoMemory() throws IommufdException {
        refuses(Errno.EPERM, () -> v2.unregister(task, AT, PAGE));
        refuses(Errno.EINVAL, () -> v2.register(task, AT + 1, PAGE));
        refuses(Errno.EINVAL, () -> v2.register(task, AT, PAGE + 1));
        refuses(Errno.EINVAL, () -> v2.register(task, AT, 0));
        refuses(Errno.EINVAL, () -> v2.register(task, -PAGE, 2 * PAGE));
        refuses(Errno.EFAULT, () -> v2.register(task, -PAGE, PAGE));
        refuses(Errno.EFAULT, () -> v2.register(task, AT - PAGE, 2 * PAGE));
        refuses(Errno.EFAULT, () -> v2.register(task, AT + BYTES - PAGE, 2 * PAGE));
        process.move(AT + 2 * PAGE, -1);
        refuses(Errno.EFAULT, () -> v2.register(task, AT, 4 * PAGE));
        assertThat(node.heldPages()).isZero();
        assertThat(process.locked().locked()).isZero();
        refuses(Errno.EINVAL, () -> v2.unregister(task, AT + 1, PAGE));
    }

    @Test
    void theLimitOfLockedMemoryHoldsUnlessTheProcessMayLock() throws IommufdException {
        StubProcess poor = new StubProcess(8);
        v2.register(poor.task(), AT, 8 * PAGE);
        refuses(Errno.ENOMEM, () -> v2.register(poor.task(), AT + 8 * PAGE, PAGE));
        assertThat(poor.locked().locked()).isEqualTo(8);
        poor.mayLock = true;
        v2.register(poor.task(), AT + 8 * PAGE, PAGE);
        assertThat(poor.locked().locked()).isEqualTo(9);
        v2.close();
        assertThat(poor.locked().locked()).isZero();
    }

    @Test
    void atTheLimitOfRegionsNoneIsRegisteredUntilOneGoes() throws IommufdException {
        for (int i = 0; i < RegisteredMemory.REGIONS_MAX; i++) {
            v2.register(task, AT + i * PAGE, PAGE);
        }
        long next = AT + RegisteredMemory.REGIONS_MAX * PAGE;
        refuses(Errno.ENOMEM, () -> v2.register(task, next, PAGE));
        assertThat(node.heldPages()).isEqualTo(RegisteredMemory.REGIONS_MAX);
        v2.unregister(task, AT, PAGE);
        v2.register(task, next, PAGE);
    }

    @Test
    void aContainerIsForTheProcessThatFirstUsedIt() throws IommufdException {
        ready();
        StubProcess stranger = new StubProcess();
        Task other = stranger.task();
        refuses(Errno.EPERM, () -> v2.register(other, AT, PAGE));
        refuses(Errno.EPERM, () -> v2.unregister(other, AT, BYTES));
        refuses(Errno.EPERM, () -> v2.map(other, 0, AT, PAGE, true, true));
        refuses(Errno.EPERM, () -> v2.unmap(other, 0, PAGE));
        refuses(Errno.EPERM, () -> v2.info(other));
        refuses(Errno.EPERM, () -> v2.createWindow(other, 16, WINDOW, 1));
        refuses(Errno.EPERM, () -> v2.removeWindow(other, 0));
    }

    // Groups

    @Test
    void theFirstKindTakesOneGroupAndTheSecondSeveralOfOneFamily() throws IommufdException {
        attach(v1, group);
        refuses(Errno.EBUSY, () -> attach(v1, SpaprGroup.builder().build()));
        refuses(Errno.EBUSY, () -> attach(v2, group));
        v1.detach(group);
        attach(v2, group);
        refuses(Errno.EBUSY, () -> attach(v2, group));
        attach(v2, SpaprGroup.builder().build());
        TableFamily another = TableFamily.of(new X86Format(48, false, 52));
        refuses(Errno.EPERM, () -> attach(v2, SpaprGroup.builder().family(another).build()));
        refuses(Errno.EINVAL, () -> attach(v2, SpaprGroup.builder().windows(0).build()));
        refuses(Errno.EINVAL, () -> attach(v2, SpaprGroup.builder().mediated().build()));
        refuses(
                Errno.EINVAL,
                () -> attach(new SpaprV1(host), SpaprGroup.builder().mediated().build()));
        assertThat(v2.groups()).isEqualTo(2);
    }

    @Test
    void aGroupThatComesLaterGetsTheWindowsThatThereAre() throws IommufdException {
        ready();
        v2.map(task, 0, AT, PAGE, true, true);
        SpaprGroup later = SpaprGroup.builder().build();
        attach(v2, later);
        assertThat(later.lookUp(5, true)).isEqualTo(group.lookUp(5, true)).isPositive();
        v2.detach(later);
        assertThat(later.lookUp(5, true)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(offset(5)).isEqualTo(5);
    }

    @Test
    void windowsOfTheSecondKindOutliveTheirGroups() throws IommufdException {
        ready();
        v2.map(task, 0, AT, PAGE, true, true);
        v2.detach(group);
        assertThat(offset(0)).isEqualTo(-1);
        attach(v2, group);
        assertThat(offset(0)).isZero();
    }

    // The first kind

    @Test
    void enablingChargesTheWholeWindowAndDisablingGivesItBack() throws IommufdException {
        refuses(Errno.ENODEV, () -> v1.enable(task));
        attach(v1, group);
        refuses(Errno.EPERM, () -> v1.map(task, 0, AT, PAGE, true, true));
        refuses(Errno.EPERM, () -> v1.unmap(task, 0, PAGE));
        v1.enable(task);
        assertThat(process.locked().locked()).isEqualTo(WINDOW_PAGES);
        refuses(Errno.EBUSY, () -> v1.enable(task));
        v1.disable(task);
        assertThat(process.locked().locked()).isZero();
        v1.disable(task);
        refuses(Errno.EPERM, () -> v1.map(task, 0, AT, PAGE, true, true));
        v1.detach(group);
        attach(v1, SpaprGroup.builder().defaultSize(0).build());
        refuses(Errno.EPERM, () -> v1.enable(task));
        v1.close();
        StubProcess poor = new StubProcess(WINDOW_PAGES - 1);
        SpaprV1 another = new SpaprV1(host);
        attach(another, group);
        refuses(Errno.ENOMEM, () -> another.enable(poor.task()));
        another.close();
    }

    @Test
    void theFirstKindHoldsEachPageThatAnEntryLeadsTo() throws IommufdException {
        attach(v1, group);
        v1.enable(task);
        v1.map(task, 4 * PAGE, AT, 2 * PAGE, true, false);
        assertThat(node.heldPages()).isEqualTo(2);
        assertThat(group.lookUp(4 * PAGE, false)).isPositive();
        assertThat(group.lookUp(4 * PAGE, true)).isEqualTo(HardwareTable.NOWHERE);
        v1.map(task, 4 * PAGE, AT, PAGE, true, true);
        assertThat(node.heldPages()).as("held anew, and given back").isEqualTo(2);
        assertThat(node.holds(process.source, 0)).isEqualTo(1);
        refuses(
                Errno.EFAULT,
                () -> v1.map(task, 4 * PAGE, AT + BYTES - PAGE, 2 * PAGE, true, true));
        assertThat(node.heldPages()).as("what the call was to map is gone").isZero();
        v1.map(task, 0, AT, 8 * PAGE, true, true);
        v1.unmap(task, PAGE, 2 * PAGE);
        assertThat(node.heldPages()).isEqualTo(6);
    }

    // Windows

    @Test
    void theDefaultWindowIsMadeAtItsFirstUseOrCancelledBefore() throws IommufdException {
        ready();
        assertThat(group.window(0)).isNull();
        v2.unmap(task, 0, 0);
        HardwareTable table = Objects.requireNonNull(group.window(0));
        assertThat(table.pageLg2()).isEqualTo(12);
        assertThat(table.firstAddress()).isZero();
        assertThat(table.lastAddress()).isEqualTo(WINDOW - 1);
        v2.removeWindow(task, 0);
        assertThat(group.window(0)).isNull();
        refuses(Errno.EINVAL, () -> v2.removeWindow(task, 0));
        refuses(Errno.ENXIO, () -> v2.map(task, 0, AT, PAGE, true, true));
        v2.close();
        attach(v2, group);
        v2.removeWindow(task, 0);
        assertThat(v2.createWindow(task, 16, WINDOW, 1)).as("nothing before it").isZero();
    }

    @Test
    @Tag("S09")
    void dynamicWindowsAreSetToAllGroupsAndThereAreTwo() throws IommufdException {
        ready();
        SpaprGroup second = SpaprGroup.builder().build();
        attach(v2, second);
        long before = process.locked().locked();
        long start = v2.createWindow(task, 16, 1L << 36, 2);
        assertThat(start).isEqualTo(SpaprTce.SECOND_WINDOW);
        assertThat(group.window(1)).isNotNull().isSameAs(second.window(1));
        long tables = process.locked().locked() - before;
        // 16 bytes for each entry of both windows: of 2^18 and 2^20.
        assertThat(tables).isEqualTo((1L << 18) * 16 / PAGE + (1L << 20) * 16 / PAGE);
        refuses(Errno.ENOSPC, () -> v2.createWindow(task, 16, WINDOW, 1));
        v2.map(task, start + (1L << 35), AT, 1L << 20, true, true);
        assertThat(offset(start + (1L << 35) + 0x1_2345)).isEqualTo(0x1_2345);
        assertThat(offset(start + (1L << 36))).isEqualTo(-1);
        v2.removeWindow(task, start + 1);
        assertThat(Objects.requireNonNull(v2.memory()).entriesInto(AT)).isZero();
        assertThat(process.locked().locked()).isEqualTo(before + (1L << 18) * 16 / PAGE);
        assertThat(second.window(1)).isNull();
    }

    @Test
    void windowsThatCannotBeAreRefused() throws IommufdException {
        refuses(Errno.ENXIO, () -> v2.createWindow(task, 16, WINDOW, 1));
        refuses(Errno.ENXIO, () -> v2.removeWindow(task, 0));
        attach(v2, group);
        long second = SpaprTce.SECOND_WINDOW;
        for (int pageLg2 : new int[] {0, 11, 13, 34, 63, 64, 65, -1}) {
            refuses(Errno.EINVAL, () -> v2.createWindow(task, pageLg2, WINDOW, 1));
        }
        for (long size : new long[] {0, 1, PAGE, 3 * WINDOW, WINDOW + 1, 1L << 63, -1L}) {
            refuses(Errno.EINVAL, () -> v2.createWindow(task, 16, size, 1));
        }
        for (int levels : new int[] {0, 6, 256, -1}) {
            refuses(Errno.EINVAL, () -> v2.createWindow(task, 16, WINDOW, levels));
        }
        // One level has 2 MiB of entries at most.
        refuses(Errno.EINVAL, () -> v2.createWindow(task, 16, 1L << 35, 1));
        assertThat(v2.createWindow(task, 16, 1L << 34, 1)).isEqualTo(second);
        v2.removeWindow(task, second);
        // At the limit of entries, 2^30.
        assertThat(v2.createWindow(task, 16, 1L << 46, 3)).isEqualTo(second);
        v2.removeWindow(task, second);
        refuses(Errno.EINVAL, () -> v2.createWindow(task, 16, 1L << 47, 3));
        TableFamily fixed =
                new TableFamily() {
                    @Override
                    public PageTableFormat format(int pageLg2, int sizeLg2, int levels) {
                        throw new AssertionError();
                    }

                    @Override
                    public boolean hasDynamicWindows() {
                        return false;
                    }
                };
        SpaprV2 other = new SpaprV2(host);
        attach(other, SpaprGroup.builder().family(fixed).build());
        refuses(Errno.EPERM, () -> other.createWindow(task, 16, WINDOW, 1));
        other.close();
        StubProcess poor = new StubProcess((1L << 18) * 16 / PAGE);
        SpaprV2 another = new SpaprV2(host);
        attach(another, SpaprGroup.builder().build());
        refuses(Errno.ENOMEM, () -> another.createWindow(poor.task(), 16, WINDOW, 1));
        assertThat(poor.locked().locked()).as("the default one").isEqualTo(1024);
        another.close();
        assertThat(poor.locked().locked()).isZero();
    }

    @Test
    void informationTellsOfDynamicWindowsInTheSecondKindOnly() throws IommufdException {
        refuses(Errno.ENXIO, () -> v2.info(task));
        attach(v2, group);
        assertThat(v2.info(task))
                .isEqualTo(new SpaprContainer.WindowInfo(0, 1 << 30, 0x0121_1000, 2, 5));
        v2.detach(group);
        attach(v1, group);
        assertThat(v1.info(task)).isEqualTo(new SpaprContainer.WindowInfo(0, 1 << 30, 0, 0, 0));
    }

    // Mappings

    @Test
    void mappingsAreWithinAWindowAlignedAndToRegisteredMemory() throws IommufdException {
        attach(v2, group);
        refuses(Errno.EPERM, () -> v2.map(task, 0, AT, PAGE, true, true));
        v2.register(task, AT, 8 * PAGE);
        refuses(Errno.ENXIO, () -> v2.map(task, WINDOW, AT, PAGE, true, true));
        refuses(Errno.ENXIO, () -> v2.map(task, -PAGE, AT, PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, WINDOW - PAGE, AT, 2 * PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, PAGE, AT, -PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, 0, AT, PAGE - 1, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, 0, AT + 1, PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, 1, AT, PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, 0, AT, PAGE, false, false));
        refuses(Errno.EINVAL, () -> v2.map(task, 0, AT + 8 * PAGE, PAGE, true, true));
        refuses(Errno.EINVAL, () -> v2.map(task, 0, -PAGE, PAGE, true, true));
        refuses(Errno.ENXIO, () -> v2.unmap(task, WINDOW, PAGE));
        refuses(Errno.EINVAL, () -> v2.unmap(task, 0, PAGE + 1));
        refuses(Errno.EINVAL, () -> v2.unmap(task, 0, WINDOW + PAGE));
        v2.map(task, WINDOW - PAGE, AT + 7 * PAGE, PAGE, true, true);
        assertThat(offset(WINDOW - 1)).isEqualTo(8 * PAGE - 1);
        v2.map(task, WINDOW - PAGE, AT, PAGE, true, false);
        assertThat(group.lookUp(WINDOW - 1, true)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(group.lookUp(WINDOW - 1, false)).isPositive();
        v2.unmap(task, 0, WINDOW);
        assertThat(Objects.requireNonNull(group.window(0)).mapped()).isZero();
    }

    @Test
    void whatAMapThatIsRefusedOnTheWayWasToMapLeadsNowhere() throws IommufdException {
        attach(v2, group);
        v2.register(task, AT, 4 * PAGE);
        v2.map(task, 0, AT + PAGE, PAGE, true, true);
        v2.map(task, 8 * PAGE, AT, PAGE, true, true);
        refuses(Errno.EINVAL, () -> v2.map(task, 0, AT, 8 * PAGE, true, true));
        assertThat(offset(0)).isEqualTo(-1);
        assertThat(offset(8 * PAGE)).isZero();
        assertThat(Objects.requireNonNull(v2.memory()).entriesInto(AT)).isEqualTo(1);
    }

    @Test
    void aWindowsPageIsNoLargerThanThoseOfTheMemoryBehind() throws IommufdException {
        // Sixteen pages that lie in another order, within memory that does not.
        for (int i = 0; i < 16; i++) {
            process.move(AT + i * PAGE, (long) (i ^ 1) * PAGE);
        }
        attach(v2, group);
        v2.register(task, AT, 16 * PAGE);
        v2.register(task, AT + (1 << 20), 16 * PAGE);
        long start = v2.createWindow(task, 16, WINDOW, 1);
        refuses(Errno.EPERM, () -> v2.map(task, start, AT, 1 << 16, true, true));
        v2.map(task, start, AT + (1 << 20), 1 << 16, true, true);
        assertThat(offset(start + 1)).isEqualTo((1 << 20) + 1);
        v2.map(task, 0, AT, 16 * PAGE, true, true);
        for (int i = 0; i < 16; i++) {
            assertThat(offset(i * PAGE)).isEqualTo((i ^ 1) * PAGE);
        }
    }

    /** Q10: the kernel ends such a map early and says that it has succeeded. */
    @Test
    @Tag("S10")
    void q10AMapToMemoryThatIsBeingUnregisteredIsRefusedAsBusy() throws IommufdException {
        attach(v2, group);
        v2.register(task, AT, 4 * PAGE);
        v2.map(task, 8 * PAGE, AT, PAGE, true, true);
        // Points of a page: room beside the table, the count of the region, the table.
        process.failures().arm(5);
        refuses(Errno.EBUSY, () -> v2.map(task, 0, AT, 4 * PAGE, true, true));
        assertThat(process.failures().remaining()).isZero();
        assertThat(Objects.requireNonNull(group.window(0)).mapped()).isEqualTo(1);
        assertThat(Objects.requireNonNull(v2.memory()).entriesInto(AT)).isEqualTo(1);
    }

    @Test
    void aRegionThatNoEntryLeadsToIsRetiredOnceAndThenNoneCan() {
        MemoryRegion region = new MemoryRegion(AT, 4);
        assertThat(region.map()).isTrue();
        assertThat(region.retire()).isFalse();
        region.unmap();
        assertThat(region.retire()).isTrue();
        assertThat(region.map()).isFalse();
        assertThat(region.mapped()).isZero();
        assertThat(region.retire()).isFalse();
    }

    static List<PageTableFormat> formats() {
        return List.of(
                Amdv1Format.growing(3, false),
                new VtdSecondStageFormat(48, 52, false),
                new X86Format(48, true, 52),
                ArmFormat.stage2(12, 40, 40));
    }

    @ParameterizedTest
    @MethodSource("formats")
    @Tag("S12")
    void tablesOfAnyFormatStandBehindTheSameWindows(PageTableFormat format)
            throws IommufdException {
        SpaprGroup embedded =
                SpaprGroup.builder()
                        .family(TableFamily.of(format))
                        .pageSizes(1L << 12 | 1L << 21)
                        .build();
        attach(v2, embedded);
        v2.register(task, AT, BYTES);
        v2.map(task, 0, AT, 64 * PAGE, true, true);
        v2.map(task, 3 * PAGE, AT + 9 * PAGE, PAGE, true, true);
        v2.map(task, 4 * PAGE, AT + PAGE, PAGE, true, false);
        long start = v2.createWindow(task, 21, WINDOW, 1);
        v2.map(task, start + (1 << 21), AT + (1 << 21), 4 << 21, true, true);
        long base = node.addressOf(process.source, 0);
        assertThat(embedded.lookUp(2 * PAGE + 1, true)).isEqualTo(base + 2 * PAGE + 1);
        assertThat(embedded.lookUp(3 * PAGE + 1, true)).isEqualTo(base + 9 * PAGE + 1);
        assertThat(embedded.lookUp(4 * PAGE, false)).isEqualTo(base + PAGE);
        assertThat(embedded.lookUp(4 * PAGE, true)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(embedded.lookUp(start + (4 << 21) + 7, true)).isEqualTo(base + (4 << 21) + 7);
        assertThat(embedded.lookUp(start, true)).isEqualTo(HardwareTable.NOWHERE);
        assertThat(Objects.requireNonNull(v2.memory()).entriesInto(AT)).isEqualTo(68);
        v2.unmap(task, 0, 32 * PAGE);
        v2.unmap(task, start, WINDOW);
        assertThat(Objects.requireNonNull(v2.memory()).entriesInto(AT)).isEqualTo(32);
    }
}
