// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.request;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.StateText;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The device on the wire: virtio 1.4, 5.13, statement by statement, through real queues. */
class VirtioIommuDeviceTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final int PROBE_ANSWER = 512 + TAIL_SIZE;

    private final Driver d = Driver.started(Driver.options(isDetachingByEndpoint()));
    private final Dma dma = d.plug(1);

    /** The setting of T3: the whole suite runs with both. */
    boolean isDetachingByEndpoint() {
        return false;
    }

    private static Outcome access(Dma dma, long iova, Access access) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, access);
        } finally {
            dma.leave();
        }
    }

    private String digest() {
        return StateText.of(d.iommu) + d.iommu.mappingCount();
    }

    private void refused(int status, byte[] request) {
        String before = digest();
        assertThat(d.status(request)).isEqualTo(status);
        assertThat(digest()).isEqualTo(before);
    }

    /** Given back unwritten: used length 0 and no byte touched. */
    private void unanswered(byte[] readable, int writable) {
        String before = digest();
        Answer answer = d.ask(readable, writable);
        assertThat(answer.written()).isZero();
        for (byte b : answer.bytes()) {
            assertThat(b).isEqualTo((byte) 0xee);
        }
        assertThat(digest()).isEqualTo(before);
    }

    // --- features and configuration

    @Test
    @Tag("D-01")
    @Tag("D-02")
    @Tag("D-03")
    @DisplayName("D-01, D-02, D-03: MAP_UNMAP is offered, the old BYPASS is not")
    void featuresAreOffered() {
        assertThat(d.device.deviceFeatures() & F_MAP_UNMAP).isNotZero();
        assertThat(d.device.deviceFeatures() & 1L << 3).isZero();
        assertThat(d.device.deviceFeatures() & F_BYPASS_CONFIG).isNotZero();
        assertThat(d.device.id()).isEqualTo(23);
        assertThat(d.device.queueCount()).isEqualTo(2);
    }

    @Test
    @Tag("D-04")
    @Tag("D-05")
    @Tag("D-06")
    @DisplayName("D-04, D-05, D-06: configuration shows the options, in every size")
    void configurationShowsTheOptions() {
        Driver odd =
                new Driver(
                        IommuOptions.builder()
                                .pageSizeMask(0x201000)
                                .inputRange(0x1122334455667000L, 0xfedcba9876543fffL)
                                .domainRange(3, 0x89abcdef)
                                .endpointLimit(16)
                                .domainLimit(8)
                                .mappingLimit(64)
                                .build());
        VirtioDevice device = odd.device;

        assertThat(device.readConfig(CONFIG_PAGE_SIZE_MASK, 8)).isEqualTo(0x201000);
        assertThat(device.readConfig(CONFIG_INPUT_START, 8)).isEqualTo(0x1122334455667000L);
        assertThat(device.readConfig(CONFIG_INPUT_END, 8)).isEqualTo(0xfedcba9876543fffL);
        assertThat(device.readConfig(CONFIG_DOMAIN_START, 4)).isEqualTo(3);
        assertThat(device.readConfig(CONFIG_DOMAIN_END, 4)).isEqualTo(0x89abcdefL);
        assertThat(device.readConfig(CONFIG_DOMAIN_START, 8)).isEqualTo(0x89abcdef00000003L);
        assertThat(device.readConfig(CONFIG_PROBE_SIZE, 4)).isEqualTo(512);
        assertThat(device.readConfig(CONFIG_BYPASS, 1)).isEqualTo(1);
        assertThat(device.readConfig(CONFIG_BYPASS, 4)).as("reserved is 0").isEqualTo(1);
        for (int i = 0; i < 8; i++) {
            assertThat(device.readConfig(CONFIG_INPUT_START + i, 1))
                    .isEqualTo(0x1122334455667000L >>> (8 * i) & 0xff);
        }
        assertThat(device.readConfig(CONFIG_INPUT_END + 2, 2)).isEqualTo(0x7654);
        assertThat(device.readConfig(40, 1)).isZero();
    }

    @Test
    @Tag("D-07")
    @Tag("D-08")
    @DisplayName("D-07, D-08: bypass stays over a device reset, not over a system reset")
    void bypassOutlivesADeviceResetOnly() {
        d.device.writeConfig(CONFIG_BYPASS, 1, 1);
        assertThat(d.device.readConfig(CONFIG_BYPASS, 1)).isEqualTo(1);

        d.device.writeStatus(0);
        assertThat(d.device.readConfig(CONFIG_BYPASS, 1)).isEqualTo(1);
        d.device.systemReset();
        assertThat(d.device.readConfig(CONFIG_BYPASS, 1)).isZero();
    }

    @Test
    @Tag("D-09")
    @DisplayName("D-09: bypass never shows anything but 0 and 1; nothing else can be written")
    void badWritesToConfigurationAreIgnored() {
        byte[] before = config();
        d.device.writeConfig(CONFIG_BYPASS, 1, 2);
        d.device.writeConfig(CONFIG_BYPASS, 1, 0xff);
        d.device.writeConfig(CONFIG_BYPASS + 1, 1, 1);
        d.device.writeConfig(CONFIG_PROBE_SIZE, 4, 1);
        d.device.writeConfig(CONFIG_PAGE_SIZE_MASK, 8, -1L);
        assertThat(config()).isEqualTo(before);

        d.device.writeConfig(CONFIG_BYPASS, 1, 1);
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        d.device.writeConfig(CONFIG_BYPASS, 1, 0x102);
        assertThat(d.iommu.isBypassing()).isTrue();
        d.device.writeConfig(CONFIG_BYPASS, 1, 0);
        assertThat(access(dma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    private byte[] config() {
        byte[] bytes = new byte[CONFIG_SIZE];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) d.device.readConfig(i, 1);
        }
        return bytes;
    }

    @Test
    @Tag("P-11")
    @Tag("P-12")
    @DisplayName("P-11, P-12: without BYPASS_CONFIG bypass still holds, and its flag is unknown")
    void withoutBypassConfigTheFlagIsUnknown() {
        Driver old =
                new Driver(
                        IommuOptions.builder()
                                .detachByEndpoint(false)
                                .endpointLimit(16)
                                .domainLimit(8)
                                .mappingLimit(64)
                                .build());
        Dma oldDma = old.plug(1);
        old.start(F_MAP_UNMAP);

        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(old.status(attach(1, 7, ATTACH_F_BYPASS))).isEqualTo(S_INVAL);
        old.device.writeConfig(CONFIG_BYPASS, 1, 0);
        assertThat(old.iommu.isBypassing()).as("not negotiated").isTrue();
        assertThat(old.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(access(oldDma, DMA, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void withoutMapUnmapTheRequestsAreUnsupp() {
        Driver old = new Driver(OPTIONS);
        old.plug(1);
        old.start(F_BYPASS_CONFIG);
        old.status(attach(1, 7, 0));

        assertThat(old.status(map(7, 0, 0xfff, DMA, RW))).isEqualTo(S_UNSUPP);
        assertThat(old.status(unmap(7, 0, 0xfff))).isEqualTo(S_UNSUPP);
    }

    @Test
    void withoutMmioItsFlagIsUnknown() {
        Driver old = new Driver(OPTIONS);
        old.plug(1);
        old.start(F_MAP_UNMAP);
        old.status(attach(1, 7, 0));

        assertThat(old.status(map(7, 0, 0xfff, DMA, MAP_F_MMIO | RW))).isEqualTo(S_INVAL);
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(d.status(map(7, 0, 0xfff, DMA, MAP_F_MMIO | RW))).isEqualTo(S_OK);
    }

    // --- the frame of requests

    @Test
    @Tag("D-10")
    @Tag("D-14")
    @DisplayName(
            "D-10, D-14: attach, map, access, unmap, detach; each answered OK with a zero tail")
    void theSimplestUse() {
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        assertThat(d.status(map(7, 0x1000, 0x1fff, DMA, RW))).isEqualTo(S_OK);
        assertThat(access(dma, 0x1000, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(d.status(unmap(7, 0x1000, 0x1fff))).isEqualTo(S_OK);
        assertThat(access(dma, 0x1000, Access.WRITE)).isEqualTo(Outcome.FAULT);
        assertThat(d.status(detach(1, 7))).isEqualTo(S_OK);
        assertThat(d.iommu.domainCount()).isZero();

        assertThat(d.type.counts().answeredWith(RequestType.MAP, Status.OK)).isEqualTo(1);
        assertThat(d.type.counts().of(RequestType.ATTACH)).isEqualTo(1);
        assertThat(d.type.counts().total()).isEqualTo(4);
    }

    @Test
    @Tag("D-11")
    @Tag("D-12")
    @DisplayName("D-11, D-12: an unknown type goes back unwritten")
    void unknownTypesAreNotAnswered() {
        unanswered(request(0, 7, 1, 0, 0), TAIL_SIZE);
        unanswered(request(6, 7, 1, 0, 0), TAIL_SIZE);
        unanswered(request(0xff, 7, 1, 0, 0), PROBE_ANSWER);
        assertThat(d.type.counts().unansweredRequests()).isEqualTo(3);
    }

    @Test
    @Tag("D-13")
    @Tag("D-28")
    @Tag("D-46")
    @DisplayName("D-13, D-28, D-46: reserved of the head, of DETACH and of PROBE is ignored")
    void reservedFieldsThatDoNotMatterAreIgnored() {
        byte[] attach = attach(1, 7, 0);
        attach[1] = attach[2] = attach[3] = (byte) 0xff;
        assertThat(d.status(attach)).isEqualTo(S_OK);
        byte[] detach = request(T_DETACH | 0x5a000000, 7, 1, -1, -1);
        assertThat(d.status(detach)).isEqualTo(S_OK);
        byte[] probe = probe(1);
        Arrays.fill(probe, 8, probe.length, (byte) 0xff);
        assertThat(d.ask(probe, PROBE_ANSWER).status()).isEqualTo(S_OK);
    }

    @Test
    @Tag("P-02")
    @DisplayName("P-02: what is too short goes back unwritten, at every length")
    void shortRequestsAreNotAnswered() {
        for (byte[] whole :
                List.of(
                        attach(1, 7, 0),
                        detach(1, 7),
                        map(7, 0, 0xfff, DMA, RW),
                        unmap(7, 0, 0xfff),
                        probe(1))) {
            for (int length = 0; length < whole.length; length++) {
                unanswered(Arrays.copyOf(whole, length), TAIL_SIZE);
            }
            for (int writable = 0; writable < TAIL_SIZE; writable++) {
                unanswered(whole, writable);
            }
        }
        assertThat(d.device.brokenReason()).isNull();
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }

    @Test
    void requestsThatAreTooLongAreFine() {
        assertThat(d.status(Arrays.copyOf(attach(1, 7, 0), 200))).isEqualTo(S_OK);
        Answer answer = d.ask(attach(1, 7, 0), 100);
        assertThat(answer.written()).isEqualTo(TAIL_SIZE);
        assertThat(answer.bytes()[TAIL_SIZE]).isEqualTo((byte) 0xee);
    }

    @Test
    @Tag("P-06")
    @DisplayName("P-06: descriptors may cut a request anywhere, in any layout")
    void theLayoutOfDescriptorsIsFree() {
        d.status(attach(1, 7, 0));
        long iova = 0;
        for (Layout layout : Layout.values()) {
            for (int in : new int[] {1, 3, 5, 35, 36}) {
                for (int out : new int[] {1, 2, 3, 4}) {
                    d.send(layout, map(7, iova, iova + 0xfff, DMA, RW), TAIL_SIZE, in, out);
                    d.kick();
                    Answer answer = requireNonNull(d.answer());
                    assertThat(answer.written()).isEqualTo(TAIL_SIZE);
                    assertThat(answer.bytes()).isEqualTo(new byte[TAIL_SIZE]);
                    iova += 0x1000;
                }
            }
        }
        assertThat(d.iommu.mappingCount()).isEqualTo(iova / 0x1000);
        d.send(Layout.INDIRECT, probe(1), PROBE_ANSWER, 5, 100);
        d.kick();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
    }

    // --- what each request refuses on the wire

    @Test
    @Tag("D-16")
    @Tag("D-17")
    @DisplayName("D-16, D-17: ATTACH with reserved or unknown flags")
    void attachChecksItsFields() {
        refused(S_INVAL, request(T_ATTACH, 7, 1, 0, 1));
        refused(S_INVAL, request(T_ATTACH, 7, 1, 0, 0x80000000));
        for (int bit = 1; bit < 32; bit++) {
            refused(S_INVAL, attach(1, 7, 1 << bit));
        }
        refused(S_INVAL, request(T_ATTACH, 7, 99, 0, 1)); // before the endpoint is looked for
    }

    @Test
    @Tag("T2")
    @DisplayName("T2: every refusal has a tail, with the status of the engine")
    void refusalsHaveATail() {
        d.plug(2);
        refused(S_NOENT, attach(9, 7, 0));
        refused(S_NOENT, detach(9, 7));
        refused(S_INVAL, detach(1, 7));
        refused(S_NOENT, map(7, 0, 0xfff, DMA, RW));
        refused(S_NOENT, unmap(7, 0, 0xfff));
        d.status(attach(1, 7, 0));
        d.status(attach(2, 8, ATTACH_F_BYPASS));
        refused(S_INVAL, attach(1, 8, 0));
        refused(S_INVAL, attach(1, 7, ATTACH_F_BYPASS));
        refused(S_RANGE, map(7, 0, 9, DMA, RW));
        refused(S_INVAL, map(7, 0x1000, 0xfff, DMA, RW));
        refused(S_INVAL, map(8, 0, 0xfff, DMA, RW));
        refused(S_INVAL, unmap(8, 0, 0xfff));
        d.status(map(7, 0, 0x1fff, DMA, RW));
        refused(S_INVAL, map(7, 0, 0xfff, DMA, RW));
        refused(S_RANGE, unmap(7, 0, 0xfff));
        assertThat(d.type.counts().answeredWith(RequestType.UNMAP, Status.RANGE)).isEqualTo(1);
    }

    @Test
    @Tag("D-34")
    @DisplayName("D-34: MAP with an unknown flag, before anything else is looked at")
    void mapWithAnUnknownFlagIsInval() {
        d.status(attach(1, 7, 0));
        for (int bit = 3; bit < 32; bit++) {
            refused(S_INVAL, map(7, 0, 0xfff, DMA, RW | 1 << bit));
        }
        refused(S_INVAL, map(99, 1, 0, DMA, 8));
    }

    @Test
    @Tag("D-37")
    @DisplayName("D-37: the flags on the wire are the permissions")
    void flagsOnTheWireArePermissions() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, MAP_F_READ));
        d.status(map(7, 0x1000, 0x1fff, DMA, MAP_F_WRITE));

        assertThat(access(dma, 0, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(dma, 0, Access.WRITE)).isEqualTo(Outcome.FAULT);
        assertThat(access(dma, 0x1000, Access.WRITE)).isEqualTo(Outcome.OK);
        assertThat(access(dma, 0x1000, Access.READ)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("D-39")
    @Tag("D-40")
    @Tag("T4")
    @DisplayName("D-39, D-40, T4: UNMAP with reserved set removes nothing")
    void unmapWithReservedIsInvalAndRemovesNothing() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, RW));

        refused(S_INVAL, request(T_UNMAP, 7, 0L, 0xfffL, 1));
        refused(S_INVAL, request(T_UNMAP, 7, 0L, 0xfffL, 0x01000000));
        assertThat(access(dma, 0, Access.READ)).isEqualTo(Outcome.OK);
    }

    @Test
    @Tag("P-09")
    @DisplayName("P-09: the whole address space in one MAP and one UNMAP")
    void theWholeAddressSpaceCanBeMapped() {
        d.status(attach(1, 7, 0));
        assertThat(d.status(map(7, 0, -1L, 0, RW))).isEqualTo(S_OK);
        assertThat(access(dma, DMA + 5, Access.READ)).isEqualTo(Outcome.OK);
        assertThat(access(dma, -1L, Access.READ)).isEqualTo(Outcome.ABSENT);
        assertThat(d.status(unmap(7, 0, -1L))).isEqualTo(S_OK);
    }

    // --- PROBE

    private static EndpointProperties reserving(ReservedRegion... regions) {
        return EndpointProperties.reserving(List.of(regions));
    }

    @Test
    @Tag("D-47")
    @DisplayName("D-47: PROBE of a missing endpoint; the properties are zero and the tail follows")
    void probeOfAMissingEndpointIsNoent() {
        Answer answer = d.ask(probe(0x10001), PROBE_ANSWER);

        assertThat(answer.written()).isEqualTo(PROBE_ANSWER);
        assertThat(answer.status()).isEqualTo(S_NOENT);
        assertThat(Arrays.copyOf(answer.bytes(), 512)).containsOnly(0);
    }

    @Test
    @Tag("D-50")
    @Tag("D-49")
    @Tag("D-51")
    @Tag("D-54")
    @Tag("D-55")
    @Tag("D-56")
    @DisplayName("D-49, D-50, D-51, D-54, D-55, D-56: the list of properties, byte by byte")
    void probeListsReservedRegions() {
        d.plug(
                2,
                reserving(
                        new ReservedRegion(0xfee00000L, 0xfeefffffL, Kind.MSI),
                        new ReservedRegion(0xfef00000L, 0xfef0ffffL, Kind.MSI),
                        new ReservedRegion(0x1000, 0x1fff, Kind.IDENTITY),
                        new ReservedRegion(0x100000000L, 0x100000fffL, Kind.MSI),
                        new ReservedRegion(-0x1000L, -1L, Kind.RESERVED)));

        Answer answer = d.ask(probe(2), PROBE_ANSWER);

        assertThat(answer.written()).isEqualTo(PROBE_ANSWER);
        assertThat(answer.status()).isEqualTo(S_OK);
        ByteBuffer list = ByteBuffer.wrap(answer.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        long[][] expected = {
            {0, 0x1000, 0x1fff},
            {1, 0xfee00000L, 0xfef0ffffL}, // two that meet are one
            {0, 0x100000000L, 0x100000fffL}, // a second MSI region shows as reserved
            {0, -0x1000L, -1L}
        };
        for (long[] region : expected) {
            assertThat(list.getShort()).isEqualTo((short) 1);
            assertThat(list.getShort()).isEqualTo((short) 20);
            assertThat(list.getInt()).as("subtype and reserved").isEqualTo((int) region[0]);
            assertThat(list.getLong()).isEqualTo(region[1]);
            assertThat(list.getLong()).isEqualTo(region[2]);
        }
        while (list.position() < PROBE_ANSWER) {
            assertThat(list.get()).isZero();
        }
    }

    @Test
    @Tag("D-52")
    @Tag("D-53")
    @DisplayName("D-52, D-53: too small a list gets INVAL at its end and no property")
    void probeIntoASmallListIsInval() {
        d.plug(2, reserving(new ReservedRegion(0x1000, 0x1fff, Kind.RESERVED)));
        for (int size : new int[] {TAIL_SIZE, 5, 28, 100, PROBE_ANSWER - 1}) {
            Answer answer = d.ask(probe(2), size);
            assertThat(answer.written()).isEqualTo(size);
            assertThat(answer.status()).isEqualTo(S_INVAL);
            assertThat(Arrays.copyOf(answer.bytes(), size - 4)).doesNotContain(1, 20);
        }
        Answer large = d.ask(probe(2), PROBE_ANSWER + 100);
        assertThat(large.written()).isEqualTo(PROBE_ANSWER);
        assertThat(large.status()).isEqualTo(S_OK);
    }

    // --- batches and waiting

    @Test
    void aBatchIsPublishedOnceWithOneInterrupt() {
        d.status(attach(1, 7, 0));
        int before = d.requestInterrupts;
        for (int i = 0; i < 32; i++) {
            d.send(map(7, i * 0x1000L, i * 0x1000L + 0xfff, DMA, RW), TAIL_SIZE);
        }

        d.kick();

        assertThat(d.requestInterrupts).isEqualTo(before + 1);
        for (int i = 0; i < 32; i++) {
            assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        }
        assertThat(d.answer()).isNull();
        d.requests.wantInterrupt(false);
        d.status(unmap(7, 0, 0xfff));
        assertThat(d.requestInterrupts).isEqualTo(before + 1);
    }

    @Test
    void unmapThatWaitsForALeaseDoesNotHoldUpWhatIsBehindIt() {
        d.plug(2);
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, RW));
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, Long.MAX_VALUE / 2));
        d.send(unmap(7, 0, 0xfff), TAIL_SIZE);
        d.send(attach(2, 8, 0), TAIL_SIZE);
        d.send(map(7, 0, 0xfff, DMA + 0x1000, RW), TAIL_SIZE);

        d.kick();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
        int interrupts = d.requestInterrupts;
        lease.close();
        d.guards.poll();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.requestInterrupts).isEqualTo(interrupts + 1);
    }

    @Test
    @Tag("P-01")
    @DisplayName("P-01: reset in the middle drops what waits, and the next driver starts afresh")
    void resetInTheMiddle() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, RW));
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, Long.MAX_VALUE / 2));
        d.send(unmap(7, 0, 0xfff), TAIL_SIZE);
        d.kick();
        assertThat(d.answer()).isNull();

        d.device.writeStatus(0);
        d.guards.poll();
        d.turn();

        assertThat(lease.isRevoked()).isTrue();
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(access(dma, 0, Access.READ)).isEqualTo(Outcome.FAULT);
        d.start(d.type.features());
        assertThat(d.answer()).as("answers of an earlier life").isNull();
        for (int i = 0; i < 600; i++) {
            assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
        }
    }

    @Test
    void manyResetsWithRequestsInFlightLeaveRoomForMore() {
        for (int life = 0; life < 20; life++) {
            d.status(attach(1, 7, 0));
            d.status(map(7, 0, 0xfff, DMA, RW));
            requireNonNull(dma.pin(0, 1, Access.READ, Long.MAX_VALUE / 2));
            for (int i = 0; i < 30; i++) {
                d.send(unmap(7, 0, 0xfff), TAIL_SIZE);
            }
            d.kick();
            d.device.writeStatus(0);
            d.guards.poll();
            d.turn();
            d.start(d.type.features());
        }
        assertThat(d.guards.leaseCount()).isZero();
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }

    @Test
    void aFloodOfRequestsIsServedInTurns() {
        d.status(attach(1, 7, 0));
        for (int round = 0; round < 40; round++) {
            for (int i = 0; i < 30; i++) {
                d.send(unmap(7, 0, 0xfff), TAIL_SIZE);
            }
            d.kick();
            for (int i = 0; i < 30; i++) {
                assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
            }
        }
        assertThat(d.type.counts().of(RequestType.UNMAP)).isEqualTo(1200);
    }

    @Test
    void withEventIdxEveryKickIsAskedFor() {
        Driver idx = new Driver(OPTIONS);
        idx.plug(1);
        idx.start(idx.type.features(), true);

        for (int i = 0; i < 200; i++) {
            idx.requests.wantInterrupt(i % 2 == 0);
            int before = idx.requestInterrupts;
            assertThat(idx.status(attach(1, 7, 0))).isEqualTo(S_OK);
            assertThat(idx.requests.availEvent()).isEqualTo(i + 1);
            assertThat(idx.requestInterrupts).isEqualTo(before + (i % 2 == 0 ? 1 : 0));
        }
    }

    @Test
    @Tag("P-08")
    @DisplayName("P-08: a broken ring needs a reset, and after it all is well")
    void aBrokenRingNeedsAReset() {
        d.requests.availEntry(0, 999);
        d.requests.availIdx(1);

        d.kick();

        assertThat(d.device.status() & Virtio.STATUS_DEVICE_NEEDS_RESET).isNotZero();
        assertThat(d.device.brokenReason()).isNotNull();
        assertThat(d.configInterrupts).isEqualTo(1);
        d.kick();
        d.device.memoryChanged();
        assertThat(d.configInterrupts).isEqualTo(1);
        d.device.writeStatus(0);
        d.start(d.type.features());
        assertThat(d.status(attach(1, 7, 0))).isEqualTo(S_OK);
    }

    // --- absent and refused memory

    @Test
    void aRequestInAbsentMemoryIsTakenWhenItIsBack() {
        d.send(attach(1, 7, 0), TAIL_SIZE);
        d.take(Driver.IN);
        d.kick();
        assertThat(d.answer()).isNull();
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(d.device.needsTick()).isTrue();

        d.giveBack(Driver.IN);

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.device.needsTick()).isFalse();
        assertThat(d.type.counts().total()).isEqualTo(1);
    }

    @Test
    void anAnswerIntoAbsentMemoryIsGivenWhenItIsBackAndTheRequestDoneOnce() {
        d.send(attach(1, 7, 0), TAIL_SIZE);
        d.send(map(7, 0, 0xfff, DMA, RW), TAIL_SIZE);
        d.take(Driver.OUT);
        d.kick();
        d.kick();
        assertThat(d.answer()).isNull();
        assertThat(d.iommu.mappingCount()).isEqualTo(1);
        assertThat(d.device.needsTick()).isTrue();

        d.giveBack(Driver.OUT);

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
        assertThat(d.device.needsTick()).isFalse();
        assertThat(d.type.counts().of(RequestType.MAP)).isEqualTo(1);
    }

    @Test
    void aRingInAbsentMemoryIsLookedAtWhenItIsBack() {
        d.take(Driver.REQUEST_RING);
        d.send(attach(1, 7, 0), TAIL_SIZE);
        d.kick();
        assertThat(d.device.needsTick()).isTrue();
        assertThat(d.device.brokenReason()).isNull();

        d.giveBack(Driver.REQUEST_RING);

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.device.needsTick()).isFalse();
    }

    @Test
    void aRingThatGoesWhileARequestWaitsGetsItsAnswerLater() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, RW));
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, Long.MAX_VALUE / 2));
        d.send(unmap(7, 0, 0xfff), TAIL_SIZE);
        d.kick();
        d.take(Driver.REQUEST_RING);
        lease.close();
        d.guards.poll();
        d.turn();
        assertThat(d.device.needsTick()).isTrue();

        d.giveBack(Driver.REQUEST_RING);

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.device.needsTick()).isFalse();
    }

    @Test
    void memoryThatStaysAwayEndsInNeedsReset() {
        d.send(attach(1, 7, 0), TAIL_SIZE);
        d.take(Driver.IN);
        d.kick();
        d.device.tick(0);
        d.kick();
        d.device.tick(VirtioDevice.ABSENT_LIMIT_NANOS - 1);
        assertThat(d.device.brokenReason()).isNull();

        d.device.tick(VirtioDevice.ABSENT_LIMIT_NANOS);

        assertThat(d.device.brokenReason()).isEqualTo(VirtioDevice.ABSENT_TOO_LONG);
        d.giveBack(Driver.IN);
        assertThat(d.iommu.domainCount()).as("no request is taken any more").isZero();
        assertThat(d.answer()).isNull();
    }

    @Test
    void anAnswerThatIsRefusedGoesBackUnwrittenAndTheQueueLives() {
        d.makeReadOnly(Driver.OUT);

        assertThat(d.ask(attach(1, 7, 0), TAIL_SIZE).written()).isZero();
        assertThat(d.ask(attach(1, 7, 0), TAIL_SIZE).written()).isZero();
        assertThat(d.device.brokenReason()).isNull();
    }

    // --- events

    private void fault(long iova) {
        access(dma, iova, Access.WRITE);
        d.turn();
    }

    @Test
    @Tag("D-60")
    @Tag("D-61")
    @Tag("D-62")
    @Tag("D-63")
    @DisplayName("D-60, D-61, D-62, D-63: a fault report, byte by byte")
    void aFaultReportByteByByte() {
        d.status(attach(1, 7, 0));
        d.addEventBuffers(1, FAULT_SIZE + 8);
        d.bytes(Driver.EVENTS).fill((byte) 0xee);

        fault(0xabcdef0123456789L);

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(d.eventInterrupts).isEqualTo(1);
        byte[] report = findEvent();
        assertThat(report)
                .isEqualTo(
                        request(
                                FAULT_R_MAPPING,
                                FAULT_F_WRITE | FAULT_F_ADDRESS,
                                1,
                                0,
                                0xabcdef0123456789L));
        assertThat(d.type.eventsDelivered()).isEqualTo(1);
        d.status(detach(1, 7));
        d.addEventBuffers(1, FAULT_SIZE);
        d.bytes(Driver.EVENTS).fill((byte) 0xee);
        access(dma, 5, Access.READ);
        d.turn();
        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(findEvent())
                .isEqualTo(request(FAULT_R_DOMAIN, FAULT_F_READ | FAULT_F_ADDRESS, 1, 0, 5L));
    }

    /** The one report among the event buffers. */
    private byte[] findEvent() {
        byte[] all = d.bytes(Driver.EVENTS).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
        for (int at = 0; at < all.length; at += 64) {
            if (all[at] != (byte) 0xee) {
                assertThat(all[at + FAULT_SIZE]).as("byte behind").isEqualTo((byte) 0xee);
                return Arrays.copyOfRange(all, at, at + FAULT_SIZE);
            }
        }
        throw new AssertionError("no report");
    }

    @Test
    void eventsAreHeldUntilTheDriverIsReadyAndGivenAtItsFirstRequest() {
        d.addEventBuffers(4, FAULT_SIZE);

        fault(0x1000);
        assertThat(d.event()).as("Linux would crash").isEqualTo(-1);
        d.status(attach(1, 7, 0));

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(d.eventInterrupts).isEqualTo(1);
    }

    @Test
    void theDriversFirstEventKickShowsThatItIsReadyToo() {
        d.addEventBuffers(4, FAULT_SIZE);
        fault(0x1000);

        d.kickEvents();

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
    }

    @Test
    void readinessDoesNotOutliveAReset() {
        d.status(attach(1, 7, 0));
        d.device.writeStatus(0);
        d.start(d.type.features());
        d.addEventBuffers(4, FAULT_SIZE);

        fault(0x1000);

        assertThat(d.event()).isEqualTo(-1);
    }

    @Test
    @Tag("P-07")
    @DisplayName("P-07: without a buffer an event waits; buffers are found with and without a kick")
    void eventsWaitForBuffers() {
        d.status(attach(1, 7, 0));
        fault(0x1000);
        fault(0x2000);
        assertThat(d.event()).isEqualTo(-1);

        d.addEventBuffers(1, FAULT_SIZE);
        d.kickEvents();
        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(d.event()).isEqualTo(-1);
        d.addEventBuffers(1, FAULT_SIZE); // no kick: found at the next request
        d.status(attach(1, 7, 0));
        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        d.addEventBuffers(1, FAULT_SIZE); // no kick: found at the next fault
        fault(0x3000);
        assertThat(d.event()).isEqualTo(FAULT_SIZE);
    }

    @Test
    @Tag("D-64")
    @Tag("D-65")
    @DisplayName("D-64, D-65: small buffers go back empty and the event takes the next that is not")
    void smallEventBuffersGoBackEmpty() {
        d.status(attach(1, 7, 0));
        d.addEventBuffers(3, FAULT_SIZE - 1);
        d.addEventBuffers(1, FAULT_SIZE);

        fault(0x1000);

        assertThat(List.of(d.event(), d.event(), d.event(), d.event()))
                .containsExactly(0L, 0L, 0L, (long) FAULT_SIZE);
        assertThat(d.type.smallEventBuffers()).isEqualTo(3);
        assertThat(d.device.brokenReason()).isNull();
    }

    @Test
    void anEventIntoAbsentMemoryIsGivenWhenItIsBack() {
        d.status(attach(1, 7, 0));
        d.addEventBuffers(2, FAULT_SIZE);
        d.take(Driver.EVENTS);
        fault(0x1000);
        assertThat(d.event()).isEqualTo(-1);
        assertThat(d.device.needsTick()).isTrue();

        d.giveBack(Driver.EVENTS);

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(d.event()).isEqualTo(-1);
        assertThat(d.device.needsTick()).isFalse();
    }

    @Test
    void anEventWhoseUsedRingIsAbsentIsPublishedWhenItIsBack() {
        d.status(attach(1, 7, 0));
        d.addEventBuffers(2, FAULT_SIZE);
        // The same memory as two regions, of which the used ring's goes.
        org.ioasis.memory.Region whole = requireNonNull(d.regions.get(Driver.EVENT_RING));
        long used = d.events.deviceAddress();
        d.memory.remove(whole.gpaFirst(), whole.gpaLast(), () -> {});
        java.lang.foreign.MemorySegment bytes = requireNonNull(whole.segment());
        long cut = used - whole.gpaFirst();
        d.memory.add(
                new org.ioasis.memory.Region(
                        whole.gpaFirst(), used - 1, bytes.asSlice(0, cut), true, null));
        fault(0x1000);
        assertThat(d.faults.isEmpty()).as("written, not published").isTrue();
        assertThat(d.device.needsTick()).isTrue();

        d.memory.add(
                new org.ioasis.memory.Region(
                        used, whole.gpaLast(), bytes.asSlice(cut), true, null));
        d.device.memoryChanged();

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        assertThat(d.eventInterrupts).isEqualTo(1);
        assertThat(d.device.needsTick()).isFalse();
    }

    @Test
    void anEventRefusedByItsBufferTakesTheNext() {
        d.status(attach(1, 7, 0));
        d.addEventBuffers(2, FAULT_SIZE);
        d.makeReadOnly(Driver.EVENTS);

        fault(0x1000);

        assertThat(d.event()).isZero();
        assertThat(d.event()).isZero();
        assertThat(d.faults.isEmpty()).as("still to be told").isFalse();
        assertThat(d.device.brokenReason()).isNull();
    }

    @Test
    void requestsInFlightDoNotTakeTheEventsRoom() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0, 0xfff, DMA, RW));
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, Long.MAX_VALUE / 2));
        for (int i = 0; i < Driver.QUEUE_SIZE; i++) {
            d.send(Layout.INDIRECT, unmap(7, 0, 0xfff), TAIL_SIZE, 64, 64);
        }
        d.kick();
        d.addEventBuffers(1, FAULT_SIZE);

        fault(0x9000);

        assertThat(d.event()).isEqualTo(FAULT_SIZE);
        lease.close();
        d.guards.poll();
        d.turn();
        for (int i = 0; i < Driver.QUEUE_SIZE; i++) {
            assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        }
    }

    @Test
    void faultsOfAnEarlierLifeAreForgotten() {
        d.status(attach(1, 7, 0));
        fault(0x1000);
        d.device.writeStatus(0);
        d.start(d.type.features());
        d.addEventBuffers(4, FAULT_SIZE);

        d.status(attach(1, 7, 0));
        d.kickEvents();

        assertThat(d.event()).isEqualTo(-1);
    }

    // --- the request path

    @Test
    void refusedRequestsAllocateNothing() {
        d.plug(2);
        d.status(attach(1, 7, 0));
        List<byte[]> requests = List.of(map(7, 0, 9, DMA, RW), attach(99, 7, 0), detach(2, 7));

        assertThat(d.leastAllocation(requests, TAIL_SIZE)).as("bytes for 60 requests").isZero();
    }

    // --- a loop that takes no more

    @Test
    void anEventThatTheLoopHadNoRoomForComesAtTheNextKick() {
        d.addEventBuffers(4, FAULT_SIZE);
        d.kickEvents();
        d.tasks.isFull = true;
        assertThat(access(dma, 0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(d.type.eventsDelivered()).isZero();
        d.tasks.isFull = false;

        d.kickEvents();
        assertThat(d.type.eventsDelivered()).isEqualTo(1);
        assertThat(access(dma, 0x6000, Access.READ)).isEqualTo(Outcome.FAULT);
        d.turn();
        assertThat(d.type.eventsDelivered()).as("the next one is posted again").isEqualTo(2);
    }
}
