// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.spec.VfioType1.*;
import static org.ioasis.vfio.ContainerFixture.IOVA;
import static org.ioasis.vfio.ContainerFixture.PAGE;
import static org.ioasis.vfio.ContainerFixture.RW;
import static org.ioasis.vfio.ContainerFixture.refusal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.ProgramStub;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.vfio.tracker.DeviceParsed;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Mediated devices on a container: what they pin, what is charged for it, what is told of it. */
class MediatedTest {
    private final ContainerFixture host = new ContainerFixture();
    private final VfioGroup group = VfioGroup.mediated(40);
    private final List<String> told = new ArrayList<>();
    private @Nullable MediatedDevice device;

    @AfterEach
    void nothingIsLeft() throws IommufdException {
        if (device != null) {
            device.close();
        }
        host.end();
    }

    /** A device that lets go of all that it is told of. */
    private MediatedDevice begin(int type) throws IommufdException {
        host.add(group);
        host.set(type);
        MediatedDevice[] self = new MediatedDevice[1];
        MediatedDevice made =
                host.open(
                        group,
                        (iova, length) -> {
                            told.add("0x%x+0x%x".formatted(iova, length));
                            for (long at = iova; at < iova + length; at += PAGE) {
                                while (self[0].unpin(at, 1) == 1) {
                                    told.add("unpinned 0x%x".formatted(at));
                                }
                            }
                        });
        self[0] = made;
        device = made;
        return made;
    }

    private static long[] pin(MediatedDevice device, long iova, int pages) throws IommufdException {
        long[] addresses = new long[pages];
        device.pin(iova, true, true, addresses);
        return addresses;
    }

