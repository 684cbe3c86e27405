// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.request;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommu.StateText;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Statements of virtio 1.4, 5.13, and what the drafts before it were asked for, on the wire: what
 * {@link VirtioIommuDeviceTest} does not show in passing. Each test names requests and statuses.
 */
class StatementsTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final int LIST = 512;

    /** The setting of T3: the whole suite runs with both. */
    boolean isDetachingByEndpoint() {
        return false;
    }

    private final Driver d = Driver.started(Driver.options(isDetachingByEndpoint()));
    private final Dma dma = d.plug(1);

    private IommuOptions options(long granule, long inputFirst, long inputLast, int limit) {
        return IommuOptions.builder()
                .pageSizeMask(granule)
                .inputRange(inputFirst, inputLast)
                .bypassAtStart(false)
                .detachByEndpoint(isDetachingByEndpoint())
                .endpointLimit(16)
                .domainLimit(8)
                .mappingLimit(limit)
                .build();
    }

    private static Outcome access(Dma dma, long iova, Access access) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, access);
        } finally {
            dma.leave();
        }
    }

    private static void refused(Driver driver, int status, byte[] request) {
        String before = StateText.of(driver.iommu);
        assertThat(driver.status(request)).isEqualTo(status);
        assertThat(StateText.of(driver.iommu)).isEqualTo(before);
    }

    private void refused(int status, byte[] request) {
        refused(d, status, request);
    }

    private static EndpointProperties reserving(long first, long last, Kind kind) {
        return EndpointProperties.reserving(List.of(new ReservedRegion(first, last, kind)));
    }

    /** The regions that PROBE tells of, as "subtype first..last". */
    private static List<String> probed(Driver driver, int endpoint) {
        Answer answer = driver.ask(probe(endpoint), LIST + TAIL_SIZE);
        assertThat(answer.written()).isEqualTo(LIST + TAIL_SIZE);
        assertThat(answer.status()).isEqualTo(S_OK);
        ByteBuffer list = ByteBuffer.wrap(answer.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        List<String> regions = new ArrayList<>();
        while (list.getShort(list.position()) != 0) {
            assertThat(list.getInt()).isEqualTo(20 << 16 | 1);
            regions.add("%d %x..%x".formatted(list.getInt(), list.getLong(), list.getLong()));
        }
        while (list.position() < LIST) {
            assertThat(list.get()).isZero();
        }
        return regions;
    }

    // --- features

    @Test
    @Tag("D-02")
    @Tag("D-03")
    @DisplayName("D-02, D-03: the old BYPASS only when asked for, and never with BYPASS_CONFIG")
    void bothBypassFeaturesAreRefused() {
        long old = F_MAP_UNMAP | F_INPUT_RANGE | F_DOMAIN_RANGE | F_BYPASS;
        assertThat(new Driver(OPTIONS).device.deviceFeatures() & F_BYPASS).isZero();
        assertThat(new Driver(OPTIONS, old).device.deviceFeatures() & (F_BYPASS | F_BYPASS_CONFIG))
                .isEqualTo(F_BYPASS);
        assertThatThrownBy(() -> new Driver(OPTIONS, old | F_BYPASS_CONFIG))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Driver(OPTIONS, old | 1L << 7))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Driver(options(0x1000, 0, 0xffff, 8), F_MAP_UNMAP))
                .as("a range that nobody tells the driver of")
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    @Tag("P-11")
    @DisplayName("P-11: the old BYPASS holds once it is negotiated, and not before or after")
    void oldBypassHoldsWhileItIsNegotiated() {
        Driver old =
                new Driver(
                        IommuOptions.builder()
                                .detachByEndpoint(false)
                                .endpointLimit(16)
                                .domainLimit(8)
                                .mappingLimit(64)
                                .build(),
                        F_MAP_UNMAP | F_INPUT_RANGE | F_DOMAIN_RANGE | F_BYPASS);
        Dma oldDma = old.plug(1);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);

        old.start(F_MAP_UNMAP | F_BYPASS);

        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(old.device.readConfig(CONFIG_BYPASS, 1)).as("no such field").isZero();
        old.device.writeConfig(CONFIG_BYPASS, 1, 0);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(old.status(attach(1, 7, ATTACH_F_BYPASS))).isEqualTo(S_INVAL);
        assertThat(old.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(old.status(detach(1, 7))).isEqualTo(S_OK);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        old.device.writeStatus(0);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
        old.start(F_MAP_UNMAP);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
        old.device.systemReset();
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("D-48")
    @DisplayName("D-48: PROBE where it is not offered goes back unwritten")
    void probeThatIsNotOfferedIsNotAnswered() {
        Driver without = new Driver(OPTIONS, VirtioIommuDevice.FEATURES & ~F_PROBE);
        without.plug(1);
        without.start(without.type.features());

        Answer answer = without.ask(probe(1), LIST + TAIL_SIZE);

        assertThat(answer.written()).isZero();
        assertThat(answer.bytes()).containsOnly(0xee);
        assertThat(without.device.readConfig(CONFIG_PROBE_SIZE, 4)).isZero();
        assertThat(without.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }

    @Test
    @Tag("D-04")
    @DisplayName("D-04: no IOMMU can be made without a page size")
    void anEmptyPageSizeMaskIsRefused() {
        assertThatThrownBy(() -> options(0, 0, -1L, 8))
                .isInstanceOf(IllegalArgumentException.class);
        for (long mask : new long[] {1, 0x1000, Long.MIN_VALUE}) {
            Driver any = new Driver(options(mask, 0, -1L, 8));
            assertThat(any.device.readConfig(CONFIG_PAGE_SIZE_MASK, 8)).isEqualTo(mask);
        }
    }

    // --- endpoints and domains

    @Test
    @Tag("D-20")
    @Tag("D-26")
    @DisplayName("D-20, D-26: an endpoint that cannot join others is UNSUPP, and stays out")
    void whatCannotShareADomainIsUnsupp() {
        d.plug(2, new EndpointProperties(0x10000, 0, -1L, ReservedWindows.NONE));
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(d.status(map(7, 0x1000, 0x1fff, DMA, RW))).isEqualTo(S_OK);

        refused(S_UNSUPP, attach(2, 7, 0));

        assertThat(requireNonNull(d.iommu.endpoint(2)).isAttached()).isFalse();
    }

    @Test
    @Tag("D-24")
    @DisplayName("D-24: an endpoint that cannot move is UNSUPP, and stays where it was")
    void whatCannotMoveIsUnsuppAndStays() {
        Dma second = d.plug(2, reserving(0x1000, 0x1fff, Kind.RESERVED));
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, RW));
        d.status(attach(2, 8, 0));
        d.status(map(8, 0x5000, 0x5fff, DMA, RW));

        refused(S_UNSUPP, attach(2, 7, 0));

        assertThat(access(second, 0x5000, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(second, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("D-27")
    @DisplayName("D-27: ATTACH that is answered OK has attached, with the mappings there are")
    void attachThatIsOkHasAttached() {
        Dma second = d.plug(2);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, RW));

        assertThat(d.status(attach(2, 7, 0))).isEqualTo(S_OK);

        assertThat(access(second, 0x1000, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(d.status(map(7, 0x3000, 0x3fff, DMA, RW))).isEqualTo(S_OK);
        assertThat(access(second, 0x3000, Access.WRITE)).isEqualTo(Outcome.OK);
    }

    @Test
    @Tag("D-18")
    @Tag("D-29")
    @DisplayName("D-18, D-29: NOENT for ids that are not there, also beyond 16 bits")
    void missingEndpointsAreNoent() {
        d.status(attach(1, 7, 0));
        for (int id : new int[] {0, 2, 0x10001, 0x7fffffff, -1}) {
            refused(S_NOENT, attach(id, 7, 0));
            refused(S_NOENT, detach(id, 7));
        }
    }

    @Test
    @Tag("D-28")
    @DisplayName("D-28: each reserved byte of DETACH is ignored")
    void reservedOfDetachIsIgnored() {
        for (int at = 12; at < DETACH_SIZE; at++) {
            assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
            byte[] detach = detach(1, 7);
            detach[at] = (byte) 0x80;
            assertThat(d.status(detach)).isEqualTo(S_OK);
        }
    }

    @Test
    @Tag("D-30")
    @Tag("T3")
    @DisplayName("D-30, T3: DETACH from another domain, strict and with the quirk")
    void detachFromAnotherDomain() {
        d.plug(2);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, RW));
        d.status(attach(2, 8, 0));

        if (isDetachingByEndpoint()) {
            assertThat(d.status(detach(1, 8))).isEqualTo(S_OK);
            assertThat(access(dma, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
            assertThat(d.iommu.domainCount()).as("7 has ended, 8 has not").isEqualTo(1);
        } else {
            refused(S_INVAL, detach(1, 8));
            refused(S_INVAL, detach(1, 0));
            assertThat(access(dma, 0x1000, Access.READ)).isEqualTo(Outcome.OK);
        }
        assertThat(d.status(detach(2, 8))).isEqualTo(S_OK);
        refused(S_INVAL, detach(2, 8));
    }

    @Test
    @Tag("D-31")
    @Tag("P-05")
    @DisplayName("D-31, P-05: after DETACH nothing of the domain is reached")
    void detachEndsAllAccess() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, RW));

        assertThat(d.status(detach(1, 7))).isEqualTo(S_OK);

        assertThat(access(dma, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
        refused(S_NOENT, map(7, 0x1000, 0x1fff, DMA, RW));
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(access(dma, 0x1000, Access.READ)).as("a new one").isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("P-04")
    @DisplayName("P-04: a domain outside domain_range is RANGE")
    void domainsOutsideTheirRangeAreRange() {
        Driver narrow =
                Driver.started(
                        IommuOptions.builder()
                                .domainRange(5, 9)
                                .bypassAtStart(false)
                                .detachByEndpoint(isDetachingByEndpoint())
                                .endpointLimit(16)
                                .domainLimit(8)
                                .mappingLimit(64)
                                .build());
        narrow.plug(1);

        refused(narrow, S_RANGE, attach(1, 4, 0));
        refused(narrow, S_RANGE, attach(1, 10, ATTACH_F_BYPASS));
        refused(narrow, S_NOENT, map(4, 0, 0xfff, DMA, RW));
        assertThat(narrow.status(attach(1, 5, 0))).isEqualTo(S_OK);
        assertThat(narrow.status(attach(1, 9, 0))).isEqualTo(S_OK);
    }

    // --- MAP and UNMAP

    @Test
    @Tag("D-32")
    @Tag("P-03")
    @DisplayName("D-32, P-03: RANGE for what is not aligned or outside input_range")
    void misalignedOrOutOfRangeIsRange() {
        Driver narrow = Driver.started(options(0x1000, 0x10000, 0xfffff, 8));
        narrow.plug(1);
        narrow.status(attach(1, 7, 0));
        refused(narrow, S_RANGE, map(7, 0x10001, 0x10fff, DMA, RW));
        refused(narrow, S_RANGE, map(7, 0x10000, 0x10ffe, DMA, RW));
        refused(narrow, S_RANGE, map(7, 0x10000, 0x10fff, DMA + 1, RW));
        refused(narrow, S_RANGE, map(7, 0xf000, 0xffff, DMA, RW));
        refused(narrow, S_RANGE, map(7, 0xf000, 0x10fff, DMA, RW));
        refused(narrow, S_RANGE, map(7, 0xff000, 0x100fff, DMA, RW));
        assertThat(narrow.status(map(7, 0xff000, 0xfffff, DMA, RW))).isEqualTo(S_OK);
    }

    @Test
    @Tag("T1")
    @DisplayName("T1: with a granule of 1 one byte is a mapping, and end before start is INVAL")
    void oneByteIsAMappingWhenTheGranuleIsOne() {
        Driver fine = Driver.started(options(1, 0, -1L, 8));
        Dma fineDma = fine.plug(1);
        fine.status(attach(1, 7, 0));
        refused(fine, S_INVAL, map(7, 5, 4, DMA, RW));
        assertThat(fine.status(map(7, 5, 5, DMA, RW))).isEqualTo(S_OK);
        assertThat(access(fineDma, 5, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(fineDma, 4, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(access(fineDma, 6, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("T5")
    @DisplayName("T5: flags, domain, bypass, order, alignment, input, reserved, overlap, quota")
    void theOrderOfChecksOnTheWire() {
        Driver t5 = Driver.started(options(0x1000, 0, 0xfffff, 1));
        t5.plug(1, reserving(0x10000, 0x10fff, Kind.RESERVED));
        t5.plug(2);
        t5.status(attach(1, 7, 0));
        t5.status(attach(2, 8, ATTACH_F_BYPASS));
        assertThat(t5.status(map(7, 0x20000, 0x20fff, DMA, RW))).isEqualTo(S_OK);
        refused(t5, S_INVAL, map(99, 0x30001, 0x30000, DMA, 8));
        refused(t5, S_NOENT, map(99, 0x30001, 0x30000, DMA, RW));
        refused(t5, S_INVAL, map(8, 0x30001, 0x200fff, DMA, RW));
        refused(t5, S_INVAL, map(7, 0x10001, 0x10000, DMA, RW));
        refused(t5, S_RANGE, map(7, 0x10001, 0x10fff, DMA, RW));
        refused(t5, S_RANGE, map(7, 0x10000, 0x100fff, DMA, RW));
        refused(t5, S_INVAL, map(7, 0x10000, 0x20fff, DMA, RW));
        refused(t5, S_INVAL, map(7, 0x20000, 0x20fff, DMA, RW));
        refused(t5, S_NOMEM, map(7, 0x30000, 0x30fff, DMA, RW));
    }

    @Test
    @Tag("P-13")
    @Tag("S-01")
    @DisplayName("P-13: examples 1 to 7 of 5.13.6.6 with their numbers; no mapping is ever split")
    void theUnmapExamplesOnTheWire() {
        example(new long[][] {}, 4, S_OK, 0);
        example(new long[][] {{0, 9}}, 9, S_OK, 0);
        example(new long[][] {{0, 4}, {5, 9}}, 9, S_OK, 0);
        example(new long[][] {{0, 9}}, 4, S_RANGE, 1);
        example(new long[][] {{0, 4}, {5, 9}}, 4, S_OK, 1);
        example(new long[][] {{0, 4}}, 9, S_OK, 0);
        example(new long[][] {{0, 4}, {10, 14}}, 14, S_OK, 0);
    }

    private void example(long[][] maps, long last, int status, long left) {
        Driver fine = Driver.started(options(1, 0, -1L, 8));
        Dma fineDma = fine.plug(1);
        fine.status(attach(1, 7, 0));
        for (long[] map : maps) {
            assertThat(fine.status(map(7, map[0], map[1], DMA + map[0], RW))).isEqualTo(S_OK);
        }
        assertThat(fine.status(unmap(7, 0, last))).isEqualTo(status);
        assertThat(fine.iommu.mappingCount()).isEqualTo(left);
        for (long[] map : maps) {
            boolean stays = status != S_OK || map[0] > last;
            for (long at = map[0]; at <= map[1]; at++) {
                assertThat(access(fineDma, at, Access.READ))
                        .isEqualTo(stays ? Outcome.OK : Outcome.FAULT);
            }
        }
    }

    @Test
    @Tag("P-10")
    @Tag("S-20")
    @DisplayName("P-10, S-20: reserved regions are IOVAs; what a MAP points to is not looked at")
    void reservedRegionsAreAboutVirtualAddresses() {
        d.plug(2, reserving(DMA, DMA + 0xfff, Kind.RESERVED));
        d.status(attach(2, 8, 0));
        refused(S_INVAL, map(8, DMA, DMA + 0xfff, 0x5000, RW));
        assertThat(d.status(map(8, 0x5000, 0x5fff, DMA, RW))).isEqualTo(S_OK);
        assertThat(d.status(map(8, 0x6000, 0x6fff, 1L << 60, RW))).isEqualTo(S_OK);
    }

    // --- properties

    @Test
    @Tag("D-46")
    @Tag("S-09")
    @DisplayName("D-46, S-09: each reserved byte of PROBE is ignored, the old ACK too")
    void reservedOfProbeIsIgnored() {
        for (int at = 8; at < PROBE_SIZE; at++) {
            byte[] probe = probe(1);
            probe[at] = (byte) 0xff;
            assertThat(d.ask(probe, LIST + TAIL_SIZE).status()).isEqualTo(S_OK);
        }
    }

    @Test
    @Tag("D-50")
    @Tag("D-51")
    @DisplayName("D-50, D-51: length without its header, the next property length + 4 further on")
    void propertiesFollowEachOtherByTheirLength() {
        d.plug(
                2,
                EndpointProperties.reserving(
                        List.of(
                                new ReservedRegion(0x1000, 0x1fff, Kind.RESERVED),
                                new ReservedRegion(0x5000, 0x5fff, Kind.MSI),
                                new ReservedRegion(0x9000, 0x9fff, Kind.RESERVED))));

        byte[] list = d.ask(probe(2), LIST + TAIL_SIZE).bytes();

        ByteBuffer bytes = ByteBuffer.wrap(list).order(ByteOrder.LITTLE_ENDIAN);
        List<Long> starts = new ArrayList<>();
        for (int at = 0; bytes.getShort(at) != 0; at += bytes.getShort(at + 2) + 4) {
            assertThat(bytes.getShort(at + 2)).isEqualTo((short) 20);
            starts.add(bytes.getLong(at + 8));
        }
        assertThat(starts).containsExactly(0x1000L, 0x5000L, 0x9000L);
    }

    @Test
    @Tag("S-10")
    @DisplayName("S-10: too small a list gets a tail at its end and nothing else but zeroes")
    void tooSmallAListIsZeroesAndATail() {
        d.plug(2, reserving(0x1000, 0x1fff, Kind.RESERVED));
        Answer answer = d.ask(probe(2), 100);
        assertThat(answer.written()).isEqualTo(100);
        assertThat(answer.status()).isEqualTo(S_INVAL);
        assertThat(Arrays.copyOf(answer.bytes(), 96)).containsOnly(0);
    }

    @Test
    @Tag("D-57")
    @Tag("S-11")
    @Tag("S-12")
    @DisplayName("D-57, S-12: what overlaps is resolved before the driver sees it")
    void overlappingRegionsAreResolved() {
        d.plug(
                2,
                EndpointProperties.reserving(
                        List.of(
                                new ReservedRegion(0x1000, 0x4fff, Kind.RESERVED),
                                new ReservedRegion(0x3000, 0x8fff, Kind.MSI),
                                new ReservedRegion(0x9000, 0x9fff, Kind.MSI))));
        assertThat(probed(d, 2)).containsExactly("0 1000..4fff", "1 5000..9fff");
    }

    @Test
    @Tag("S-03")
    @Tag("S-05")
    @Tag("S-23")
    @DisplayName("S-05: what an endpoint cannot address shows as reserved, and MAP keeps to it")
    void theEndpointsInputRangeShowsAsReserved() {
        Driver wide = Driver.started(options(0x1000, 0x1000, 0xffffffffL, 8));
        wide.plug(
                2,
                new EndpointProperties(
                        0,
                        0x10000,
                        0xffffffL,
                        ReservedWindows.of(
                                List.of(new ReservedRegion(0xfff000, 0x2000fff, Kind.RESERVED)))));
        assertThat(probed(wide, 2)).containsExactly("0 1000..ffff", "0 fff000..ffffffff");
        wide.status(attach(2, 7, 0));
        refused(wide, S_RANGE, map(7, 0xf000, 0xffff, DMA, RW));
        refused(wide, S_RANGE, map(7, 0x1000000, 0x1000fff, DMA, RW));
        assertThat(wide.status(map(7, 0x10000, 0x10fff, DMA, RW))).isEqualTo(S_OK);
    }

    @Test
    @Tag("S-04")
    @DisplayName("S-04: a granule of one endpoint is that of its domain")
    void theGranuleOfAnEndpointIsThatOfItsDomain() {
        Driver two = Driver.started(options(0x11000, 0, -1L, 8));
        two.plug(1);
        two.plug(2, new EndpointProperties(0x10000, 0, -1L, ReservedWindows.NONE));
        two.status(attach(1, 7, 0));
        two.status(attach(2, 8, 0));
        assertThat(two.status(map(7, 0x1000, 0x1fff, DMA, RW))).isEqualTo(S_OK);
        refused(two, S_RANGE, map(8, 0x1000, 0x1fff, DMA, RW));
        assertThat(two.status(map(8, 0x10000, 0x1ffff, DMA, RW))).isEqualTo(S_OK);
    }

    @Test
    @Tag("D-54")
    @DisplayName("D-54: more regions than there is room for are told as fewer, wider ones")
    void tooManyRegionsAreToldAsFewer() {
        List<ReservedRegion> regions = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            // The gaps grow, but for the MSI region, whose neighbours are near.
            long first = 0x100000 + (long) i * i * 0x10000;
            regions.add(
                    new ReservedRegion(first, first + 0xfff, i == 3 ? Kind.MSI : Kind.RESERVED));
        }
        d.plug(2, EndpointProperties.reserving(regions));

        List<String> told = probed(d, 2);

        assertThat(told).hasSize(21);
        assertThat(told.getFirst()).isEqualTo("0 100000..140fff");
        assertThat(told.get(1)).isEqualTo("1 190000..190fff");
        assertThat(told.get(2)).isEqualTo("0 200000..1c90fff");
        assertThat(told.getLast()).isEqualTo("0 6010000..6010fff");
    }

    // --- reserved and identity regions

    @Test
    @Tag("S-17")
    @Tag("S-18")
    @Tag("S-16")
    @Tag("D-59")
    @DisplayName("S-16, S-17, S-18, D-59: an identity region is reserved, and reached untranslated")
    void anIdentityRegionIsReachedByItsEndpointOnly() {
        Dma own = d.plug(2, reserving(DMA + 0x1000, DMA + 0x1fff, Kind.IDENTITY));
        Dma other = d.plug(3, reserving(DMA + 0x1000, DMA + 0x1fff, Kind.RESERVED));
        assertThat(probed(d, 2)).containsExactly("0 c01000..c01fff");
        assertThat(access(own, DMA + 0x1000, Access.READ)).as("D-15").isEqualTo(Outcome.FAULT);
        d.status(attach(2, 8, 0));
        d.status(attach(3, 8, 0));

        refused(S_INVAL, map(8, DMA + 0x1000, DMA + 0x1fff, DMA, RW));
        assertThat(access(own, DMA + 0x1000, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(access(own, DMA + 0x1fff, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(own, DMA + 0xfff, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(access(own, DMA + 0x2000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(access(other, DMA + 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
        d.bytes(DMA).set(ValueLayout.JAVA_BYTE, 0x1234, (byte) 77);
        assertThat(read(own, DMA + 0x1234)).isEqualTo((byte) 77);
        assertThat(requireNonNull(d.iommu.endpoint(2)).counts().identity()).isEqualTo(3);
        assertThat(d.status(unmap(8, 0, -1L))).isEqualTo(S_OK);
        assertThat(access(own, DMA + 0x1000, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(d.status(detach(2, 8))).isEqualTo(S_OK);
        assertThat(access(own, DMA + 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    private static byte read(Dma dma, long iova) {
        byte[] bytes = new byte[1];
        dma.enter();
        try {
            assertThat(dma.read(iova, java.lang.foreign.MemorySegment.ofArray(bytes), 0, 1))
                    .isEqualTo(Outcome.OK);
        } finally {
            dma.leave();
        }
        return bytes[0];
    }

    @Test
    @Tag("T6")
    @Tag("S-22")
    @DisplayName(
            "T6, S-22: none beside identity is UNSUPP unless allowed, and even then walled off")
    void noneBesideIdentity() {
        d.plug(2, reserving(DMA, DMA + 0xfff, Kind.IDENTITY));
        d.status(attach(2, 8, 0));
        refused(S_UNSUPP, attach(1, 8, 0));

        Driver lenient =
                Driver.started(
                        IommuOptions.builder()
                                .bypassAtStart(false)
                                .detachByEndpoint(isDetachingByEndpoint())
                                .identityBesideNone(true)
                                .endpointLimit(16)
                                .domainLimit(8)
                                .mappingLimit(64)
                                .build());
        Dma none = lenient.plug(1);
        Dma own = lenient.plug(2, reserving(DMA, DMA + 0xfff, Kind.IDENTITY));
        assertThat(lenient.status(attach(2, 8, 0))).isEqualTo(S_OK);
        assertThat(lenient.status(attach(1, 8, 0))).isEqualTo(S_OK);
        refused(lenient, S_INVAL, map(8, DMA, DMA + 0xfff, 0, RW));
        assertThat(access(own, DMA, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(none, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    // --- bridges, several IOMMUs

    @Test
    @Tag("S-13")
    @DisplayName("S-13: a bridge's alias is an id of its own, with an ATTACH of its own")
    void eachAliasIsAttachedByItself() {
        // A device 02:01.0 behind a bridge that puts its own 02:00.0 on the requests as well.
        EndpointProperties properties = reserving(0xfee00000L, 0xfeefffffL, Kind.MSI);
        Dma device = d.plug(0x208, properties);
        Dma alias = d.plug(0x200, properties);
        assertThat(probed(d, 0x208)).isEqualTo(probed(d, 0x200)).hasSize(1);
        assertThat(d.status(attach(0x208, 7, 0))).isEqualTo(S_OK);
        assertThat(d.status(map(7, 0x1000, 0x1fff, DMA, RW))).isEqualTo(S_OK);
        assertThat(access(device, 0x1000, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(alias, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);

        assertThat(d.status(attach(0x200, 7, 0))).isEqualTo(S_OK);
        assertThat(access(alias, 0x1000, Access.READ)).isEqualTo(Outcome.OK);

        assertThat(d.status(detach(0x208, 7))).isEqualTo(S_OK);
        assertThat(access(alias, 0x1000, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(d.status(detach(0x200, 7))).isEqualTo(S_OK);
        assertThat(d.iommu.domainCount()).isZero();
    }

    @Test
    @Tag("S-29")
    @DisplayName("S-29: endpoint and domain ids are per IOMMU")
    void idsAreLocalToAnIommu() {
        Driver second = Driver.started(Driver.options(isDetachingByEndpoint()));
        Dma other = second.plug(1);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, RW));

        assertThat(second.status(unmap(7, 0, -1L))).isEqualTo(S_NOENT);
        second.status(attach(1, 7, 0));
        assertThat(access(other, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(access(dma, 0x1000, Access.READ)).isEqualTo(Outcome.OK);
    }

    // --- requests of later drafts and of nobody

    @Test
    @Tag("D-11")
    @Tag("D-12")
    @Tag("S-06")
    @Tag("S-27")
    @Tag("S-28")
    @DisplayName("D-11, D-12, S-06, S-27, S-28: types 0, 6, 7, 8 of drafts are unknown, unwritten")
    void typesOfDraftsAreUnknown() {
        String before = StateText.of(d.iommu);
        for (int type : new int[] {0, 6, 7, 8, 0x7f, 0x80, 0xff}) {
            for (int size : new int[] {HEAD_SIZE, 20, 64, 80, 128}) {
                byte[] bytes = new byte[size];
                bytes[0] = (byte) type;
                Answer answer = d.ask(bytes, 64);
                assertThat(answer.written()).isZero();
                assertThat(answer.bytes()).containsOnly(0xee);
            }
        }
        assertThat(StateText.of(d.iommu)).isEqualTo(before);
        assertThat(d.device.brokenReason()).isNull();
    }

    // --- faults and bypass

    @Test
    @Tag("D-15")
    @Tag("S-15")
    @Tag("S-26")
    @Tag("S-30")
    @DisplayName("D-15, S-15, S-26, S-30: reasons DOMAIN and MAPPING, always with READ or WRITE")
    void faultsTellReasonAndAccess() {
        d.addEventBuffers(4, FAULT_SIZE);
        d.kickEvents();
        report(5, Access.READ, FAULT_R_DOMAIN, FAULT_F_READ);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, DMA, MAP_F_READ));
        report(0x1004, Access.WRITE, FAULT_R_MAPPING, FAULT_F_WRITE);
        report(0x2000, Access.READ, FAULT_R_MAPPING, FAULT_F_READ);
        assertThat(access(dma, 0x1004, Access.READ)).isEqualTo(Outcome.OK);
    }

    private void report(long iova, Access access, int reason, int flag) {
        d.bytes(Driver.EVENTS).fill((byte) 0xee);
        assertThat(access(dma, iova, access)).isEqualTo(Outcome.FAULT);
        d.turn();
        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        byte[] all = d.bytes(Driver.EVENTS).toArray(ValueLayout.JAVA_BYTE);
        byte[] expected = request(reason, flag | FAULT_F_ADDRESS, 1, 0, iova);
        int at = 0;
        while (all[at] == (byte) 0xee) {
            at += 64;
        }
        assertThat(Arrays.copyOfRange(all, at, at + FAULT_SIZE)).isEqualTo(expected);
    }

    @Test
    @Tag("D-06")
    @Tag("S-19")
    @Tag("S-25")
    @DisplayName("D-06, S-19, S-25: bypass is seen and set in the configuration and per ATTACH")
    void bypassIsTheDriversToSee() {
        assertThat(d.device.readConfig(CONFIG_BYPASS, 1)).isZero();
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
        d.device.writeConfig(CONFIG_BYPASS, 1, 1);
        assertThat(d.device.readConfig(CONFIG_BYPASS, 1)).isEqualTo(1);
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(d.status(attach(1, 8, ATTACH_F_BYPASS))).isEqualTo(S_OK);
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        refused(S_INVAL, map(8, 0, 0xfff, DMA, RW));
        refused(S_INVAL, unmap(8, 0, 0xfff));
    }

    @Test
    @Tag("P-07")
    @DisplayName("P-07: the store of events is bounded; late buffers get the oldest, in order")
    void eventsAreStoredUpToALimit() {
        d.status(attach(1, 7, 0));
        for (int i = 0; i < 200; i++) {
            access(dma, i * 0x1000L, Access.READ);
        }
        d.turn();
        assertThat(d.faults.recent()).hasSize(64);
        assertThat(d.faults.dropped()).isEqualTo(136);
        for (int i = 0; i < 64; i++) {
            d.addEventBuffers(1, i % 2 == 0 ? FAULT_SIZE : 100);
        }
        d.kickEvents();
        for (int i = 0; i < 64; i++) {
            assertThat(d.event()).isEqualTo(FAULT_SIZE);
        }
        assertThat(d.type.eventsDelivered()).isEqualTo(64);
        assertThat(d.faults.isEmpty()).isTrue();
    }

    // --- a queue that is reset alone (2.6.1)

    @Test
    void aRequestQueueThatIsResetForgetsWhatItHadInFlightAndNothingElse() {
        Driver r = new Driver(Driver.options(isDetachingByEndpoint()));
        Dma resetDma = r.plug(1);
        r.start(r.type.features() | Virtio.F_RING_RESET);
        r.status(attach(1, 7, 0));
        r.status(map(7, 0x1000, 0x1fff, DMA, RW));
        r.status(map(7, 0x2000, 0x2fff, DMA, RW));
        Lease lease = requireNonNull(resetDma.pin(0x1000, 1, Access.READ, Long.MAX_VALUE / 2));
        r.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        r.kick();
        assertThat(r.answer()).isNull();

        r.device.resetQueue(REQUESTQ);

        assertThat(r.device.queueEnabled(REQUESTQ)).isFalse();
        assertThat(r.device.queueDesc(REQUESTQ)).isZero();
        lease.close();
        r.guards.poll();
        r.turn();
        r.kick();
        r.renewRequests(false);
        r.kick();
        assertThat(r.answer()).as("the old queue's answer").isNull();
        assertThat(r.iommu.mappingCount()).isEqualTo(1);
        for (int i = 0; i < 600; i++) {
            refused(r, S_INVAL, map(7, 0x2000, 0x2fff, DMA, RW));
        }
        assertThat(access(resetDma, 0x2000, Access.READ)).isEqualTo(Outcome.OK);
    }

    @Test
    void anEventQueueThatIsResetKeepsItsEvents() {
        Driver r = new Driver(Driver.options(isDetachingByEndpoint()));
        Dma resetDma = r.plug(1);
        r.start(r.type.features() | Virtio.F_RING_RESET);
        r.status(attach(1, 7, 0));
        r.addEventBuffers(4, FAULT_SIZE);
        r.device.resetQueue(EVENTQ);
        access(resetDma, 0x1000, Access.READ);
        r.turn();
        r.renewEvents();
        r.addEventBuffers(4, FAULT_SIZE);

        r.kickEvents();

        assertThat(r.event()).isEqualTo(FAULT_SIZE);
        assertThat(r.event()).isEqualTo(-1);
        assertThat(r.status(detach(1, 7))).isEqualTo(S_OK);
    }

    @Test
    void withoutRingResetAQueueIsNotResetAlone() {
        d.device.resetQueue(REQUESTQ);
        d.device.resetQueue(5);
        assertThat(d.device.queueEnabled(REQUESTQ)).isTrue();
        assertThat(d.device.refusedWrites()).isEqualTo(2);
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }
}
