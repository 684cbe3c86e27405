// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.iommufd.engine.NestedMachine.PAGE;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.IommufdNesting.*;
import static org.ioasis.spec.Smmuv3Command.*;
import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.HwQueue;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Veventq;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.engine.NestedMachine;
import org.ioasis.memory.Dma;
import org.ioasis.spec.Tegra241;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A guest's SMMUv3 at {@code /dev/iommu}: entries, streams, commands, events and queues. */
class Smmuv3NestedTest {
    private static final long ADDRESS = 0x12_3456_7000L;
    private static final int NAME = 0x77;
    private static final long VALID = 1;
    private static final long BYPASS = 4 << 1;
    private static final long STAGE1 = 5 << 1;
    private static final int ASID = 9;

    /** Present, accessed, for anybody, not global. */
    private static final long LEAF_BITS = 3 | 1 << 6 | 1 << 10 | 1 << 11;

    private final NestedMachine machine = new NestedMachine(Smmuv3Iommu.makerWithQueues());
    private final Viommu viommu =
            machine.parent.allocateViommu(machine.device, VIOMMU_SMMUV3, null);
    private final long contexts = machine.allocate();
    private final long root = machine.allocate();

    Smmuv3NestedTest() throws IommufdException {
        context(0, ASID, root);
    }

    @AfterEach
    void end() {
        machine.close();
    }

    /** A context descriptor: 48 bits with 4 KiB pages. */
    private void context(int substream, long asid, long table) {
        long at = contexts + 64L * substream;
        machine.set(at, 16 | 1 << 30 | 1L << 31 | 5L << 32 | 1L << 41 | asid << 48);
        machine.set(at + 8, table);
    }

    private NestedHwpt entry(long word0, long word1) throws IommufdException {
        return viommu.allocateNested(
                machine.device, 0, UserData.of(HWPT_DATA_SMMUV3, words(word0, word1)), null);
    }

    private void run(long... commands) {
        assertThat(
                        viommu.invalidate(
                                INVALIDATE_SMMUV3, words(commands), 0, 16, commands.length / 2))
                .isEqualTo(Handled.all(commands.length / 2));
    }

    private long page(long word) {
        long page = machine.allocate();
        machine.set(page, word);
        return page;
    }

    private void lead(long table, long to) {
        machine.map(table, ADDRESS, to | LEAF_BITS, 3);
    }

    @Test
    @Tag("S28")
    void anEntrySaysWhatAGuestMaySayOrItIsEio() throws IommufdException {
        assertThat(entry(0, -1)).as("not valid, whatever else").isNotNull();
        assertThat(entry(~VALID, -1)).isNotNull();
        assertThat(entry(VALID, 0)).as("abort").isNotNull();
        assertThat(entry(VALID | BYPASS, 0)).isNotNull();
        assertThat(entry(VALID | STAGE1 | contexts, 0xff | 1 << 27 | 1 << 28)).isNotNull();
        for (long config = 0; config < 8; config++) {
            if (config != 0 && config != 4 && config != 5) {
                long word0 = VALID | config << 1;
                refuses(Errno.EIO, () -> entry(word0, 0));
            }
        }
        int refused = 0;
        for (int bit = 0; bit < 128; bit++) {
            boolean isGuests =
                    bit <= 51 || (bit >= 59 && bit < 72) || (bit >= 64 + 27 && bit <= 64 + 28);
            long word0 = VALID | STAGE1 | contexts | (bit < 64 ? 1L << bit : 0);
            long word1 = bit < 64 ? 0 : 1L << (bit - 64);
            if (!isGuests) {
                refuses(Errno.EIO, () -> entry(word0, word1));
                refused++;
            }
        }
        assertThat(refused).isEqualTo(7 + 56 - 2);
        refuses(Errno.EIO, () -> entry(VALID | STAGE1, 2 << 28));
    }

