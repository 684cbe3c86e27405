// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.iommufd.nesting.Recorder.words;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_DIRTY_TRACKING;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.IommufdNesting.*;
import static org.ioasis.spec.VirtioIommuTables.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.iommufd.engine.NestedMachine;
import org.ioasis.memory.Dma;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** First stages of VT-d at {@code /dev/iommu}: which there can be, and what goes through one. */
class VtdNestedTest {
    private static final long ADDRESS = 0x12_3456_7000L;

    private final NestedMachine machine =
            new NestedMachine(VtdIommu.maker(VtdIommu.CAP, VtdIommu.ECAP));
    private final long root = machine.allocate();

    VtdNestedTest() throws IommufdException {}

    @AfterEach
    void end() {
        machine.close(5);
    }

    private NestedHwpt table(int type, int flags, long... words) throws IommufdException {
        return machine.parent.allocateNested(
                machine.device, flags, UserData.of(type, words(words)), null);
    }

    @Test
    @Tag("S28")
    void aFirstStageIsLookedAtWhenItIsMadeAndEachMistakeHasItsNumber() throws IommufdException {
        refuses(Errno.EOPNOTSUPP, () -> table(HWPT_DATA_SMMUV3, 0, 0, root, 48));
        refuses(
                Errno.EOPNOTSUPP,
                () -> table(HWPT_DATA_VTD_S1, HWPT_ALLOC_DIRTY_TRACKING, 0, root, 48));
        refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, 0, root));
        refuses(Errno.E2BIG, () -> table(HWPT_DATA_VTD_S1, 0, 0, root, 48, 1));
        refuses(Errno.EOPNOTSUPP, () -> table(HWPT_DATA_VTD_S1, 0, 8, root, 48));
        refuses(Errno.EOPNOTSUPP, () -> table(HWPT_DATA_VTD_S1, 0, 0, root, 48 | 1L << 32));
        for (int width : new int[] {0, 39, 47, 49, 56, 58, 64}) {
            refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, 0, root, width));
        }
        refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, VTD_S1_SRE, root, 48));
        refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, 0, root + 8, 48));
        refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, 0, 1L << 52, 48));
        assertThat(table(HWPT_DATA_VTD_S1, 0, 0, root, 57, 0)).isNotNull();
        assertThat(table(HWPT_DATA_VTD_S1, 0, VTD_S1_EAFE | VTD_S1_WPE, root, 48)).isNotNull();
        refuses(
                Errno.EOPNOTSUPP,
                () -> machine.parent.allocateViommu(machine.device, VIOMMU_SMMUV3, null));
    }

    @Test
    @Tag("S28")
    void q6WhatTheIommuDoesNotHaveIsRefusedBeforeADeviceIsBlocked() throws IommufdException {
        long page = machine.allocate();
        machine.set(page, 7);
        machine.device.attach(machine.parent.id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        refuses(Errno.EINVAL, () -> table(HWPT_DATA_VTD_S1, 0, VTD_S1_SRE, root, 48));
        assertThat(machine.read(dma, page)).isEqualTo(7);
    }

    @Test
    @Tag("S28")
    void aDeviceGoesThroughBothStagesAndBackToOne() throws IommufdException {
        long page = machine.allocate();
        machine.set(page, 0x11);
        machine.map(root, ADDRESS, page | 7, 7);
        NestedHwpt table = table(HWPT_DATA_VTD_S1, HWPT_ALLOC_PASID, 0, root, 48);
        Dma dma = machine.dma(NO_PASID);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(-1);
        machine.device.attach(table.id(), NO_PASID);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(0x11);
        assertThat(machine.read(dma, page)).as("an address between the stages").isEqualTo(-1);
        machine.device.replace(machine.parent.id(), NO_PASID);
        assertThat(machine.read(dma, page)).isEqualTo(0x11);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(-1);
        machine.device.detach(NO_PASID);
        assertThat(machine.read(dma, page)).isEqualTo(-1);
    }

    @Test
    @Tag("S28")
    void whatAGuestsTableCameToIsCounted() throws IommufdException {
        long page = machine.allocate();
        machine.map(root, ADDRESS, page | 7, 7);
        machine.device.attach(machine.parent.id(), NO_PASID);
        Dma dma = machine.dma(NO_PASID);
        assertThat(machine.read(dma, page)).isZero();
        assertThat(machine.iommu.tableCounts()).isEqualTo(new GuestTableCounts(0, 0, 0, 0, 0));

        NestedHwpt table = table(HWPT_DATA_VTD_S1, 0, 0, root, 48);
        machine.device.replace(table.id(), NO_PASID);
        for (int i = 0; i < 3; i++) {
            assertThat(machine.read(dma, ADDRESS)).isZero();
        }
        assertThat(machine.read(dma, 0)).isEqualTo(-1);
        assertThat(machine.iommu.tableCounts()).isEqualTo(new GuestTableCounts(1, 1, 0, 0, 1));
        assertThat(machine.hardware.counts().walked()).as("two by the IOTLB").isEqualTo(3);
        assertThat(machine.hardware.counts().translations()).as("one by the parent").isEqualTo(4);

        table.invalidate(INVALIDATE_VTD_S1, words(ADDRESS, 1, 0, 0, -1, 0), 0, 24, 2);
        table.invalidate(INVALIDATE_VTD_S1, words(ADDRESS, 1, 8), 0, 24, 1);
        table.invalidate(
                INVALIDATE_VIRTIO, virtio(GRANULARITY_DOMAIN, 0, 0), 0, INVALIDATE_SIZE, 1);
        assertThat(machine.read(dma, ADDRESS)).isZero();
        assertThat(machine.iommu.tableCounts()).isEqualTo(new GuestTableCounts(1, 1, 2, 1, 2));
    }

    private static MemorySegment virtio(int granularity, long start, long pages) {
        MemorySegment request = Arena.ofAuto().allocate(INVALIDATE_SIZE, 8);
        request.set(JAVA_BYTE, INVALIDATE_HEAD, (byte) T_INVALIDATE);
        request.set(JAVA_SHORT, INVALIDATE_GRANULARITY, (short) granularity);
        request.set(JAVA_SHORT, INVALIDATE_TYPE, (short) TYPE_IOTLB);
        request.set(JAVA_SHORT, INVALIDATE_FLAGS, (short) FLAG_PASID);
        request.set(JAVA_INT, INVALIDATE_PASID, 5);
        request.set(JAVA_LONG, INVALIDATE_VIRT_START, start);
        request.set(JAVA_LONG, INVALIDATE_NR_PAGES, pages);
        request.set(JAVA_BYTE, INVALIDATE_GRANULE, (byte) 12);
        return request;
    }

    @Test
    @Tag("S28")
    @Tag("S30")
    void whatIsKeptIsUsedUntilItIsTakenAwayInWhicheverFormat() throws IommufdException {
        NestedHwpt table = table(HWPT_DATA_VTD_S1, HWPT_ALLOC_PASID, 0, root, 48);
        machine.device.attach(table.id(), 5);
        Dma dma = machine.dma(5);
        long[] pages = new long[6];
        for (int i = 0; i < pages.length; i++) {
            pages[i] = machine.allocate();
            machine.set(pages[i], i);
        }
        machine.map(root, ADDRESS, pages[0] | 7, 7);
        assertThat(machine.read(dma, ADDRESS)).isZero();
        machine.map(root, ADDRESS, pages[1] | 7, 7);
        assertThat(machine.read(dma, ADDRESS)).as("kept").isZero();
        table.invalidate(INVALIDATE_VTD_S1, words(ADDRESS + 0x1000, 1, 0), 0, 24, 1);
        assertThat(machine.read(dma, ADDRESS)).as("another page was named").isZero();
        table.invalidate(INVALIDATE_VTD_S1, words(ADDRESS, 1, 0), 0, 24, 1);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(1);
        machine.map(root, ADDRESS, pages[2] | 7, 7);
        table.invalidate(INVALIDATE_VTD_S1, words(0, -1, 0), 0, 24, 1);
        assertThat(machine.read(dma, ADDRESS)).isEqualTo(2);
        MemorySegment[] requests = {
            virtio(GRANULARITY_VA, ADDRESS, 1),
            virtio(GRANULARITY_PASID, 0, 0),
            virtio(GRANULARITY_DOMAIN, 0, 0)
        };
        for (int i = 0; i < requests.length; i++) {
            machine.map(root, ADDRESS, pages[3 + i] | 7, 7);
            assertThat(machine.read(dma, ADDRESS)).isEqualTo(2 + i);
            assertThat(table.invalidate(INVALIDATE_VIRTIO, requests[i], 0, INVALIDATE_SIZE, 1))
                    .isEqualTo(Handled.all(1));
            assertThat(machine.read(dma, ADDRESS)).isEqualTo(3 + i);
        }
    }

    @Test
    @Tag("S29")
    @Tag("S30")
    void whatIsTakenAwayIsOutOfUseWhenItIsAnsweredInWhicheverFormat() throws IommufdException {
        NestedHwpt table = table(HWPT_DATA_VTD_S1, 0, 0, root, 48);
        MemorySegment pages = words(ADDRESS, 1, 0);
        assertThat(
                        machine.waitsForAccess(
                                () -> table.invalidate(INVALIDATE_VTD_S1, pages, 0, 24, 1)))
                .isTrue();
        MemorySegment request = virtio(GRANULARITY_VA, ADDRESS, 1);
        assertThat(
                        machine.waitsForAccess(() ->
                                table.invalidate(
                                        INVALIDATE_VIRTIO, request, 0, INVALIDATE_SIZE, 1)))
                .isTrue();
        assertThat(
                        machine.waitsForAccess(
                                () -> table.invalidate(INVALIDATE_VTD_S1, pages, 0, 24, 0)))
                .as("nothing was taken away")
                .isFalse();
    }

    @Test
    @Tag("S29")
    void aTypeIsAskedForWithoutEntries() throws IommufdException {
        NestedHwpt table = table(HWPT_DATA_VTD_S1, 0, 0, root, 48);
        MemorySegment none = MemorySegment.NULL;
        assertThat(table.invalidate(INVALIDATE_VTD_S1, none, 0, 0, 0)).isZero();
        assertThat(table.invalidate(INVALIDATE_VIRTIO, none, 0, 0, 0)).isZero();
        assertThat(Handled.refusal(table.invalidate(INVALIDATE_SMMUV3, none, 0, 0, 0)))
                .isEqualTo(InvalidationRefusal.TYPE);
    }

    @Test
    void atTheLimitOfNumbersATableIsRefused() throws IommufdException {
        for (int number = 1; number < 1 << 16; number++) {
            assertThat(machine.iommu.newTag()).isEqualTo(number);
        }
        refuses(Errno.ENOSPC, () -> table(HWPT_DATA_VTD_S1, 0, 0, root, 48));
    }

    @Test
    void aTableThatThereIsNoDomainForKeepsNoNumber() throws IommufdException {
        // The parent is a domain, too.
        for (int i = 1; i < IommuOptions.DEFAULT.domainLimit(); i++) {
            table(HWPT_DATA_VTD_S1, 0, 0, root, 48);
        }
        int next = machine.iommu.newTag();
        refuses(Errno.ENOMEM, () -> table(HWPT_DATA_VTD_S1, 0, 0, root, 48));
        assertThat(machine.iommu.newTag()).isEqualTo(next + 1);
    }

    @Test
    void informationHasBothRegistersOfCapabilities() throws IommufdException {
        assertThat(machine.hardware.info(HW_INFO_VTD)).isNotNull();
        refuses(Errno.EOPNOTSUPP, () -> machine.hardware.info(HW_INFO_SMMUV3));
    }
}