    @Test
    @Tag("S22")
    @Tag("S24")
    void nothingIsPinnedUntilADeviceAsksForIt() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        assertThat(host.map(host.memory, IOVA, 8 * PAGE, RW)).isZero();
        assertThat(host.node.heldPages()).isZero();
        assertThat(host.charged()).isZero();
        long[] first = pin(mediated, IOVA + PAGE, 2);
        long[] again = pin(mediated, IOVA + 2 * PAGE, 2);
        assertThat(again[0]).as("the same page").isEqualTo(first[1]);
        assertThat(host.node.heldPages()).as("each once").isEqualTo(3);
        assertThat(host.charged()).isEqualTo(3);
        assertThat(mediated.unpin(IOVA + 2 * PAGE, 1)).isEqualTo(1);
        assertThat(host.node.heldPages()).as("asked for twice").isEqualTo(3);
        assertThat(mediated.unpin(IOVA + PAGE, 8)).as("up to one that is not").isEqualTo(3);
        assertThat(host.charged()).isZero();
        assertThat(mediated.unpin(IOVA + 100 * PAGE, 1)).isZero();
    }

    @Test
    @Tag("S24")
    void aPinIsRefusedByItsRulesAndPinsNothing() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 2 * PAGE, RW);
        host.map(host.memory, IOVA + 2 * PAGE, 2 * PAGE, MAP_FLAG_READ);
        refuses(Errno.EINVAL, () -> mediated.pin(IOVA + 3 * PAGE, true, false, new long[2]));
        refuses(Errno.EINVAL, () -> pin(mediated, IOVA + 8, 1));
        refuses(Errno.EPERM, () -> pin(mediated, IOVA + PAGE, 2));
        assertThat(host.node.heldPages()).as("unwound").isZero();
        host.map(host.memory, -PAGE, PAGE, RW);
        host.map(host.memory, 0, PAGE, RW);
        refuses(Errno.EINVAL, () -> pin(mediated, -PAGE, 2));
        assertThat(host.node.heldPages()).as("no range goes round").isZero();
        pin(mediated, -PAGE, 1);
        pin(mediated, 0, 1);
        assertThat(mediated.unpin(-PAGE, 2)).isEqualTo(1);
        assertThat(mediated.unpin(0, 1)).isEqualTo(1);
        mediated.pin(IOVA + PAGE, true, false, new long[2]);
        assertThat(mediated.unpin(IOVA + PAGE, 2)).isEqualTo(2);
        mediated.close();
        device = host.open(group, null);
        refuses(Errno.EINVAL, () -> pin(requireDevice(), IOVA, 1));
        refuses(Errno.EINVAL, () -> host.open(VfioGroup.mediated(41), null));
    }

    /** Another pin of the page may be for writing, and asks for nothing more. */
    @Test
    void aPageIsPinnedAsItsMappingSaysWhoeverPinsItFirst() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        long readOnly = host.program.mmap(new ProgramStub.Memory(PAGE), 0, PAGE, false);
        host.map(readOnly, IOVA, PAGE, RW);
        host.map(readOnly, IOVA + PAGE, PAGE, MAP_FLAG_READ);
        refuses(Errno.EFAULT, () -> pin(mediated, IOVA, 1));
        refuses(Errno.EFAULT, () -> mediated.pin(IOVA, true, false, new long[1]));
        assertThat(host.node.heldPages()).isZero();
        mediated.pin(IOVA + PAGE, true, false, new long[1]);
        assertThat(mediated.unpin(IOVA + PAGE, 1)).isEqualTo(1);
    }

    private MediatedDevice requireDevice() {
        MediatedDevice now = device;
        if (now == null) {
            throw new AssertionError("no device is open");
        }
        return now;
    }

    @Test
    @Tag("S24")
    void versionOneHasNoPins() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1_IOMMU);
        host.map(host.memory, IOVA, PAGE, RW);
        refuses(Errno.EACCES, () -> pin(mediated, IOVA, 1));
        assertThat(host.dirtyPages(DIRTY_FLAG_START)).isEqualTo(refusal(Errno.EACCES));
    }

    @Test
    @Tag("S27")
    void aPageIsChargedOnceWhoeverHoldsIt() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 8 * PAGE, RW);
        long[] pinned = pin(mediated, IOVA + 2 * PAGE, 3);
        assertThat(host.charged()).isEqualTo(3);
        FakeDevice hardware = new FakeDevice(host.node, new Object(), true);
        VfioGroup behind = host.add(VfioGroup.of(0, List.of(hardware)));
        assertThat(host.charged()).as("the container pins all").isEqualTo(8);
        assertThat(hardware.reaches(IOVA + 2 * PAGE)).isEqualTo(pinned[0]);
        pin(mediated, IOVA, 4);
        assertThat(host.charged()).isEqualTo(8);
        host.map(host.memory + 8 * PAGE, IOVA + 8 * PAGE, 2 * PAGE, RW);
        assertThat(host.charged()).isEqualTo(10);
        host.remove(behind);
        assertThat(host.charged()).as("what the device has pinned stays").isEqualTo(5);
        assertThat(host.node.heldPages()).isEqualTo(5);
        assertThat(mediated.unpin(IOVA, 5)).isEqualTo(5);
        assertThat(mediated.unpin(IOVA + 2 * PAGE, 2)).isEqualTo(2);
        assertThat(host.charged()).isZero();
    }

    @Test
    @Tag("S22")
    void anUnmapAsksDevicesToLetGoBeforeItTakesThePagesAway() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 2 * PAGE, RW);
        host.map(host.memory, IOVA + 2 * PAGE, 2 * PAGE, RW);
        pin(mediated, IOVA + PAGE, 1);
        pin(mediated, IOVA + PAGE, 1);
        assertThat(host.unmap(IOVA, 4 * PAGE, 0)).isEqualTo(4 * PAGE);
        assertThat(told)
                .containsExactly("0x100000+0x2000", "unpinned 0x101000", "unpinned 0x101000");
        assertThat(host.node.heldPages()).isZero();
    }

    /** Q12: after ten rounds, and nothing is unmapped. */
    @Test
    @Tag("S22")
    void aDeviceThatDoesNotLetGoStopsTheUnmap() throws IommufdException {
        host.add(group);
        host.set(TYPE1V2_IOMMU);
        boolean[] letsGo = new boolean[1];
        int[] asked = new int[1];
        MediatedDevice[] self = new MediatedDevice[1];
        device =
                host.open(
                        group,
                        (iova, _) -> {
                            asked[0]++;
                            assertThat(Thread.holdsLock(host.type1().context())).isTrue();
                            if (letsGo[0]) {
                                self[0].unpin(iova, 1);
                            }
                        });
        self[0] = requireDevice();
        host.map(host.memory, IOVA, PAGE, RW);
        host.map(host.memory, IOVA - PAGE, PAGE, RW);
        pin(self[0], IOVA, 1);
        assertThat(host.unmap(IOVA - PAGE, 2 * PAGE, 0)).isEqualTo(refusal(Errno.EDEADLK));
        assertThat(asked[0]).isEqualTo(Type1.UNMAP_TRIES);
        assertThat(host.type1().mappings()).isEqualTo(2);
        letsGo[0] = true;
        assertThat(host.unmap(IOVA - PAGE, 2 * PAGE, 0)).isEqualTo(2 * PAGE);
        assertThat(asked[0]).isEqualTo(Type1.UNMAP_TRIES + 1);
    }

    @Test
    void whatIsPinnedAgainWhileAnotherMappingIsLetGoIsAskedForAgain() throws IommufdException {
        host.add(group);
        host.set(TYPE1V2_IOMMU);
        MediatedDevice[] self = new MediatedDevice[1];
        device =
                host.open(
                        group,
                        (iova, _) -> {
                            told.add("0x%x".formatted(iova));
                            self[0].unpin(iova, 1);
                            if (told.size() == 2) {
                                try {
                                    pin(self[0], IOVA, 1);
                                } catch (IommufdException e) {
                                    throw new AssertionError(e);
                                }
                            }
                        });
        self[0] = requireDevice();
        for (long iova : new long[] {IOVA, IOVA + PAGE}) {
            host.map(host.memory, iova, PAGE, RW);
            pin(self[0], iova, 1);
        }
        assertThat(host.unmap(IOVA, 2 * PAGE, 0)).isEqualTo(2 * PAGE);
        assertThat(told).containsExactly("0x100000", "0x101000", "0x100000");
    }

    @Test
    @Tag("S22")
    void withMediatedGroupsNoAddressIsMadeVoidAndWithAVoidOneNobodyPins() throws IommufdException {
        FakeDevice hardware = host.device(new Object(), true);
        host.set(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, PAGE, RW);
        assertThat(host.unmap(IOVA, PAGE, UNMAP_FLAG_VADDR)).isEqualTo(PAGE);
        refuses(Errno.EBUSY, () -> host.add(group));
        assertThat(host.map(host.memory, IOVA, PAGE, MAP_FLAG_VADDR)).isZero();
        host.add(group);
        assertThat(host.unmap(IOVA, PAGE, UNMAP_FLAG_VADDR)).isEqualTo(refusal(Errno.EBUSY));
        assertThat(hardware.reaches(IOVA)).isNotEqualTo(TableDomain.NOWHERE);
    }

    @Test
    @Tag("S22")
    void copiesNeedTheRightsOfEachMappingAndAreLookedAtBefore() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, PAGE, RW);
        host.map(host.memory + PAGE, IOVA + PAGE, PAGE, MAP_FLAG_READ);
        host.map(host.memory + 2 * PAGE, IOVA + 2 * PAGE, PAGE, MAP_FLAG_WRITE);
        MemorySegment buffer = Arena.ofAuto().allocate(16, 8);
        buffer.set(JAVA_LONG, 0, 7);
        buffer.set(JAVA_LONG, 8, 8);
        mediated.copy(IOVA + 16, buffer, true);
        assertThat(host.program.memoryAt(host.memory).bytes().get(JAVA_LONG, 24)).isEqualTo(8);
        refuses(Errno.EPERM, () -> mediated.copy(IOVA + PAGE - 8, buffer, true));
        assertThat(host.program.memoryAt(host.memory).bytes().get(JAVA_LONG, PAGE - 8))
                .as("none of it")
                .isZero();
        mediated.copy(IOVA + PAGE - 8, buffer, false);
        refuses(Errno.EPERM, () -> mediated.copy(IOVA + 2 * PAGE - 8, buffer, false));
        mediated.copy(IOVA + 2 * PAGE, buffer, true);
        refuses(Errno.EINVAL, () -> mediated.copy(IOVA + 3 * PAGE - 8, buffer, true));
        refuses(Errno.EINVAL, () -> mediated.copy(-8, buffer, true));
    }

    /** As docs/examples/MediatedCopy.java, which is compiled and run as a user would. */
    @Test
    @Tag("S26")
    void aDeviceWithoutATableRecoversItsPinsFromItsCommands() throws IommufdException {
        host.add(group);
        host.set(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 8 * PAGE, RW);
        record Command(long iova, long address) {}
        List<Command> stream = new ArrayList<>();
        DeviceParsed pins = new DeviceParsed(8);
        MediatedDevice[] self = new MediatedDevice[1];
        device =
                host.open(
                        group,
                        (iova, length) ->
                                stream.removeIf(command -> {
                                    boolean isThere =
                                            command.iova - iova >= 0
                                                    && command.iova - iova < length;
                                    return isThere
                                            && self[0].unpin(command.iova, 1) == 1
                                            && pins.release(0) == 0;
                                }));
        self[0] = requireDevice();
        for (long page : new long[] {0, 5, 5, 3}) {
            long address = pin(self[0], IOVA + page * PAGE, 1)[0];
            pins.add(page, address);
            stream.add(new Command(IOVA + page * PAGE, address));
        }
        assertThat(stream.get(1)).isEqualTo(stream.get(2));
        assertThat(host.node.heldPages()).isEqualTo(3);
        Command done = stream.removeFirst();
        assertThat(done.address).isNotEqualTo(stream.getFirst().address);
        assertThat(self[0].unpin(done.iova, 1)).isEqualTo(1);
        assertThat(pins.release(0)).isZero();
        assertThat(host.unmap(IOVA, 8 * PAGE, 0)).isEqualTo(8 * PAGE);
        assertThat(stream).isEmpty();
        assertThat(pins.pinned()).isZero();
    }

    // Dirty pages

    private String bitmap(long iova, int pages) {
        long at = host.program.mmap(PAGE);
        MemorySegment words = host.program.memoryAt(at).bytes();
        words.fill((byte) 0x80);
        long bytes = (pages + 63L) / 64 * 8;
        assertThat(host.getBitmap(iova, pages * PAGE, at, bytes)).isZero();
        StringBuilder bits = new StringBuilder();
        for (int i = 0; i < pages; i++) {
            bits.append(words.get(JAVA_LONG, i / 64 * 8L) >>> i & 1);
        }
        assertThat(words.get(JAVA_LONG, bytes)).as("no word behind").isEqualTo(0x8080808080808080L);
        return bits.toString();
    }

    @Test
    @Tag("S24")
    @Tag("S21")
    void whatIsPinnedOrCopiedToIsDirtyUntilItIsAskedFor() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.map(host.memory + 4 * PAGE, IOVA + 4 * PAGE, 4 * PAGE, RW);
        pin(mediated, IOVA + PAGE, 1);
        assertThat(host.getBitmap(IOVA, 4 * PAGE, host.memory, 8))
                .as("not started")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.dirtyPages(DIRTY_FLAG_START | DIRTY_FLAG_STOP))
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.dirtyPages(0)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.dirtyPages(8)).isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.dirtyPages(DIRTY_FLAG_START)).isZero();
        pin(mediated, IOVA + 3 * PAGE, 1);
        mediated.copy(IOVA + 5 * PAGE - 8, Arena.ofAuto().allocate(16), true);
        assertThat(bitmap(IOVA, 8)).isEqualTo("01011100");
        assertThat(bitmap(IOVA, 8)).as("what is still pinned").isEqualTo("01010000");
        mediated.unpin(IOVA + PAGE, 1);
        assertThat(bitmap(IOVA, 4)).isEqualTo("0101");
        assertThat(bitmap(IOVA, 4)).isEqualTo("0001");
        assertThat(host.getBitmap(IOVA, 3 * PAGE, host.memory, 8))
                .as("cut")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.getBitmap(-PAGE, 2 * PAGE, host.memory, 8))
                .as("past the last IOVA")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.getBitmap(IOVA, 8 * PAGE, host.memory, 7))
                .as("too short")
                .isEqualTo(refusal(Errno.EINVAL));
        assertThat(host.getBitmap(IOVA, 8 * PAGE, 0, 8)).isEqualTo(refusal(Errno.EFAULT));
        host.map(host.memory + 8 * PAGE, IOVA + 8 * PAGE, PAGE, RW);
        assertThat(bitmap(IOVA + 8 * PAGE, 1)).as("a new one is tracked").isEqualTo("0");
        assertThat(host.dirtyPages(DIRTY_FLAG_STOP)).isZero();
        assertThat(host.type1().dirtyBytes()).isZero();
        mediated.unpin(IOVA + 3 * PAGE, 1);
    }

    @Test
    @Tag("S21")
    void aGroupThatWritesAnywhereMakesAllDirtyAndItsEndToo() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.dirtyPages(DIRTY_FLAG_START);
        assertThat(bitmap(IOVA, 4)).isEqualTo("0000");
        VfioGroup behind =
                host.add(VfioGroup.of(0, List.of(new FakeDevice(host.node, new Object(), true))));
        assertThat(bitmap(IOVA, 4)).isEqualTo("1111");
        assertThat(bitmap(IOVA, 4)).isEqualTo("1111");
        host.remove(behind);
        assertThat(bitmap(IOVA, 4)).as("written before it went").isEqualTo("1111");
        assertThat(bitmap(IOVA, 4)).isEqualTo("0000");
        pin(mediated, IOVA, 1);
        mediated.unpin(IOVA, 1);
    }

    @Test
    @Tag("S21")
    void anUnmapTellsWhatWasWrittenOfWhatItTakes() throws IommufdException {
        MediatedDevice mediated = begin(TYPE1V2_IOMMU);
        host.map(host.memory, IOVA, 4 * PAGE, RW);
        host.map(host.memory, IOVA + 70 * PAGE, 4 * PAGE, RW);
        long at = host.program.mmap(PAGE);
        assertThat(unmapWithBitmap(IOVA, 80, at)).isEqualTo(refusal(Errno.EINVAL));
        host.dirtyPages(DIRTY_FLAG_START);
        pin(mediated, IOVA + PAGE, 1);
        pin(mediated, IOVA + 73 * PAGE, 1);
        assertThat(unmapWithBitmap(IOVA, 80, 0)).isEqualTo(refusal(Errno.EFAULT));
        assertThat(host.type1().mappings()).as("told before it goes").isEqualTo(2);
        assertThat(unmapWithBitmap(IOVA, 80, at)).isEqualTo(8 * PAGE);
        MemorySegment words = host.program.memoryAt(at).bytes();
        assertThat(words.get(JAVA_LONG, 0)).isEqualTo(2);
        assertThat(words.get(JAVA_LONG, 8)).isEqualTo(1L << 9);
        assertThat(host.type1().dirtyBytes()).isZero();
    }

    private long unmapWithBitmap(long iova, long pages, long at) {
        var struct =
                host.program
                        .struct(UNMAP_LENGTH + BITMAP_LENGTH)
                        .with(UNMAP_FLAGS, UNMAP_FLAG_GET_DIRTY_BITMAP)
                        .with(UNMAP_IOVA, iova)
                        .with(UNMAP_SIZE, pages * PAGE)
                        .with(UNMAP_LENGTH + BITMAP_PGSIZE, PAGE)
                        .with(UNMAP_LENGTH + BITMAP_SIZE, 16L)
                        .with(UNMAP_LENGTH + BITMAP_DATA, at);
        long result = struct.call(host.container, IOMMU_UNMAP_DMA & 0xff);
        return result < 0 ? result : struct.getLong(UNMAP_SIZE);
    }

    /** 2^64 bytes are more than the answer can say. */
    @Test
    void whoUnmapsAllIovasThereAreIsToldSo() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        for (int round = 0; round < 2; round++) {
            assertThat(host.map(0, 0, Long.MIN_VALUE, RW)).isZero();
            assertThat(host.map(0, Long.MIN_VALUE, Long.MIN_VALUE, RW)).isZero();
            assertThat(host.type1().unmapAll()).isEqualTo(-1);
            assertThat(host.type1().mappings()).isZero();
        }
        assertThat(host.type1().unmapAll()).as("nothing is there").isZero();
    }

    /** Mappings that pin nothing cost nothing, however long; bitmaps of them would. */
    @Test
    @Tag("S21")
    void bitmapsTakeAsMuchMemoryAsTheyMay() throws IommufdException {
        begin(TYPE1V2_IOMMU);
        long half = DirtyPages.BITS_MAX / 2 * PAGE;
        assertThat(host.map(0, half, half, RW)).isZero();
        assertThat(host.map(0, 2 * half, half, RW)).isZero();
        assertThat(host.map(0, 0, PAGE, RW)).isZero();
        assertThat(host.dirtyPages(DIRTY_FLAG_START)).isEqualTo(refusal(Errno.ENOMEM));
        assertThat(host.type1().dirtyBytes()).isZero();
        assertThat(host.unmap(0, PAGE, 0)).isEqualTo(PAGE);
        assertThat(host.dirtyPages(DIRTY_FLAG_START)).as("at the limit").isZero();
        assertThat(host.type1().dirtyBytes()).isEqualTo(DirtyTracking.BYTES_MAX);
        assertThat(host.map(host.memory, 0, PAGE, RW)).isEqualTo(refusal(Errno.ENOMEM));
        assertThat(host.unmap(0, 0, UNMAP_FLAG_ALL)).isEqualTo(2 * half);
        assertThat(host.map(host.memory, 0, PAGE, RW)).isZero();
    }
}
