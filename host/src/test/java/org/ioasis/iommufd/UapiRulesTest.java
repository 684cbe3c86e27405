// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.READ_WRITE;
import static org.ioasis.iommufd.MockHost.error;
import static org.ioasis.spec.Iommufd.*;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.IommufdTest;
import org.ioasis.spec.VfioType1;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The rules of Linux's iommufd call by call, as far as no other test has them: which mistake has
 * which answer. The order is that of the kernel's documentation (userspace-api/iommufd).
 */
class UapiRulesTest {
    private final MockHost host = new MockHost();

    /** Those that do not end with the context. */
    private final List<Device> devices = new ArrayList<>();

    @AfterEach
    void nothingIsLeft() {
        for (Device device : devices) {
            device.detach(HwDevice.NO_PASID);
            device.unbind();
        }
        host.program.closeAll();
        host.closeAll();
    }

    private static int errorId(Errno errno) {
        return (int) error(errno);
    }

    private ProgramStub.Struct hwptCall(int device, int pt, int flags, int type, int length) {
        return host.hwptStruct(device, pt, flags)
                .with(HWPT_ALLOC_DATA_TYPE, type)
                .with(HWPT_ALLOC_DATA_LEN, length);
    }

    /** A device, its address space, a page table for guests and a vIOMMU on it. */
    private record Guest(int ioas, MockHost.Bound bound, int parent, int viommu) {}

    private Guest guest() {
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        int parent = host.hwpt(bound.device(), ioas, HWPT_ALLOC_NEST_PARENT);
        return new Guest(ioas, bound, parent, host.viommu(bound.device(), parent));
    }

    @Nested
    @DisplayName("calling convention and objects (3.1, 3.2)")
    class Objects {
        @Test
        void anAnswerReachesAsFarAsTheCallersStructure() {
            int ioas = host.ioas();
            MockHost.Bound bound = host.mockDomain(ioas);
            ProgramStub.Struct info = host.program.struct(HW_INFO_MIN);
            info.with(HW_INFO_DEV_ID, bound.device()).with(HW_INFO_OUT_CAPABILITIES, 77L);
            assertThat(info.call(host.file, CMD_GET_HW_INFO)).isZero();
            assertThat(info.getInt(HW_INFO_DATA_TYPE)).isEqualTo(IommufdTest.HW_INFO_TYPE_SELFTEST);
            assertThat(info.getLong(HW_INFO_OUT_CAPABILITIES)).as("not the caller's").isEqualTo(77);
        }

        @Test
        void anIdOfAnotherKindIsMissing() {
            int ioas = host.ioas();
            MockHost.Bound bound = host.mockDomain(ioas);
            assertThat(host.map(bound.hwpt(), 0, PAGE)).isEqualTo(error(Errno.ENOENT));
            assertThat(host.hwpt(ioas, ioas, 0)).isEqualTo(errorId(Errno.ENOENT));
            assertThat(host.viommu(bound.device(), ioas)).isEqualTo(errorId(Errno.ENOENT));
        }

        @Test
        @Tag("S01")
        void devicesAndAccessesAreTheirDriversAndNotDestroyed() throws IommufdException {
            int ioas = host.ioas();
            MockHost.Bound bound = host.mockDomain(ioas);
            assertThat(host.destroy(bound.device())).isEqualTo(error(Errno.EBUSY));
            Access access = ((IommufdContext) host.file).access((_, _) -> {}, false);
            assertThat(host.destroy(access.id())).isEqualTo(error(Errno.EBUSY));
            access.close();
        }

        @Test
        @Tag("S01")
        void aContextEndsInTheOrderOfItsReferencesWhateverTheIdsAre() {
            Guest guest = guest();
            int nested = host.nested(guest.bound.device(), guest.viommu, 0, 0);
            assertThat(nested).isPositive();
            assertThat(host.vdevice(guest.viommu, guest.bound.device(), 5)).isPositive();
            assertThat(host.veventq(guest.viommu, 1)).isPositive();
            for (int needed : new int[] {guest.ioas, guest.parent, guest.viommu}) {
                assertThat(host.destroy(needed)).isEqualTo(error(Errno.EBUSY));
            }
        }
    }

    @Nested
    @DisplayName("address spaces (3.3)")
    class Spaces {
        private final int ioas = host.ioas();

        private long allow(long... borders) {
            long list = host.program.mmap(PAGE);
            MemorySegment bytes = host.program.memoryAt(list).bytes();
            for (int i = 0; i < borders.length; i++) {
                bytes.set(JAVA_LONG, i * 8L, borders[i]);
            }
            return host.program
                    .struct(ALLOW_IOVAS_SIZE)
                    .with(ALLOW_IOVAS_IOAS_ID, ioas)
                    .with(ALLOW_IOVAS_NUM_IOVAS, borders.length / 2)
                    .with(ALLOW_IOVAS_ALLOWED_IOVAS, list)
                    .call(host.file, CMD_IOAS_ALLOW_IOVAS);
        }

        @Test
        void allowedRangesOverlapNeitherEachOtherNorWhatIsReservedAndAreReplacedWhole()
                throws IommufdException {
            host.find(ioas, Ioas.class).reserve(0x10000, 0x1ffff);
            assertThat(allow(0x20000, 0x2ffff)).isZero();
            assertThat(allow(0x30000, 0x3ffff, 0x3f000, 0x4ffff)).isEqualTo(error(Errno.EINVAL));
            assertThat(allow(0x30000, 0x2ffff)).isEqualTo(error(Errno.EINVAL));
            assertThat(allow(0x40000, 0x4ffff, 0x1f000, 0x2ffff))
                    .isEqualTo(error(Errno.EADDRINUSE));
            long memory = host.program.mmap(PAGE);
            assertThat(host.map(ioas, memory, PAGE)).as("the old list").isEqualTo(0x20000);
            assertThat(host.mapFixed(ioas, memory, PAGE, 0x80000)).as("fixed: anywhere").isZero();
            assertThat(allow()).isZero();
            assertThat(host.map(ioas, memory, PAGE)).as("no restriction").isEqualTo(PAGE);
        }