    @Test
    @Tag("S28")
    void dataAndFlagsOfAnEntryFitOrHaveTheirNumber() {
        UserData data = UserData.of(HWPT_DATA_SMMUV3, words(VALID, 0));
        refuses(
                Errno.EOPNOTSUPP,
                () -> viommu.allocateNested(machine.device, HWPT_ALLOC_PASID, data, null));
        refuses(
                Errno.EINVAL,
                () ->
                        viommu.allocateNested(
                                machine.device,
                                0,
                                UserData.of(HWPT_DATA_VTD_S1, words(VALID, 0)),
                                null));
        refuses(
                Errno.EINVAL,
                () ->
                        viommu.allocateNested(
                                machine.device, 0, UserData.of(HWPT_DATA_SMMUV3, words(1)), null));
        refuses(
                Errno.E2BIG,
                () ->
                        viommu.allocateNested(
                                machine.device,
                                0,
                                UserData.of(HWPT_DATA_SMMUV3, words(1, 0, 1)),
                                null));
        refuses(
                Errno.EOPNOTSUPP,
                () -> machine.parent.allocateNested(machine.device, 0, data, null));
    }

    @Test
    @Tag("S28")
    void contextsNeedANameOfTheDeviceAndAbortAndBypassDoNot() throws IommufdException {
        long page = page(0x33);
        lead(root, page);
        Dma dma = machine.dma(NO_PASID);
        NestedHwpt stage1 = entry(VALID | STAGE1 | contexts, 0);
        refuses(Errno.ENOENT, () -> machine.device.attach(stage1.id(), NO_PASID));
        machine.device.attach(entry(VALID | BYPASS, 0).id(), NO_PASID);
        assertThat(machine.read(dma, page)).isEqualTo(0x33);
        machine.device.replace(entry(VALID, 0).id(), NO_PASID);
        assertThat(machine.read(dma, page)).isEqualTo(-1);
        viommu.allocateDevice(machine.device, NAME);
        machine.device.replace(stage1.id(), NO_PASID);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(0x33);
        assertThat(machine.read(dma, page)).isEqualTo(-1);
    }

