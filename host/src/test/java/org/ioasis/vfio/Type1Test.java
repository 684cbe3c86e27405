// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.spec.VfioType1.*;
import static org.ioasis.vfio.ContainerFixture.IOVA;
import static org.ioasis.vfio.ContainerFixture.PAGE;
import static org.ioasis.vfio.ContainerFixture.RW;
import static org.ioasis.vfio.ContainerFixture.refusal;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.ProgramStub;
import org.ioasis.iommufd.TableDomain;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The rules of a container of type 1, through the calls of a program. */
class Type1Test {
    private ContainerFixture host = new ContainerFixture();
    private final Object iommu = new Object();

    @AfterEach
    void nothingIsLeft() throws IommufdException {
        host.end();
    }

    private FakeDevice begin(int type) throws IommufdException {
        FakeDevice device = host.device(iommu, true);
        assertThat(host.set(type)).isZero();
        return device;
    }

    // The container

    @Test
    @Tag("S21")
    void aContainerIsGivenAnIommuOnceAndOnlyForGroups() throws IommufdException {
        assertThat(host.container.ioctl(host.program, GET_API_VERSION, 0)).isZero();
        assertThat(host.set(TYPE1V2_IOMMU)).as("no group").isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.map(host.memory, IOVA, PAGE, RW)).isEqualTo(refusal(Errno.EINVAL));
        VfioGroup group =
                host.add(VfioGroup.of(9, List.of(new FakeDevice(host.node, iommu, true))));
        assertThat(group.status()).isEqualTo(GROUP_FLAGS_VIABLE | GROUP_FLAGS_CONTAINER_SET);
        assertThat(host.set(2)).as("no such type").isEqualTo(refusal(Errno.ENODEV));
        assertThat(host.container.ioctl(host.program, SET_IOMMU, 1L << 32 | TYPE1V2_IOMMU))
                .isEqualTo(refusal(Errno.ENODEV));
        assertThat(host.set(TYPE1V2_IOMMU)).isZero();
        assertThat(host.set(TYPE1V2_IOMMU)).as("again").isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.container.ioctl(host.program, 0x3b7f, 0)).isEqualTo(refusal(Errno.ENOTTY));
        host.remove(group);
        assertThat(group.status()).isEqualTo(GROUP_FLAGS_VIABLE);
        assertThat(host.map(host.memory, IOVA, PAGE, RW))
                .as("with the last group the IOMMU is gone")
                .isEqualTo(refusal(Errno.EINVAL));
    }

    @Test
    @Tag("S21")
    void aGroupHasOneContainerAndKeepsItWhileADeviceIsOpen() throws IommufdException {
        FakeDevice device = new FakeDevice(host.node, iommu, true);
        VfioGroup group = host.add(VfioGroup.of(1, List.of(device)));
        VfioContainer other = new VfioContainer(List.of(new Type1Kind(host.node)));
        refuses(Errno.EINVAL, () -> group.setContainer(other));
        refuses(Errno.EINVAL, group::opened);
        host.set(TYPE1V2_IOMMU);
        assertThat(group.opened()).isSameAs(host.type1());
        refuses(Errno.EBUSY, group::unsetContainer);
        group.closed();
        VfioGroup loose = VfioGroup.of(2, List.of(device));
        refuses(Errno.EINVAL, loose::unsetContainer);
        refuses(
                Errno.EBUSY,
                () -> {
                    loose.setContainer(other);
                    other.setIommu(TYPE1V2_IOMMU);
                });
        assertThat(other.driver()).isNull();
        loose.unsetContainer();
    }

    @Test
    @Tag("S21")
    void extensionsAreAnsweredAsTheGroupsAre() throws IommufdException {
        for (int known : List.of(TYPE1_IOMMU, TYPE1V2_IOMMU, UNMAP_ALL)) {
            assertThat(host.container.extension(known)).isEqualTo(1);
        }
        assertThat(host.container.extension(UPDATE_VADDR)).isZero();
        assertThat(host.container.extension(6)).as("nesting has been retired").isZero();
        assertThat(host.container.ioctl(host.program, CHECK_EXTENSION, 1L << 32 | TYPE1_IOMMU))
                .as("an unsigned long, all of it")
                .isZero();
        begin(TYPE1V2_IOMMU);
        assertThat(host.container.extension(UPDATE_VADDR)).isEqualTo(1);
        assertThat(host.container.extension(DMA_CC_IOMMU)).isEqualTo(1);
        host.device(iommu, false);
        assertThat(host.container.extension(DMA_CC_IOMMU)).as("not all are coherent").isZero();
        host.add(VfioGroup.mediated(5));
        assertThat(host.container.extension(UPDATE_VADDR)).as("not with an mdev").isZero();
    }

    @Test
    @Tag("S21")
    void informationComesWithItsChainIfThereIsRoomForIt() throws IommufdException {
        FakeDevice device =
                new FakeDevice(
                        host.node,
                        iommu,
                        true,
                        List.of(new IovaRange(0xfee00000L, 0xfeefffffL)),
                        (1L << 48) - 1);
        host.add(VfioGroup.of(0, List.of(device)));
        host.set(TYPE1V2_IOMMU);
        ProgramStub.Struct small = host.program.struct(INFO_SIZE);
        assertThat(small.call(host.container, IOMMU_GET_INFO & 0xff)).isZero();
        int needed = small.getInt(INFO_ARGSZ);
        assertThat(small.getInt(INFO_CAP_OFFSET)).isZero();
        assertThat(Long.lowestOneBit(small.getLong(INFO_IOVA_PGSIZES)))
                .as("smaller pages are not told of")
                .isEqualTo(PAGE);
        assertThat(host.program.struct(INFO_MIN - 1).call(host.container, IOMMU_GET_INFO & 0xff))
                .isEqualTo(refusal(Errno.EINVAL));
        host.map(host.memory, IOVA, PAGE, RW);
        assertThat(host.program.struct(needed).call(host.container, IOMMU_GET_INFO & 0xff))
                .isZero();
        MemorySegment bytes = host.program.memoryAt(host.program.scratch()).bytes();
        assertThat(bytes.get(JAVA_INT, INFO_FLAGS)).isEqualTo(INFO_PGSIZES | INFO_CAPS);
        assertThat(bytes.get(JAVA_INT, INFO_ARGSZ)).isEqualTo(needed);
        int at = bytes.get(JAVA_INT, INFO_CAP_OFFSET);
        assertThat(bytes.get(JAVA_SHORT, at)).isEqualTo((short) CAP_MIGRATION);
        assertThat(bytes.get(JAVA_LONG, at + CAP_MIGRATION_PGSIZE_BITMAP)).isEqualTo(PAGE);
        assertThat(bytes.get(JAVA_LONG, at + CAP_MIGRATION_MAX_DIRTY_BITMAP_SIZE))
                .isEqualTo(1L << 28);
        at = bytes.get(JAVA_INT, at + CAP_NEXT);
        assertThat(bytes.get(JAVA_SHORT, at)).isEqualTo((short) CAP_DMA_AVAIL);
        assertThat(bytes.get(JAVA_INT, at + CAP_DMA_AVAIL_AVAIL)).isEqualTo(7);
        at = bytes.get(JAVA_INT, at + CAP_NEXT);
        assertThat(bytes.get(JAVA_SHORT, at)).isEqualTo((short) CAP_IOVA_RANGE);
        assertThat(bytes.get(JAVA_INT, at + CAP_NEXT)).isZero();
        assertThat(bytes.get(JAVA_INT, at + CAP_IOVA_RANGE_NR)).isEqualTo(2);
        int ranges = at + CAP_IOVA_RANGE_RANGES;
        assertThat(
                        List.of(
                                bytes.get(JAVA_LONG, ranges),
                                bytes.get(JAVA_LONG, ranges + 8),
                                bytes.get(JAVA_LONG, ranges + 16),
                                bytes.get(JAVA_LONG, ranges + 24)))
                .containsExactly(0L, 0xfedfffffL, 0xfef00000L, (1L << 48) - 1);
    }

    // MAP_DMA

    @Test
    @Tag("S21")
    void whatIsMappedIsReachedByDevicesAndChargedOnce() throws IommufdException {
        FakeDevice device = begin(TYPE1V2_IOMMU);
        assertThat(host.map(host.memory, IOVA, 4 * PAGE, RW)).isZero();
        assertThat(host.node.heldPages()).isEqualTo(4);
        assertThat(host.charged()).isEqualTo(4);
        long first = device.reaches(IOVA);
        assertThat(first).isEqualTo(address(host.memory));
        assertThat(device.reaches(IOVA + 3 * PAGE + 5))
                .isEqualTo(address(host.memory + 3 * PAGE) + 5);
        assertThat(device.reaches(IOVA + 4 * PAGE)).isEqualTo(TableDomain.NOWHERE);
        assertThat(host.unmap(IOVA, 4 * PAGE, 0)).isEqualTo(4 * PAGE);
        assertThat(device.reaches(IOVA)).isEqualTo(TableDomain.NOWHERE);
        assertThat(host.charged()).isZero();
    }

    /** The address of a page of the program's in page tables. */
    private long address(long at) {
        ProgramStub.Memory memory = host.program.memoryAt(at);
        return host.node.addressOf(memory, 2 * (at - host.memory));
    }

    @Test
    @Tag("S21")
    void aMapIsRefusedByItsRulesAndChangesNothing() throws IommufdException {
        FakeDevice device =
                new FakeDevice(
                        host.node,
                        iommu,
                        true,
                        List.of(new IovaRange(8 * IOVA, 9 * IOVA - 1)),
                        (1L << 40) - 1);
        host.add(VfioGroup.of(0, List.of(device)));
        host.set(TYPE1V2_IOMMU);
        assertThat(host.map(host.memory, IOVA, 2 * PAGE, RW)).isZero();
        Object[][] rules = {
            {"size 0", host.memory, 2 * IOVA, 0L, RW, Errno.EINVAL},
            {"size no page", host.memory, 2 * IOVA, PAGE + 1, RW, Errno.EINVAL},
            {"IOVA no page", host.memory, 2 * IOVA + 8, PAGE, RW, Errno.EINVAL},
            {"address no page", host.memory + 8, 2 * IOVA, PAGE, RW, Errno.EINVAL},
            {"neither read nor write", host.memory, 2 * IOVA, PAGE, 0, Errno.EINVAL},
            {"read and new address", host.memory, IOVA, 2 * PAGE, 5, Errno.EINVAL},
            {"unknown flag", host.memory, 2 * IOVA, PAGE, 8 | RW, Errno.EINVAL},
            {"past the last IOVA", host.memory, -PAGE, 2 * PAGE, RW, Errno.EOVERFLOW},
            {"past the last address", -PAGE, 2 * IOVA, 2 * PAGE, RW, Errno.EOVERFLOW},
            {"overlap", host.memory, IOVA + PAGE, 2 * PAGE, RW, Errno.EEXIST},
            {"reserved", host.memory, 8 * IOVA - PAGE, 2 * PAGE, RW, Errno.EINVAL},
            {"outside the aperture", host.memory, 1L << 40, PAGE, RW, Errno.EINVAL},
            {"no memory", 4 * PAGE, 2 * IOVA, PAGE, RW, Errno.EFAULT},
            {"memory ends", host.memory + 63 * PAGE, 2 * IOVA, 2 * PAGE, RW, Errno.EFAULT},
            {"new address of nothing", host.memory, 2 * IOVA, PAGE, 4, Errno.ENOENT},
            {"new address of a good one", host.memory, IOVA, 2 * PAGE, 4, Errno.EINVAL},
        };
        for (Object[] rule : rules) {
            long result = host.map((long) rule[1], (long) rule[2], (long) rule[3], (int) rule[4]);
            assertThat(result).as((String) rule[0]).isEqualTo(refusal((Errno) rule[5]));
            assertThat(host.charged()).as((String) rule[0]).isEqualTo(2);
            assertThat(host.node.heldPages()).as((String) rule[0]).isEqualTo(2);
            assertThat(host.type1().mappings()).isEqualTo(1);
        }
        assertThat(host.program.struct(MAP_LENGTH - 1).call(host.container, IOMMU_MAP_DMA & 0xff))
                .as("argsz")
                .isEqualTo(refusal(Errno.EINVAL));
    }

    @Test
    @Tag("S21")
    void aContainerTakesAsManyMappingsAsItMay() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        for (int i = 0; i < 8; i++) {
            assertThat(host.map(host.memory, IOVA + i * PAGE, PAGE, RW)).isZero();
        }
        assertThat(host.map(host.memory, 0, PAGE, RW)).isEqualTo(refusal(Errno.ENOSPC));
        assertThat(host.unmap(IOVA, PAGE, 0)).isEqualTo(PAGE);
        assertThat(host.map(host.memory, 0, PAGE, RW)).isZero();
        assertThat(Type1.MAPPINGS_MAX).isEqualTo(65535);
    }

    @Test
    @Tag("S21")
    void theLimitOfLockedMemoryRefusesUnlessTheProgramMayLock() throws IommufdException {
        host.end();
        host = new ContainerFixture(3, 8);
        begin(TYPE1V2_IOMMU);
        assertThat(host.map(host.memory, IOVA, 4 * PAGE, RW)).isEqualTo(refusal(Errno.ENOMEM));
        assertThat(host.node.heldPages()).isZero();
        assertThat(host.map(host.memory, IOVA, 3 * PAGE, RW)).isZero();
        assertThat(host.map(host.memory, 0, PAGE, RW)).isEqualTo(refusal(Errno.ENOMEM));
        host.program.mayLock = true;
        assertThat(host.map(host.memory, 0, PAGE, RW)).isZero();
        assertThat(host.charged()).isEqualTo(3);
    }

    // UNMAP_DMA

    @Test
    @Tag("S21")
    void versionTwoUnmapsWholeMappingsAndNeverCutsOne() throws IommufdException {
        FakeDevice device = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.map(host.memory, IOVA + 8 * PAGE, 4 * PAGE, RW);
        for (long[] cut : new long[][] {{1, 3}, {0, 3}, {1, 11}, {0, 11}, {2, 1}, {3, 8}}) {
            assertThat(host.unmap(IOVA + cut[0] * PAGE, cut[1] * PAGE, 0))
                    .as("pages %d and on", cut[0])
                    .isEqualTo(refusal(Errno.EINVAL));
        }
        assertThat(device.reaches(IOVA + PAGE)).isNotEqualTo(TableDomain.NOWHERE);
        assertThat(host.charged()).isEqualTo(8);
        assertThat(host.unmap(IOVA + 4 * PAGE, 4 * PAGE, 0)).as("empty").isZero();
        assertThat(host.unmap(0, IOVA + 32 * PAGE, 0)).as("both").isEqualTo(8 * PAGE);
        assertThat(device.reaches(IOVA)).isEqualTo(TableDomain.NOWHERE);
        assertThat(host.unmap(IOVA, 0, 0)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(IOVA, 8, 0)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(IOVA + 8, PAGE, 0)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(-PAGE, 2 * PAGE, 0)).isEqualTo(refusal(Errno.EOVERFLOW));
        assertThat(host.unmap(IOVA, PAGE, 8)).as("flag").isEqualTo(refusal(Errno.EINVAL));
    }

    /** Q13: kept, for programs that were written for it. */
    @Test
    @Tag("S21")
    void versionOneUnmapsAMappingWithItsFirstByteAndNothingFromItsMiddle() throws IommufdException {
        FakeDevice device = begin(TYPE1_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.map(host.memory, IOVA + 4 * PAGE, 4 * PAGE, RW);
        assertThat(host.unmap(IOVA + PAGE, PAGE, 0)).as("from its middle").isZero();
        assertThat(host.unmap(IOVA + PAGE, 7 * PAGE, 0)).as("stops at the first").isZero();
        assertThat(device.reaches(IOVA + 5 * PAGE)).isNotEqualTo(TableDomain.NOWHERE);
        assertThat(host.unmap(IOVA, PAGE, 0)).as("more than was asked for").isEqualTo(4 * PAGE);
        assertThat(device.reaches(IOVA + 3 * PAGE)).isEqualTo(TableDomain.NOWHERE);
        assertThat(host.unmap(0, IOVA + 5 * PAGE, 0)).isEqualTo(4 * PAGE);
        assertThat(host.charged()).isZero();
    }

    @Test
    @Tag("S21")
    void unmapAllNamesNoRangeAndTakesAll() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        assertThat(host.unmap(0, 0, UNMAP_FLAG_ALL)).as("nothing is there").isZero();
        host.map(host.memory, IOVA, 2 * PAGE, RW);
        host.map(host.memory, 1L << 40, 2 * PAGE, RW);
        assertThat(host.unmap(IOVA, 0, UNMAP_FLAG_ALL)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(0, PAGE, UNMAP_FLAG_ALL)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(0, 0, UNMAP_FLAG_ALL | UNMAP_FLAG_GET_DIRTY_BITMAP))
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(0, 0, UNMAP_FLAG_ALL)).isEqualTo(4 * PAGE);
        assertThat(host.type1().mappings()).isZero();
    }

    // Addresses

    @Test
    @Tag("S21")
    void anAddressIsMadeVoidAndArmedAgainWhileDevicesGoOn() throws IommufdException {
        FakeDevice device = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 2 * PAGE, RW);
        host.map(host.memory, IOVA + 2 * PAGE, PAGE, RW);
        long before = device.reaches(IOVA);
        assertThat(host.unmap(IOVA, 2 * PAGE, UNMAP_FLAG_VADDR)).isEqualTo(2 * PAGE);
        assertThat(device.reaches(IOVA)).as("devices go on").isEqualTo(before);
        assertThat(host.unmap(0, 0, UNMAP_FLAG_VADDR | UNMAP_FLAG_ALL))
                .as("one is void already")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(IOVA + 2 * PAGE, PAGE, UNMAP_FLAG_VADDR))
                .as("the refused call has left the others as they were")
                .isEqualTo(PAGE);
        VfioGroup late = VfioGroup.of(7, List.of(new FakeDevice(host.node, iommu, true)));
        refuses(Errno.EBUSY, () -> late.setContainer(host.container));
        long other = host.program.mmapScattered(host.program.memoryAt(host.memory), 4);
        assertThat(host.map(other, IOVA, PAGE, MAP_FLAG_VADDR))
                .as("another size")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.map(other, IOVA, 2 * PAGE, MAP_FLAG_VADDR)).isZero();
        assertThat(host.map(other, IOVA, 2 * PAGE, MAP_FLAG_VADDR))
                .as("it is good")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.unmap(IOVA + 2 * PAGE, PAGE, 0)).as("a void one goes").isEqualTo(PAGE);
        assertThat(device.reaches(IOVA)).isEqualTo(before);
        assertThat(host.charged()).isEqualTo(2);
        late.setContainer(host.container);
        late.unsetContainer();
    }

    @Test
    @Tag("S21")
    void aNewAddressMovesTheChargeToTheProcessThatGivesIt() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 2 * PAGE, RW);
        host.unmap(IOVA, 2 * PAGE, UNMAP_FLAG_VADDR);
        ProgramStub next = new ProgramStub(1);
        long there = next.mmapScattered(host.program.memoryAt(host.memory), 2);
        ProgramStub.Struct map =
                next.struct(MAP_LENGTH)
                        .with(MAP_FLAGS, MAP_FLAG_VADDR)
                        .with(MAP_VADDR, there)
                        .with(MAP_IOVA, IOVA)
                        .with(MAP_SIZE, 2 * PAGE);
        assertThat(map.call(host.container, IOMMU_MAP_DMA & 0xff))
                .as("its limit")
                .isEqualTo(refusal(Errno.ENOMEM));
        assertThat(host.charged()).isEqualTo(2);
        next.mayLock = true;
        assertThat(map.call(host.container, IOMMU_MAP_DMA & 0xff)).isZero();
        assertThat(host.charged()).isZero();
        assertThat(next.locked().locked()).as("it may lock").isZero();
    }

    // Memory of devices

    @Test
    @Tag("S21")
    void aBarIsMappedAndChargedToNobody() throws IommufdException {
        host.end();
        host = new ContainerFixture(0, 8);
        FakeDevice device = begin(TYPE1V2_IOMMU);
        ProgramStub.Memory bar = new ProgramStub.Memory(4 * PAGE, true);
        long at = host.program.mmap(bar, 0, 4 * PAGE, true);
        assertThat(host.map(at + PAGE, IOVA, 2 * PAGE, RW)).isZero();
        assertThat(device.reaches(IOVA)).isNotEqualTo(TableDomain.NOWHERE);
        assertThat(host.charged()).isZero();
        assertThat(bar.isHeld()).isTrue();
        assertThat(host.unmap(IOVA, 2 * PAGE, UNMAP_FLAG_VADDR)).isEqualTo(2 * PAGE);
        assertThat(host.map(at + PAGE, IOVA, 2 * PAGE, MAP_FLAG_VADDR)).isZero();
        assertThat(host.charged()).as("at a new address too").isZero();
        assertThat(host.unmap(IOVA, 2 * PAGE, 0)).isEqualTo(2 * PAGE);
        assertThat(bar.isHeld()).isFalse();
    }

    @Test
    @Tag("S21")
    void aMappingIsOfABarOrOfMemoryAndNeverOfBoth() throws IommufdException {
        FakeDevice device = begin(TYPE1V2_IOMMU);
        ProgramStub.Memory bar = new ProgramStub.Memory(PAGE, true);
        ProgramStub.Memory memory = new ProgramStub.Memory(PAGE);
        for (long at : List.of(host.program.mmap(bar, memory), host.program.mmap(memory, bar))) {
            assertThat(host.map(at, IOVA, 2 * PAGE, RW)).isEqualTo(refusal(Errno.EFAULT));
        }
        assertThat(device.reaches(IOVA)).isEqualTo(TableDomain.NOWHERE);
        assertThat(host.node.heldPages()).isZero();
        assertThat(host.charged()).isZero();
    }

    @Test
    @Tag("S24")
    void aMediatedDevicePinsNoBar() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        VfioGroup mediated = host.add(VfioGroup.mediated(5));
        MediatedDevice device = host.open(mediated, (_, _) -> {});
        long at = host.program.mmap(new ProgramStub.Memory(PAGE, true), 0, PAGE, true);
        assertThat(host.map(at, IOVA, PAGE, RW)).isZero();
        refuses(Errno.EINVAL, () -> device.pin(IOVA, true, false, new long[1]));
        device.close();
    }

    // Groups

    @Test
    @Tag("S21")
    void groupsOfOneIommuAndClassShareATableAndOthersHaveTheirOwn() throws IommufdException {
        FakeDevice one = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        FakeDevice same = host.device(iommu, true);
        FakeDevice otherClass = host.device(iommu, false);
        FakeDevice otherIommu = host.device(new Object(), true);
        assertThat(same.table()).isSameAs(one.table());
        assertThat(otherClass.table()).isNotSameAs(one.table()).isNotNull();
        assertThat(otherIommu.table()).isNotSameAs(one.table()).isNotNull();
        assertThat(otherClass.reaches(IOVA + PAGE))
                .as("replayed")
                .isEqualTo(one.reaches(IOVA + PAGE));
        assertThat(otherIommu.reaches(IOVA + PAGE)).isEqualTo(one.reaches(IOVA + PAGE));
        assertThat(host.node.heldPages()).as("held once").isEqualTo(4);
        assertThat(host.charged()).as("charged once").isEqualTo(4);
        host.map(host.memory, 2 * IOVA, PAGE, RW);
        assertThat(otherIommu.reaches(2 * IOVA)).isEqualTo(one.reaches(2 * IOVA));
        assertThat(host.unmap(IOVA, 4 * PAGE, 0)).isEqualTo(4 * PAGE);
        assertThat(otherIommu.reaches(IOVA)).isEqualTo(TableDomain.NOWHERE);
    }

    @Test
    @Tag("S21")
    void whatDoesNotFitIsRefusedAtAttachAndNothingIsLeftOfIt() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        IovaRange mapped = new IovaRange(IOVA + PAGE, IOVA + 2 * PAGE - 1);
        VfioGroup reserved =
                VfioGroup.of(
                        5,
                        List.of(
                                new FakeDevice(host.node, iommu, true),
                                new FakeDevice(host.node, iommu, true, List.of(mapped), -1)));
        refuses(Errno.EINVAL, () -> reserved.setContainer(host.container));
        VfioGroup narrow =
                VfioGroup.of(
                        6, List.of(new FakeDevice(host.node, new Object(), true, List.of(), IOVA)));
        refuses(Errno.EINVAL, () -> narrow.setContainer(host.container));
        VfioGroup two =
                VfioGroup.of(
                        7,
                        List.of(
                                new FakeDevice(host.node, iommu, true),
                                new FakeDevice(host.node, new Object(), true)));
        refuses(Errno.EINVAL, () -> two.setContainer(host.container));
        VfioGroup unsafe =
                VfioGroup.withoutIsolation(8, List.of(new FakeDevice(host.node, iommu, true)));
        refuses(Errno.EPERM, () -> unsafe.setContainer(host.container));
        assertThat(host.container.groups()).isEqualTo(1);
        assertThat(host.node.heldPages()).isEqualTo(4);
        FakeDevice free = (FakeDevice) reserved.devices().getFirst();
        assertThat(free.table()).isNull();
        host.add(VfioGroup.of(9, List.of(free)));
        assertThat(free.reaches(IOVA)).as("it was nobody's").isNotEqualTo(TableDomain.NOWHERE);
    }

    @Test
    @Tag("S21")
    void theIovasOfAContainerAreThoseThatAllGroupsHave() throws IommufdException {
        FakeDevice wide = begin(TYPE1V2_IOMMU);
        FakeDevice narrow =
                new FakeDevice(host.node, new Object(), true, List.of(), (1L << 30) - 1);
        VfioGroup group = host.add(VfioGroup.of(4, List.of(narrow)));
        assertThat(host.map(host.memory, 1L << 30, PAGE, RW)).isEqualTo(refusal(Errno.EINVAL));
        host.remove(group);
        assertThat(host.map(host.memory, 1L << 30, PAGE, RW)).as("it is gone").isZero();
        assertThat(wide.reaches(1L << 30)).isNotEqualTo(TableDomain.NOWHERE);
    }

    @Test
    @Tag("S21")
    void withTheLastGroupAllIsUnmapped() throws IommufdException {
        FakeDevice device = new FakeDevice(host.node, iommu, true);
        VfioGroup one = host.add(VfioGroup.of(0, List.of(device)));
        VfioGroup two = host.add(VfioGroup.of(1, List.of(new FakeDevice(host.node, iommu, true))));
        host.set(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.remove(two);
        assertThat(device.reaches(IOVA)).isNotEqualTo(TableDomain.NOWHERE);
        host.remove(one);
        assertThat(device.table()).isNull();
        assertThat(host.node.heldPages()).isZero();
        assertThat(host.charged()).isZero();
        assertThat(host.node.tables().held()).isZero();
    }
}