        @Test
        void whatIsAllowedIsNeverReserved() throws IommufdException {
            assertThat(allow(PAGE, 2 * PAGE - 1)).isZero();
            // The mock's aperture begins above it.
            assertThat(host.tryMockDomain(ioas, 0)).isEqualTo(error(Errno.EADDRINUSE));
            assertThat(allow(APERTURE, APERTURE + PAGE)).isZero();
            assertThat(host.tryMockDomain(ioas, 0)).isZero();
        }

        @Test
        void aFixedMappingIsAlignedDoesNotWrapAndLiesWhereNothingElseIs() {
            host.mockDomain(ioas);
            long memory = host.program.mmap(2 * PAGE);
            assertThat(host.mapFixed(ioas, memory, 0, APERTURE)).isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE + 1))
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFixed(ioas, memory, 1024, APERTURE)).isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFixed(ioas, memory + 1, 2048, APERTURE))
                    .as("where a page begins counts too")
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFixed(ioas, memory, PAGE, -2048)).isEqualTo(error(Errno.EOVERFLOW));
            assertThat(host.mapFixed(ioas, memory, PAGE, IommufdTest.APERTURE_LAST + 1))
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE)).isZero();
            assertThat(host.mapFixed(ioas, memory + PAGE, PAGE, APERTURE + 2048))
                    .isEqualTo(error(Errno.EEXIST));
            assertThat(host.mapFixed(ioas, -PAGE, 2 * PAGE, APERTURE + 4 * PAGE))
                    .as("the memory goes past the last address")
                    .isEqualTo(error(Errno.EOVERFLOW));
        }

        @Test
        void anAutomaticIovaIsNever0AndWhereNoneIsFreeThatIsSaid() throws IommufdException {
            long memory = host.program.mmap(PAGE);
            assertThat(host.map(ioas, memory, PAGE)).isEqualTo(PAGE);
            assertThat(host.map(ioas, memory, Long.MAX_VALUE)).isEqualTo(error(Errno.EOVERFLOW));
            host.find(ioas, Ioas.class).reserve(2 * PAGE, -1);
            assertThat(host.map(ioas, memory, PAGE)).isEqualTo(error(Errno.ENOSPC));
        }

        @Test
        void withoutAPageTableNothingIsHeldAndTheFirstHoldsAll() {
            long memory = host.program.mmap(4 * PAGE);
            assertThat(host.mapFixed(ioas, memory, 4 * PAGE, APERTURE)).isZero();
            assertThat(host.checkHolds(memory, 4 * PAGE, 0)).isZero();
            MockHost.Bound one = host.mockDomain(ioas);
            assertThat(host.checkHolds(memory, 4 * PAGE, 1)).isZero();
            host.hwpt(one.device(), ioas, 0);
            assertThat(host.checkHolds(memory, 4 * PAGE, 1)).as("each once").isZero();
        }

        @Test
        void aFileIsMappedUpToItsEndAndBuffersWhileTheyAreNotRevoked() {
            host.mockDomain(ioas);
            int file = host.program.open(new ProgramStub.Memory(2 * PAGE));
            assertThat(host.mapFile(ioas, 999, 0, PAGE)).isEqualTo(error(Errno.EBADF));
            assertThat(host.mapFile(ioas, file, PAGE, 2 * PAGE)).isEqualTo(error(Errno.EINVAL));
            assertThat(host.mapFile(ioas, file, PAGE, PAGE)).isPositive();
            int buffer =
                    (int)
                            host.test(IommufdTest.OP_DMABUF_GET, 0)
                                    .with(IommufdTest.DMABUF_GET_LENGTH, (int) (2 * PAGE))
                                    .call(host.file, MockHost.TEST);
            assertThat(host.mapFile(ioas, buffer, 0, 3 * PAGE)).isEqualTo(error(Errno.EINVAL));
            long iova = host.mapFile(ioas, buffer, 0, 2 * PAGE);
            assertThat(iova).isPositive();
            assertThat(host.program.locked().pinned()).as("nobody pays for a buffer").isEqualTo(1);
            assertThat(host.node.heldPages()).isEqualTo(3);
            int access = host.access(ioas, true);
            assertThat(host.hold(access, iova, PAGE, 0)).isEqualTo(errorId(Errno.EINVAL));
            assertThat(
                            host.test(IommufdTest.OP_DMABUF_REVOKE, 0)
                                    .with(IommufdTest.DMABUF_REVOKE_FD, buffer)
                                    .with(IommufdTest.DMABUF_REVOKE_REVOKED, 1)
                                    .call(host.file, MockHost.TEST))
                    .isZero();
            assertThat(host.node.heldPages()).as("out of every page table").isEqualTo(1);
            assertThat(host.mapFile(ioas, buffer, 0, PAGE)).isEqualTo(error(Errno.ENODEV));
            assertThat(host.unmap(ioas, iova, 2 * PAGE)).isEqualTo(2 * PAGE);
        }

        @Test
        void aCopyNeedsItsWholeSource() {
            long memory = host.program.mmap(2 * PAGE);
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE)).isZero();
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE + 2 * PAGE)).isZero();
            int to = host.ioas();
            assertThat(host.copy(to, ioas, APERTURE, 3 * PAGE, 0, READ_WRITE))
                    .isEqualTo(error(Errno.ENOENT));
            assertThat(host.copy(to, ioas, APERTURE + PAGE, PAGE, 0, READ_WRITE))
                    .isEqualTo(error(Errno.ENOENT));
            assertThat(host.copy(to, ioas, APERTURE, 0, 0, READ_WRITE))
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(host.copy(to, ioas, -PAGE, 2 * PAGE, 0, READ_WRITE))
                    .isEqualTo(error(Errno.EOVERFLOW));
        }

        @Test
        void unmappingEverythingIsNeverAMistakeAndUnmappingNothingIs() {
            assertThat(host.unmap(ioas, 0, -1)).isZero();
            assertThat(host.unmap(ioas, APERTURE, PAGE)).isEqualTo(error(Errno.ENOENT));
            assertThat(host.unmap(ioas, APERTURE, 0)).isEqualTo(error(Errno.EINVAL));
            assertThat(host.unmap(ioas, -PAGE, 2 * PAGE)).isEqualTo(error(Errno.EOVERFLOW));
        }

        private long option(int id, int object, long value) {
            return host.program
                    .struct(OPTION_SIZE)
                    .with(OPTION_ID, id)
                    .with(OPTION_OBJECT_ID, object)
                    .with(OPTION_VAL64, value)
                    .call(host.file, CMD_OPTION);
        }

        @Test
        void theModeOfAccountsIsChosenBeforeAnythingIsThere() {
            assertThat(option(OPTION_RLIMIT_MODE, 1, 0)).isEqualTo(error(Errno.EOPNOTSUPP));
            assertThat(option(OPTION_RLIMIT_MODE, 0, 2)).isEqualTo(error(Errno.EINVAL));
            assertThat(option(OPTION_RLIMIT_MODE, 0, 1)).isEqualTo(error(Errno.EBUSY));
            assertThat(host.destroy(ioas)).isZero();
            host.program.mayRaiseLimits = false;
            assertThat(option(OPTION_RLIMIT_MODE, 0, 1)).isEqualTo(error(Errno.EPERM));
            assertThat(option(OPTION_RLIMIT_MODE, 0, 2))
                    .as("whoever may not is not told what else is wrong")
                    .isEqualTo(error(Errno.EPERM));
            assertThat(
                            host.program
                                    .struct(OPTION_SIZE)
                                    .with(OPTION_ID, OPTION_RLIMIT_MODE)
                                    .with(OPTION_OP, OPTION_OP_GET)
                                    .call(host.file, CMD_OPTION))
                    .as("anybody may ask")
                    .isZero();
            host.program.mayRaiseLimits = true;
            assertThat(option(OPTION_RLIMIT_MODE, 0, 1)).isZero();
            assertThat(option(99, 0, 0)).isEqualTo(error(Errno.EOPNOTSUPP));
        }

        @Test
        void largePagesAreGivenUpWhereNothingWouldHaveToBeCut() {
            host.mockDomain(ioas);
            long memory = host.program.mmap(PAGE);
            assertThat(option(OPTION_HUGE_PAGES, ioas, 2)).isEqualTo(error(Errno.EINVAL));
            assertThat(option(OPTION_HUGE_PAGES, 99, 0)).isEqualTo(error(Errno.ENOENT));
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE)).isZero();
            assertThat(option(OPTION_HUGE_PAGES, ioas, 0)).isEqualTo(error(Errno.EINVAL));
            int plain = host.ioas();
            assertThat(host.mapFixed(plain, memory, 2048, APERTURE)).isZero();
            assertThat(option(OPTION_HUGE_PAGES, plain, 0)).isEqualTo(error(Errno.EADDRINUSE));
        }
    }

    @Nested
    @DisplayName("devices (3.5)")
    class Devices {
        private final int ioas = host.ioas();
        private final MockHost.Bound bound = host.mockDomain(ioas);

        @Test
        @Tag("S02")
        void aDeviceBelongsToOneContext() throws IommufdException {
            Device device = host.find(bound.device(), Device.class);
            IommufdContext other = host.node.openContext();
            IommufdException refusal = null;
            try {
                other.bind(device.hardware());
            } catch (IommufdException e) {
                refusal = e;
            }
            assertThat(requireNonNull(refusal).errno()).isEqualTo(Errno.EBUSY);
            other.release();
        }

        @Test
        void onlyAddressSpacesAndPageTablesAreAttachedTo() {
            assertThat(host.replace(bound.stdev(), 99)).isEqualTo(error(Errno.ENOENT));
            assertThat(host.replace(bound.stdev(), bound.device())).isEqualTo(error(Errno.EINVAL));
            assertThat(host.replace(bound.stdev(), bound.hwpt())).as("the same again").isZero();
        }

        @Test
        void anAttachTwiceIsBusyAndAReplaceOfNothingAMistake() throws IommufdException {
            Device device = host.find(bound.device(), Device.class);
            refuses(Errno.EBUSY, () -> device.attach(bound.hwpt(), HwDevice.NO_PASID));
            device.detach(HwDevice.NO_PASID);
            device.detach(HwDevice.NO_PASID);
            refuses(Errno.EINVAL, () -> device.replace(ioas, HwDevice.NO_PASID));
            device.attach(ioas, HwDevice.NO_PASID);
        }

        @Test
        void aDeviceWhoseDmaPassesCachesByIsNotBound() throws IommufdException {
            PlainDevice odd = new PlainDevice(host.node, false, true);
            int objects = ((IommufdContext) host.file).objects();
            refuses(Errno.EINVAL, () -> bind(odd));
            assertThat(((IommufdContext) host.file).objects()).isEqualTo(objects);
            assertThat(odd.group().claim("another")).as("it is nobody's").isTrue();
        }

        @Test
        void aTableThatEnforcesCoherencyTakesNoDeviceThatCannot() throws IommufdException {
            Device strict = bind(new PlainDevice(host.node, true, true));
            int table = host.hwpt(strict.id(), ioas, 0);
            Device lax = bind(new PlainDevice(host.node, true, false));
            refuses(Errno.EINVAL, () -> lax.attach(table, HwDevice.NO_PASID));
            assertThat(lax.attached(HwDevice.NO_PASID)).isNull();
            strict.attach(table, HwDevice.NO_PASID);
            int own = host.hwpt(lax.id(), ioas, 0);
            lax.attach(own, HwDevice.NO_PASID);
            refuses(Errno.EINVAL, () -> lax.replace(table, HwDevice.NO_PASID));
            assertThat(lax.attached(HwDevice.NO_PASID)).isSameAs(host.find(own, PagingHwpt.class));
        }
    }

    private Device bind(HwDevice hardware) throws IommufdException {
        Device device = ((IommufdContext) host.file).bind(hardware);
        devices.add(device);
        return device;
    }

    @Nested
    @DisplayName("page tables, information, invalidation (3.6)")
    class PageTables {
        private final Guest guest = guest();
        private final int device = guest.bound.device();

        @Test
        @Tag("S04")
        void flagsAndDataOfAPageTableFitTogether() {
            int none = HWPT_DATA_NONE;
            int own = IommufdTest.HWPT_DATA_SELFTEST;
            assertThat(hwptCall(device, guest.ioas, 0, none, 8).call(host.file, CMD_HWPT_ALLOC))
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(hwptCall(device, guest.ioas, 0, own, 0).call(host.file, CMD_HWPT_ALLOC))
                    .isEqualTo(error(Errno.EINVAL));
            assertThat(host.hwpt(device, guest.ioas, 1 << 9)).isEqualTo(errorId(Errno.EOPNOTSUPP));
            assertThat(host.hwpt(device, guest.ioas, HWPT_FAULT_ID_VALID | HWPT_ALLOC_NEST_PARENT))
                    .isEqualTo(errorId(Errno.EOPNOTSUPP));
            assertThat(host.hwpt(device, guest.ioas, HWPT_FAULT_ID_VALID))
                    .as("there is no queue 0")
                    .isEqualTo(errorId(Errno.ENOENT));
            MockHost.Bound deaf = host.mockDomain(guest.ioas, IommufdTest.DEVICE_NO_DIRTY);
            assertThat(host.hwpt(deaf.device(), guest.ioas, HWPT_ALLOC_DIRTY_TRACKING))
                    .isEqualTo(errorId(Errno.EOPNOTSUPP));
        }

        @Test
        void aGuestsTableNeedsDataAndAParentThatWasMadeForIt() {
            int plain = host.hwpt(device, guest.ioas, 0);
            assertThat(host.nested(device, plain, 0, 0)).isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.nested(device, guest.bound.hwpt(), 0, 0))
                    .as("made by itself")
                    .isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.hwpt(device, guest.parent, 0)).isEqualTo(errorId(Errno.EOPNOTSUPP));
            assertThat(host.nested(device, guest.parent, HWPT_ALLOC_DIRTY_TRACKING, 0))
                    .isEqualTo(errorId(Errno.EOPNOTSUPP));
            int nested = host.nested(device, guest.parent, 0, 0);
            assertThat(host.nested(device, nested, 0, 0))
                    .as("no table of a table")
                    .isEqualTo(errorId(Errno.EINVAL));
        }

        @Test
        void aGuestHasNothingOfADeviceBehindAnotherIommu() throws IommufdException {
            Device stranger = bind(new PlainDevice(host.node, true, false));
            assertThat(host.nested(stranger.id(), guest.viommu, 0, 0))
                    .isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.vdevice(guest.viommu, stranger.id(), 7))
                    .isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.viommu(stranger.id(), guest.parent))
                    .as("its own IOMMU has no such guests")
                    .isEqualTo(errorId(Errno.EOPNOTSUPP));
        }

        @Test
        @Tag("S04")
        void informationIsAsLongAsItIsAndTheRestOfTheRoomIsZero() {
            long data = host.program.mmap(PAGE);
            MemorySegment bytes = host.program.memoryAt(data).bytes();
            bytes.fill((byte) 0x55);
            ProgramStub.Struct info =
                    host.program
                            .struct(HW_INFO_SIZE)
                            .with(HW_INFO_DEV_ID, device)
                            .with(HW_INFO_DATA_LEN, 16)
                            .with(HW_INFO_DATA_UPTR, data);
            assertThat(info.call(host.file, CMD_GET_HW_INFO)).isZero();
            assertThat(info.getInt(HW_INFO_DATA_LEN)).isEqualTo(IommufdTest.HW_INFO_SIZE);
            assertThat(bytes.get(JAVA_INT, IommufdTest.HW_INFO_TEST_REG))
                    .isEqualTo(IommufdTest.HW_INFO_SELFTEST_REGVAL);
            assertThat(bytes.get(JAVA_LONG, 8)).isZero();
            assertThat((int) bytes.get(JAVA_BYTE, 16)).isEqualTo(0x55);
            assertThat(
                            host.program
                                    .struct(HW_INFO_SIZE)
                                    .with(HW_INFO_DEV_ID, device)
                                    .with(HW_INFO_FLAGS, HW_INFO_FLAG_INPUT_TYPE)
                                    .with(HW_INFO_DATA_TYPE, 1)
                                    .call(host.file, CMD_GET_HW_INFO))
                    .as("another IOMMU's information")
                    .isEqualTo(error(Errno.EOPNOTSUPP));
        }

        private ProgramStub.Struct invalidation(int target, long entries, int length, int count) {
            return host.program
                    .struct(INVALIDATE_SIZE)
                    .with(INVALIDATE_HWPT_ID, target)
                    .with(INVALIDATE_DATA_UPTR, entries)
                    .with(INVALIDATE_DATA_TYPE, IommufdTest.INVALIDATE_DATA_SELFTEST)
                    .with(INVALIDATE_ENTRY_LEN, length)
                    .with(INVALIDATE_ENTRY_NUM, count);
        }

        @Test
        @Tag("S33")
        void aLongArrayIsDoneInPiecesUpToTheEntryThatIsRefusedOrCannotBeRead() {
            int nested = host.nested(device, guest.parent, 0, 0);
            int size = IommufdTest.INVALIDATE_SIZE;
            int perPage = (int) PAGE / size;
            long entries = host.program.mmap(4 * PAGE);
            MemorySegment bytes = host.program.memoryAt(entries).bytes();
            ProgramStub.Struct all = invalidation(nested, entries, size, 3 * perPage + 5);
            assertThat(all.call(host.file, CMD_HWPT_INVALIDATE)).isZero();
            assertThat(all.getInt(INVALIDATE_ENTRY_NUM)).isEqualTo(3 * perPage + 5);
            int bad = perPage + perPage / 2;
            bytes.set(JAVA_INT, (long) bad * size + IommufdTest.INVALIDATE_IOTLB_ID, 99);
            ProgramStub.Struct refused = invalidation(nested, entries, size, 3 * perPage);
            assertThat(refused.call(host.file, CMD_HWPT_INVALIDATE)).isEqualTo(error(Errno.EINVAL));
            assertThat(refused.getInt(INVALIDATE_ENTRY_NUM)).isEqualTo(bad);
            long tail = entries + 4 * PAGE - (long) (perPage / 2 + 3) * size;
            ProgramStub.Struct beyond = invalidation(nested, tail, size, 2 * perPage);
            assertThat(beyond.call(host.file, CMD_HWPT_INVALIDATE)).isEqualTo(error(Errno.EFAULT));
            assertThat(beyond.getInt(INVALIDATE_ENTRY_NUM)).isEqualTo(perPage / 2 + 3);
        }

        @Test
        void howManyEntriesWereDoneIsSaidOnFailureToo() {
            int nested = host.nested(device, guest.parent, 0, 0);
            long entries = host.program.mmap(PAGE);
            MemorySegment bytes = host.program.memoryAt(entries).bytes();
            int size = IommufdTest.INVALIDATE_SIZE;
            bytes.set(JAVA_INT, 2L * size + IommufdTest.INVALIDATE_IOTLB_ID, 99);
            ProgramStub.Struct call = invalidation(nested, entries, size, 4);
            assertThat(call.call(host.file, CMD_HWPT_INVALIDATE)).isEqualTo(error(Errno.EINVAL));
            assertThat(call.getInt(INVALIDATE_ENTRY_NUM)).as("the one that failed").isEqualTo(2);
            ProgramStub.Struct nowhere = invalidation(nested, 0, size, 1);
            assertThat(nowhere.call(host.file, CMD_HWPT_INVALIDATE)).isEqualTo(error(Errno.EINVAL));
            assertThat(nowhere.getInt(INVALIDATE_ENTRY_NUM)).isZero();
            for (int[] odd :
                    new int[][] {{0, 1}, {4097, 1}, {size, INVALIDATE_ENTRY_NUM_MAX + 1}}) {
                ProgramStub.Struct wrong = invalidation(nested, entries, odd[0], odd[1]);
                assertThat(wrong.call(host.file, CMD_HWPT_INVALIDATE))
                        .isEqualTo(error(Errno.EINVAL));
                assertThat(wrong.getInt(INVALIDATE_ENTRY_NUM)).isZero();
            }
            assertThat(invalidation(nested, 0, 0, 0).call(host.file, CMD_HWPT_INVALIDATE))
                    .as("a question for the type")
                    .isZero();
            assertThat(
                            invalidation(guest.parent, entries, size, 1)
                                    .call(host.file, CMD_HWPT_INVALIDATE))
                    .as("a page table has no caches of a guest")
                    .isEqualTo(error(Errno.EINVAL));
        }
    }

    @Nested
    @DisplayName("what was written (3.7)")
    class Dirty {
        private final int ioas = host.ioas();
        private final MockHost.Bound bound = host.mockDomain(ioas);
        private final int hwpt = host.hwpt(bound.device(), ioas, HWPT_ALLOC_DIRTY_TRACKING);
        private final long bitmap = host.program.mmap(PAGE);

        private long track(int table, int flags) {
            return host.program
                    .struct(SET_DIRTY_SIZE)
                    .with(SET_DIRTY_FLAGS, flags)
                    .with(SET_DIRTY_HWPT_ID, table)
                    .call(host.file, CMD_HWPT_SET_DIRTY_TRACKING);
        }

        private long read(long iova, long length, long pageSize, int flags) {
            return host.program
                    .struct(GET_DIRTY_SIZE)
                    .with(GET_DIRTY_HWPT_ID, hwpt)
                    .with(GET_DIRTY_FLAGS, flags)
                    .with(GET_DIRTY_IOVA, iova)
                    .with(GET_DIRTY_LENGTH, length)
                    .with(GET_DIRTY_PAGE_SIZE, pageSize)
                    .with(GET_DIRTY_DATA, bitmap)
                    .call(host.file, CMD_HWPT_GET_DIRTY_BITMAP);
        }

        private int bits() {
            return Byte.toUnsignedInt(host.program.memoryAt(bitmap).bytes().get(JAVA_BYTE, 0));
        }

        @Test
        void bitsAreAddedToTheCallersAndTheBeginningForgetsWhatWasBefore() {
            long memory = host.program.mmap(8 * PAGE);
            for (int i = 0; i < 8; i++) {
                assertThat(host.mapFixed(ioas, memory + i * PAGE, PAGE, APERTURE + i * PAGE))
                        .isZero();
            }
            assertThat(track(bound.hwpt(), 1)).isEqualTo(error(Errno.EOPNOTSUPP));
            assertThat(track(hwpt, 2)).isEqualTo(error(Errno.EOPNOTSUPP));
            assertThat(read(APERTURE, 8 * PAGE, PAGE, 0)).isEqualTo(error(Errno.EINVAL));
            assertThat(track(hwpt, 1)).isZero();
            TableDomain table = (TableDomain) host.find(hwpt, PagingHwpt.class).domain();
            assertThat(table.write(APERTURE)).isTrue();
            assertThat(track(hwpt, 1)).as("once more: from the beginning").isZero();
            assertThat(table.write(APERTURE + 2 * PAGE + 7)).isTrue();
            host.program.memoryAt(bitmap).bytes().set(JAVA_BYTE, 0, (byte) 0x80);
            assertThat(read(APERTURE, 8 * PAGE, PAGE, GET_DIRTY_BITMAP_NO_CLEAR)).isZero();
            assertThat(bits()).isEqualTo(0x84);
            host.program.memoryAt(bitmap).bytes().set(JAVA_BYTE, 0, (byte) 0);
            assertThat(read(APERTURE, 8 * PAGE, PAGE, 0)).isZero();
            assertThat(bits()).isEqualTo(4);
            host.program.memoryAt(bitmap).bytes().set(JAVA_BYTE, 0, (byte) 0);
            assertThat(read(APERTURE, 8 * PAGE, PAGE, 0)).isZero();
            assertThat(bits()).as("cleared").isZero();
            assertThat(read(APERTURE + 1, PAGE, PAGE, 0)).isEqualTo(error(Errno.EINVAL));
            assertThat(read(APERTURE, PAGE, 3000, 0)).isEqualTo(error(Errno.EINVAL));
            assertThat(read(APERTURE, 0, PAGE, 0)).isEqualTo(error(Errno.EINVAL));
            assertThat(read(-PAGE, 2 * PAGE, PAGE, 0)).isEqualTo(error(Errno.EOVERFLOW));
            assertThat(read(APERTURE, PAGE, PAGE, 4)).isEqualTo(error(Errno.EOPNOTSUPP));
        }
    }

    @Nested
    @DisplayName("guests and their queues (3.8)")
    class Guests {
        private final Guest guest = guest();
        private final int device = guest.bound.device();

        @Test
        void aViommuHasATypeAndAParentForGuests() {
            int plain = host.hwpt(device, guest.ioas, 0);
            assertThat(host.viommu(device, plain)).isEqualTo(errorId(Errno.EINVAL));
            for (int type : new int[] {VIOMMU_TYPE_DEFAULT, 1}) {
                assertThat(
                                host.program
                                        .struct(VIOMMU_ALLOC_SIZE)
                                        .with(VIOMMU_ALLOC_TYPE, type)
                                        .with(VIOMMU_ALLOC_DEV_ID, device)
                                        .with(VIOMMU_ALLOC_HWPT_ID, guest.parent)
                                        .call(host.file, CMD_VIOMMU_ALLOC))
                        .isEqualTo(error(Errno.EOPNOTSUPP));
            }
        }

        @Test
        @Tag("S03")
        void aDeviceHasOneNameAndANameOneDevice() {
            MockHost.Bound second = host.mockDomain(guest.ioas);
            assertThat(host.vdevice(99, device, 7)).isEqualTo(errorId(Errno.ENOENT));
            assertThat(host.vdevice(guest.viommu, 99, 7)).isEqualTo(errorId(Errno.ENOENT));
            int name = host.vdevice(guest.viommu, device, 7);
            assertThat(name).isPositive();
            assertThat(host.vdevice(guest.viommu, device, 8)).isEqualTo(errorId(Errno.EEXIST));
            assertThat(host.vdevice(guest.viommu, second.device(), 7))
                    .isEqualTo(errorId(Errno.EEXIST));
            assertThat(host.destroy(name)).isZero();
            assertThat(host.vdevice(guest.viommu, second.device(), 7)).isPositive();
        }

        @Test
        void aQueueOfEventsHasADepthAndThereIsOneOfAType() {
            assertThat(host.veventq(guest.viommu, 0)).isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.veventq(guest.viommu, VEVENTQ_DEPTH_MAX + 1))
                    .isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.veventq(guest.viommu, VEVENTQ_DEPTH_MAX)).isPositive();
            assertThat(host.veventq(guest.viommu, 1)).isEqualTo(errorId(Errno.EEXIST));
        }

        @Test
        void aQueueOfCommandsIsInMemoryThatIsMappedAndLiesSideBySide() {
            long memory = host.program.mmap(4 * PAGE);
            assertThat(host.hwQueue(guest.viommu, 0, APERTURE, 0)).isEqualTo(errorId(Errno.EINVAL));
            assertThat(host.hwQueue(guest.viommu, 0, -PAGE, 2 * PAGE))
                    .isEqualTo(errorId(Errno.EOVERFLOW));
            assertThat(host.hwQueue(guest.viommu, 0, 1, -PAGE))
                    .as("in whole pages it is too long for 64 bits")
                    .isEqualTo(errorId(Errno.ERANGE));
            assertThat(host.hwQueue(guest.viommu, 0, APERTURE, PAGE))
                    .isEqualTo(errorId(Errno.ENOENT));
            assertThat(host.mapFixed(guest.ioas, memory + PAGE, PAGE, APERTURE)).isZero();
            assertThat(host.mapFixed(guest.ioas, memory, PAGE, APERTURE + PAGE)).isZero();
            assertThat(host.hwQueue(guest.viommu, 0, APERTURE, 2 * PAGE))
                    .isEqualTo(errorId(Errno.EFAULT));
            assertThat(host.hwQueue(guest.viommu, 2, APERTURE, PAGE))
                    .isEqualTo(errorId(Errno.EINVAL));
            int queue = host.hwQueue(guest.viommu, 0, APERTURE, PAGE);
            assertThat(queue).isPositive();
            assertThat(host.hwQueue(guest.viommu, 0, APERTURE, PAGE))
                    .isEqualTo(errorId(Errno.EEXIST));
        }

        @Test
        void filesOfEventsAreOnlyRead() {
            ProgramStub.Struct struct =
                    host.program
                            .struct(VEVENTQ_ALLOC_SIZE)
                            .with(VEVENTQ_ALLOC_VIOMMU_ID, guest.viommu)
                            .with(VEVENTQ_ALLOC_TYPE, IommufdTest.VEVENTQ_TYPE_SELFTEST)
                            .with(VEVENTQ_ALLOC_DEPTH, 1);
            assertThat(struct.call(host.file, CMD_VEVENTQ_ALLOC)).isZero();
            OpenFile file = host.program.ours(struct.getInt(VEVENTQ_ALLOC_OUT_VEVENTQ_FD));
            long memory = host.program.mmap(PAGE);
            assertThat(file.write(host.program, memory, 8)).isEqualTo(error(Errno.EINVAL));
            assertThat(file.read(host.program, memory, 7)).isEqualTo(error(Errno.EINVAL));
        }
    }

    @Nested
    @DisplayName("accesses (3.9)")
    class Accesses {
        private final Ioas ioas = host.find(host.ioas(), Ioas.class);
        private final IommufdContext context = (IommufdContext) host.file;
        private final MemorySegment buffer = MemorySegment.ofArray(new byte[8]);

        @Test
        void anAccessReachesOnlyWhatItsAddressSpaceMaps() throws IommufdException {
            long memory = host.program.mmap(2 * PAGE);
            assertThat(host.mapFixed(ioas.id(), memory, PAGE, APERTURE, MAP_READABLE)).isZero();
            long[] asked = new long[2];
            Access access =
                    context.access(
                            (iova, length) -> {
                                asked[0] = iova;
                                asked[1] = length;
                            },
                            true);
            refuses(Errno.ENOENT, () -> access.replace(ioas));
            refuses(Errno.ENOENT, () -> access.copy(APERTURE, buffer, false));
            access.attach(ioas);
            refuses(Errno.EINVAL, () -> access.attach(ioas));
            refuses(Errno.EINVAL, () -> access.pin(APERTURE + 8, PAGE, false));
            refuses(Errno.EINVAL, () -> access.pin(APERTURE, 8, false));
            refuses(Errno.ENOENT, () -> access.pin(APERTURE, 2 * PAGE, false));
            refuses(Errno.EPERM, () -> access.pin(APERTURE, PAGE, true));
            refuses(Errno.EOVERFLOW, () -> access.pin(-PAGE, 2 * PAGE, false));
            refuses(Errno.EINVAL, () -> access.copy(APERTURE, buffer.asSlice(0, 0), false));
            refuses(Errno.ENOENT, () -> access.copy(APERTURE + PAGE - 4, buffer, false));
            refuses(Errno.EPERM, () -> access.copy(APERTURE, buffer, true));
            access.copy(APERTURE + 1, buffer, false);
            assertThat(host.checkHolds(memory, PAGE, 0)).as("nothing of a refusal").isZero();
            Ioas other = context.allocateIoas();
            access.replace(other);
            assertThat(asked).as("lets go of all that it had").containsExactly(0, -1);
            refuses(Errno.ENOENT, () -> access.copy(APERTURE, buffer, false));
            assertThat(host.destroy(other.id())).isEqualTo(error(Errno.EBUSY));
            access.close();
            assertThat(host.destroy(other.id())).isZero();
        }
    }

    @Nested
    @DisplayName("VFIO's calls on the same file (3.10)")
    class Compat {
        private long ioctl(int command, long argument) {
            return host.file.ioctl(host.program, command, argument);
        }

        private long vfioIoas(int operation, int id) {
            ProgramStub.Struct struct =
                    host.program
                            .struct(VFIO_IOAS_SIZE)
                            .with(VFIO_IOAS_ID, id)
                            .with(VFIO_IOAS_OP, operation);
            long result = struct.call(host.file, CMD_VFIO_IOAS);
            return result == 0 && operation == VFIO_IOAS_GET ? struct.getInt(VFIO_IOAS_ID) : result;
        }

        @Test
        void versionAndExtensionsAreThoseOfType1() {
            assertThat(ioctl(VfioType1.GET_API_VERSION, 0)).isEqualTo(VfioType1.API_VERSION);
            for (int there :
                    new int[] {
                        VfioType1.TYPE1_IOMMU, VfioType1.TYPE1V2_IOMMU, VfioType1.UNMAP_ALL
                    }) {
                assertThat(ioctl(VfioType1.CHECK_EXTENSION, there)).isEqualTo(1);
            }
            int updateAddress = 10;
            assertThat(ioctl(VfioType1.CHECK_EXTENSION, updateAddress)).isZero();
            int dirtyPages = 0x3b75;
            assertThat(ioctl(dirtyPages, 0)).isEqualTo(error(Errno.ENOTTY));
        }

        @Test
        void dmaIsCoherentIfAllTablesEnforceIt() throws IommufdException {
            assertThat(ioctl(VfioType1.CHECK_EXTENSION, VfioType1.DMA_CC_IOMMU))
                    .isEqualTo(error(Errno.ENODEV));
            int ioas = host.ioas();
            assertThat(vfioIoas(VFIO_IOAS_SET, ioas)).isZero();
            Device strict = bind(new PlainDevice(host.node, true, true));
            strict.attach(ioas, HwDevice.NO_PASID);
            assertThat(ioctl(VfioType1.CHECK_EXTENSION, VfioType1.DMA_CC_IOMMU)).isEqualTo(1);
            Device lax = bind(new PlainDevice(host.node, true, false));
            lax.attach(ioas, HwDevice.NO_PASID);
            assertThat(ioctl(VfioType1.CHECK_EXTENSION, VfioType1.DMA_CC_IOMMU)).isZero();
            lax.detach(HwDevice.NO_PASID);
            assertThat(ioctl(VfioType1.CHECK_EXTENSION, VfioType1.DMA_CC_IOMMU)).isEqualTo(1);
        }

        @Test
        void theContainerHasAnAddressSpaceOrItIsSaid() {
            assertThat(vfioIoas(VFIO_IOAS_GET, 0)).isEqualTo(error(Errno.ENODEV));
            assertThat(ioctl(VfioType1.SET_IOMMU, VfioType1.TYPE1V2_IOMMU))
                    .isEqualTo(error(Errno.ENODEV));
            assertThat(vfioIoas(VFIO_IOAS_SET, 99)).isEqualTo(error(Errno.ENOENT));
            int ioas = host.ioas();
            assertThat(vfioIoas(VFIO_IOAS_SET, ioas)).isZero();
            assertThat(vfioIoas(VFIO_IOAS_GET, 0)).isEqualTo(ioas);
            assertThat(ioctl(VfioType1.SET_IOMMU, 2)).isEqualTo(error(Errno.EINVAL));
            assertThat(ioctl(VfioType1.SET_IOMMU, VfioType1.TYPE1V2_IOMMU)).isZero();
            assertThat(vfioIoas(VFIO_IOAS_CLEAR, 0)).isZero();
            assertThat(vfioIoas(VFIO_IOAS_GET, 0)).isEqualTo(error(Errno.ENODEV));
        }

        @Test
        void pagesAreChargedToTheProcessAndAllAreUnmappedByNoRange() {
            int ioas = host.ioas();
            host.mockDomain(ioas);
            assertThat(vfioIoas(VFIO_IOAS_SET, ioas)).isZero();
            assertThat(mapDma(host.program.mmap(2 * PAGE), 2 * PAGE)).isZero();
            assertThat(host.program.locked().locked()).isEqualTo(2);
            assertThat(host.program.locked().user()).isZero();
            assertThat(unmapAll(APERTURE)).isEqualTo(error(Errno.EINVAL));
            assertThat(unmapAll(0)).isEqualTo(2 * PAGE);
        }

        /** Unlike a container of VFIO's own: pages of a device are none that can be held. */
        @Test
        void aBarIsMappedByNoCallOfThisFile() {
            int ioas = host.ioas();
            host.mockDomain(ioas);
            assertThat(vfioIoas(VFIO_IOAS_SET, ioas)).isZero();
            long bar = host.program.mmap(new ProgramStub.Memory(PAGE, true), 0, PAGE, true);
            assertThat(host.map(ioas, bar, PAGE)).isEqualTo(error(Errno.EFAULT));
            assertThat(mapDma(bar, PAGE)).isEqualTo(error(Errno.EFAULT));
            assertThat(unmapAll(0)).as("nothing has been mapped").isZero();
        }

        private long mapDma(long address, long length) {
            return host.program
                    .struct(VfioType1.MAP_LENGTH)
                    .with(VfioType1.MAP_FLAGS, 3)
                    .with(VfioType1.MAP_VADDR, address)
                    .with(VfioType1.MAP_IOVA, APERTURE)
                    .with(VfioType1.MAP_SIZE, length)
                    .call(host.file, VfioType1.IOMMU_MAP_DMA & 0xff);
        }

        private long unmapAll(long iova) {
            ProgramStub.Struct unmap =
                    host.program
                            .struct(VfioType1.UNMAP_LENGTH)
                            .with(VfioType1.UNMAP_FLAGS, VfioType1.UNMAP_FLAG_ALL)
                            .with(VfioType1.UNMAP_IOVA, iova);
            long result = unmap.call(host.file, VfioType1.IOMMU_UNMAP_DMA & 0xff);
            return result == 0 ? unmap.getLong(VfioType1.UNMAP_SIZE) : result;
        }

        @Test
        void informationHasAChainOfCapabilitiesIfThereIsRoom() {
            int ioas = host.ioas();
            host.mockDomain(ioas);
            assertThat(vfioIoas(VFIO_IOAS_SET, ioas)).isZero();
            ProgramStub.Struct small = host.program.struct(VfioType1.INFO_SIZE);
            assertThat(small.call(host.file, VfioType1.IOMMU_GET_INFO & 0xff)).isZero();
            int needed = small.getInt(VfioType1.INFO_ARGSZ);
            assertThat(needed).isGreaterThan(VfioType1.INFO_SIZE);
            assertThat(small.getInt(VfioType1.INFO_CAP_OFFSET)).isZero();
            ProgramStub.Struct whole = host.program.struct(needed);
            assertThat(whole.call(host.file, VfioType1.IOMMU_GET_INFO & 0xff)).isZero();
            int at = whole.getInt(VfioType1.INFO_CAP_OFFSET);
            boolean[] seen = new boolean[4];
            for (int count = 0; at != 0; count++) {
                assertThat(count).isLessThan(2);
                int id = whole.getInt(at + VfioType1.CAP_ID) & 0xffff;
                seen[id] = true;
                if (id == VfioType1.CAP_DMA_AVAIL) {
                    assertThat(whole.getInt(at + VfioType1.CAP_DMA_AVAIL_AVAIL)).isEqualTo(-1);
                }
                at = whole.getInt(at + VfioType1.CAP_NEXT);
            }
            assertThat(seen[VfioType1.CAP_IOVA_RANGE] && seen[VfioType1.CAP_DMA_AVAIL]).isTrue();
        }
    }
}