    @Test
    @Tag("S28")
    void aContextIsAnotherWhenTheGuestHasSaidSo() throws IommufdException {
        viommu.allocateDevice(machine.device, NAME);
        long otherRoot = machine.allocate();
        lead(root, page(1));
        lead(otherRoot, page(2));
        machine.device.attach(entry(VALID | STAGE1 | contexts | 4L << 59, 2).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        Dma withPasid = machine.dma(3);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        assertThat(machine.read(withPasid, ADDRESS)).as("no context of it").isEqualTo(-1);
        context(3, ASID + 1, otherRoot);
        assertThat(machine.read(withPasid, ADDRESS)).isEqualTo(-1);
        run(CFGI_CD | (long) NAME << 32 | 3 << 12, LEAF);
        assertThat(machine.read(withPasid, ADDRESS)).isEqualTo(2);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        context(0, ASID + 1, otherRoot);
        run(CFGI_CD_ALL | (long) NAME << 32, 0);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
        machine.device.detach(NO_PASID);
        assertThat(machine.read(withPasid, ADDRESS)).as("with the device").isEqualTo(-1);
    }

    @Test
    @Tag("S28")
    @Tag("S29")
    void whatIsKeptGoesByItsScopeAndNothingElseDoes() throws IommufdException {
        viommu.allocateDevice(machine.device, NAME);
        machine.device.attach(entry(VALID | STAGE1 | contexts, 0).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        long[][] scopes = {
            {TLBI_NH_VA | (long) ASID << 48, ADDRESS},
            {TLBI_NH_VAA, ADDRESS},
            {TLBI_NH_ASID | (long) ASID << 48, 0},
            {TLBI_NH_ALL, 0},
            {TLBI_NSNH_ALL, 0}
        };
        long[][] others = {
            {TLBI_NH_VA | (long) (ASID + 1) << 48, ADDRESS},
            {TLBI_NH_VA | (long) ASID << 48, ADDRESS + PAGE},
            {TLBI_NH_ASID | (long) (ASID + 1) << 48, 0},
            {ATC_INV | (long) NAME << 32, ATC_SIZE_ALL}
        };
        lead(root, page(0));
        assertThat(machine.read(dma, ADDRESS)).isZero();
        for (int i = 0; i < scopes.length; i++) {
            lead(root, page(i + 1));
            for (long[] other : others) {
                run(other);
                assertThat(machine.read(dma, ADDRESS)).as("kept").isEqualTo(i);
            }
            run(scopes[i]);
            assertThat(machine.read(dma, ADDRESS)).isEqualTo(i + 1);
        }
    }

    @Test
    @Tag("S29")
    void aGlobalEntryOutlivesItsSpaceAndGoesWithItsAddress() throws IommufdException {
        viommu.allocateDevice(machine.device, NAME);
        machine.device.attach(entry(VALID | STAGE1 | contexts, 0).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        machine.map(root, ADDRESS, page(1) | (LEAF_BITS & ~(1L << 11)), 3);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        machine.map(root, ADDRESS, page(2) | LEAF_BITS, 3);
        run(TLBI_NH_ASID | (long) ASID << 48, 0);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        run(TLBI_NH_VA | (long) ASID << 48, ADDRESS);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
    }

    private static MemorySegment virtio(int granularity, int asid) {
        MemorySegment request = Arena.ofAuto().allocate(INVALIDATE_SIZE, 8);
        request.set(JAVA_BYTE, INVALIDATE_HEAD, (byte) T_INVALIDATE);
        request.set(JAVA_SHORT, INVALIDATE_GRANULARITY, (short) granularity);
        request.set(JAVA_SHORT, INVALIDATE_TYPE, (short) TYPE_IOTLB);
        request.set(JAVA_SHORT, INVALIDATE_FLAGS, (short) FLAG_ARCHID);
        request.set(JAVA_LONG, INVALIDATE_VIRT_START, ADDRESS);
        request.set(JAVA_LONG, INVALIDATE_NR_PAGES, 1);
        request.set(JAVA_BYTE, INVALIDATE_GRANULE, (byte) 12);
        request.set(JAVA_LONG, INVALIDATE_ARCHID, asid);
        return request;
    }

    @Test
    @Tag("S29")
    @Tag("S30")
    void whatIsTakenAwayIsOutOfUseWhenItIsAnsweredInWhicheverFormat() {
        assertThat(machine.waitsForAccess(() -> run(TLBI_NH_VA | (long) ASID << 48, ADDRESS)))
                .isTrue();
        MemorySegment request = virtio(GRANULARITY_VA, ASID);
        assertThat(
                        machine.waitsForAccess(() ->
                                viommu.invalidate(
                                        INVALIDATE_VIRTIO, request, 0, INVALIDATE_SIZE, 1)))
                .isTrue();
    }

    @Test
    @Tag("S30")
    void theFormatOfVirtioHasTheSameEffect() throws IommufdException {
        viommu.allocateDevice(machine.device, NAME);
        machine.device.attach(entry(VALID | STAGE1 | contexts, 0).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        lead(root, page(0));
        assertThat(machine.read(dma, ADDRESS)).isZero();
        int[] granularities = {GRANULARITY_VA, GRANULARITY_PASID, GRANULARITY_DOMAIN};
        for (int i = 0; i < granularities.length; i++) {
            lead(root, page(i + 1));
            MemorySegment request = virtio(granularities[i], ASID + 1);
            if (granularities[i] != GRANULARITY_DOMAIN) {
                viommu.invalidate(INVALIDATE_VIRTIO, request, 0, INVALIDATE_SIZE, 1);
                assertThat(machine.read(dma, ADDRESS)).as("another space").isEqualTo(i);
            }
            request.set(JAVA_LONG, INVALIDATE_ARCHID, ASID);
            assertThat(viommu.invalidate(INVALIDATE_VIRTIO, request, 0, INVALIDATE_SIZE, 1))
                    .isEqualTo(Handled.all(1));
            assertThat(machine.read(dma, ADDRESS)).isEqualTo(i + 1);
        }
    }

    @Test
    @Tag("S29")
    void q4AndQ5TheCountIsTheIndexAndATypeIsAskedForWithoutEntries() throws IommufdException {
        MemorySegment array = words(TLBI_NH_ALL, 0, CFGI_CD | 5L << 32, 0, TLBI_NH_ALL, 0);
        long handled = viommu.invalidate(INVALIDATE_SMMUV3, array, 0, 16, 3);
        assertThat(Handled.done(handled)).isEqualTo(1);
        assertThat(Handled.refusal(handled)).isEqualTo(InvalidationRefusal.DEVICE);
        assertThat(viommu.invalidate(INVALIDATE_SMMUV3, MemorySegment.NULL, 0, 0, 0)).isZero();
        assertThat(Handled.refusal(viommu.invalidate(INVALIDATE_VTD_S1, array, 0, 16, 1)))
                .isEqualTo(InvalidationRefusal.TYPE);
        NestedHwpt table = entry(VALID, 0);
        assertThat(Handled.refusal(table.invalidate(INVALIDATE_SMMUV3, array, 0, 16, 1)))
                .isEqualTo(InvalidationRefusal.UNSUPPORTED);
    }

    @Test
    @Tag("S03")
    void theGuestHearsOfFaultsOfItsOwnStageByItsOwnNameAndOfWhatWasLost() throws IommufdException {
        Veventq events = viommu.allocateEvents(VEVENTQ_SMMUV3, 2);
        viommu.allocateDevice(machine.device, NAME);
        machine.device.attach(entry(VALID | STAGE1 | contexts, 0).id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        for (int i = 0; i < 3; i++) {
            assertThat(machine.read(dma, ADDRESS + i * PAGE)).isEqualTo(-1);
        }
        assertThat(machine.reportFaults()).isEqualTo(3);
        for (int i = 0; i < 2; i++) {
            Veventq.Taken event = requireNonNull(events.take());
            assertThat(event.sequence()).isEqualTo(i);
            ByteBuffer record = ByteBuffer.wrap(event.data()).order(ByteOrder.LITTLE_ENDIAN);
            assertThat(record.getLong(0)).isEqualTo(F_TRANSLATION | (long) NAME << 32);
            assertThat(record.getLong(8)).isEqualTo(EVENT_READ | 2L << EVENT_CLASS_SHIFT);
            assertThat(record.getLong(16)).isEqualTo(ADDRESS + i * PAGE);
        }
        Veventq.Taken lost = requireNonNull(events.take());
        assertThat(lost.isLost()).isTrue();
        assertThat(lost.sequence()).isEqualTo(2);
        machine.map(root, ADDRESS, 0x8_0000_0000L | LEAF_BITS, 3);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(-1);
        machine.reportFaults();
        assertThat(events.take()).as("stage 2 is the host's").isNull();
    }

    @Nested
    class Queues {
        private static final long LENGTH = 8 * SIZE;

        private final MemorySegment told = words(0, 0);
        private final Viommu direct =
                machine.parent.allocateViommu(
                        machine.device, VIOMMU_TEGRA241, UserData.of(VIOMMU_TEGRA241, told));
        private final long memory = machine.allocate();

        Queues() throws IommufdException {}

        private HwQueue queue(int index, long at, long length) throws IommufdException {
            return direct.allocateQueue(HW_QUEUE_TEGRA241, index, at, length);
        }

        @ParameterizedTest
        @ValueSource(longs = {0, 16, 24, 48, 100})
        @Tag("S32")
        void aQueueIsAPowerOfTwoOfEntriesAndAlignedToItsLength(long length) {
            refuses(Errno.EINVAL, () -> queue(0, memory, length));
            refuses(Errno.EINVAL, () -> queue(0, memory + 64, LENGTH));
            refuses(Errno.EOPNOTSUPP, () -> direct.allocateQueue(7, 0, memory, LENGTH));
        }

        @Test
        @Tag("S32")
        void queuesComeInOrderGoInReverseAndKeepTheirMemory() throws IommufdException {
            refuses(Errno.EIO, () -> queue(1, memory, LENGTH));
            HwQueue first = queue(0, memory, LENGTH);
            refuses(Errno.EEXIST, () -> queue(0, memory, LENGTH));
            HwQueue second = queue(1, memory + LENGTH, LENGTH);
            refuses(Errno.EINVAL, () -> queue(2, memory, LENGTH));
            refuses(Errno.EBUSY, () -> machine.context.destroy(first.id()));
            refuses(
                    Errno.EBUSY,
                    () -> machine.ioas.unmap(NestedMachine.FIRST, NestedMachine.PAGES * PAGE));
            machine.context.destroy(second.id());
            machine.context.destroy(first.id());
            machine.ioas.unmap(NestedMachine.FIRST, NestedMachine.PAGES * PAGE);
            refuses(Errno.ENOENT, () -> queue(0, memory, LENGTH));
            assertThat(told.get(JAVA_LONG, TEGRA241_MMAP_LENGTH)).isEqualTo(Tegra241.PAGE_SIZE);
        }

        @Test
        @Tag("S32")
        @Tag("S33")
        void whatTheGuestPutsIntoItsMemoryTakesEffectWithoutACall() throws IommufdException {
            refuses(Errno.EINVAL, () -> direct.allocateDevice(machine.device, 1 << 20));
            direct.allocateDevice(machine.device, NAME);
            NestedHwpt table =
                    direct.allocateNested(
                            machine.device,
                            0,
                            UserData.of(HWPT_DATA_SMMUV3, words(VALID | STAGE1 | contexts, 0)),
                            null);
            machine.device.attach(table.id(), NO_PASID);
            Veventq events = direct.allocateEvents(VEVENTQ_TEGRA241, 4);
            queue(0, memory, LENGTH);
            queue(1, memory + LENGTH, LENGTH);
            MemorySegment registers = requireNonNull(direct.window());
            long second = Tegra241.QUEUE_STRIDE;
            registers.set(JAVA_INT, Tegra241.CONFIG, Tegra241.ENABLED);
            registers.set(JAVA_INT, second + Tegra241.CONFIG, Tegra241.ENABLED);
            Dma dma = machine.dma(NO_PASID);
            lead(root, page(1));
            assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
            lead(root, page(2));
            machine.set(memory, TLBI_NH_VA | (long) ASID << 48);
            machine.set(memory + 8, ADDRESS);
            machine.set(memory + 16, SYNC);
            registers.set(JAVA_INT, Tegra241.PROD, 2);
            machine.set(memory + LENGTH, TLBI_NH_ALL);
            registers.set(JAVA_INT, second + Tegra241.PROD, 1);
            assertThat(machine.read(dma, ADDRESS)).as("nobody has come by").isEqualTo(1);

            assertThat(machine.waitsForAccess(() -> assertThat(direct.poll()).isEqualTo(2)))
                    .as("out of use before the guest sees them as consumed")
                    .isTrue();

            assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
            assertThat(registers.get(JAVA_INT, Tegra241.CONS)).isEqualTo(2);
            Veventq.Taken event = requireNonNull(events.take());
            assertThat(ByteBuffer.wrap(event.data()).order(ByteOrder.LITTLE_ENDIAN).getLong(0))
                    .as("the second queue has failed")
                    .isEqualTo(1 << 1);
            assertThat(events.take()).isNull();
        }
    }
}
