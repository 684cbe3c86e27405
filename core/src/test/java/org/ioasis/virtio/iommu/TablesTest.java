// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.GuestTable.PAGE;
import static org.ioasis.virtio.iommu.GuestTable.READ_ONLY;
import static org.ioasis.virtio.iommu.GuestTable.READ_WRITE;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Page tables of the driver's own, on the wire of the profile that hands them over. */
class TablesTest {
    private static final int ENDPOINT = 1;
    private static final int DOMAIN = 3;
    private static final long IOVA = 0x7f00_0000_0000L;

    // Guest memory: tables, and behind them pages.
    private static final long TABLES = Driver.DMA;
    private static final long PAGES = Driver.DMA + 0x20000;

    private final Driver d = Driver.of(Driver.OPTIONS, Profile.TABLES_2023);
    private final Dma dma = d.plug(ENDPOINT);
    private final GuestTable table = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, TABLES);
    private final WordAccess words = new WordAccess();

    private void start() {
        d.start(d.type.features());
    }

    private Iotlb cached() {
        return requireNonNull(d.type.cached());
    }

    private Endpoint endpoint() {
        return requireNonNull(d.iommu.endpoint(ENDPOINT));
    }

    // Off by default
    // ----------------------------------------------------------------------------------------------

    /** Everything that a driver sees of a device before it asks for something. */
    private static byte[] seen(Driver driver) {
        byte[] bytes = new byte[8 + CONFIG_SIZE + 600];
        MemorySegment all = MemorySegment.ofArray(bytes);
        all.set(ValueLayout.JAVA_LONG_UNALIGNED, 0, driver.type.features());
        for (int i = 0; i < CONFIG_SIZE; i++) {
            bytes[8 + i] = (byte) driver.device.readConfig(i, 1);
        }
        driver.plug(
                9,
                EndpointProperties.reserving(
                        List.of(
                                new ReservedRegion(0x1000, 0x1fff, Kind.RESERVED),
                                new ReservedRegion(0xfee0_0000L, 0xfeef_ffffL, Kind.MSI))));
        driver.start(driver.type.features());
        Answer probe = driver.ask(Driver.probe(9), 516);
        System.arraycopy(probe.bytes(), 0, bytes, 8 + CONFIG_SIZE, 516);
        bytes[bytes.length - 1] = (byte) driver.type.features();
        return bytes;
    }

    @Test
    @Tag("H-01")
    void withoutAProfileTheDeviceIsByteForByteWhatItWas() {
        byte[] seen = seen(new Driver(Driver.OPTIONS));
        byte[] expected = new byte[seen.length];
        MemorySegment all = MemorySegment.ofArray(expected);
        // What the device was before there were profiles, by its numbers on the wire.
        byte[] config =
                Driver.request(
                        0x77L, 0x1000L, 0L, -1L, 0, -1, 512, 0); // bypass is off in these options
        byte[] regions =
                Driver.request(
                        0x0014_0001,
                        0,
                        0x1000L,
                        0x1fffL,
                        0x0014_0001,
                        1,
                        0xfee0_0000L,
                        0xfeef_ffffL);
        MemorySegment.copy(MemorySegment.ofArray(config), 0, all, 0, config.length);
        MemorySegment.copy(MemorySegment.ofArray(regions), 0, all, 48, regions.length);
        expected[expected.length - 1] = 0x77;

        assertThat(seen).isEqualTo(expected);
    }

    @ParameterizedTest
    @EnumSource
    @Tag("H-01")
    void withAProfileOnlyFeaturesAndPropertiesAreMore(Profile profile) {
        byte[] plain = seen(new Driver(Driver.OPTIONS));
        byte[] more = seen(Driver.of(Driver.OPTIONS, profile));

        assertThat(more[1]).as("the second byte of the features").isEqualTo((byte) 1);
        assertThat(more[0]).isEqualTo((byte) 0xf7);
        assertThat(Arrays.copyOfRange(more, 8, 48)).isEqualTo(Arrays.copyOfRange(plain, 8, 48));
        assertThat(Arrays.copyOfRange(more, 48, 96)).isEqualTo(Arrays.copyOfRange(plain, 48, 96));
        assertThat(more[96]).as("the first property behind the regions").isEqualTo((byte) 2);
        assertThat(plain[96]).isZero();
    }

    @Test
    @Tag("H-01")
    void withoutAProfileItsRequestsAreUnknown() {
        Driver plain = Driver.started();
        plain.plug(ENDPOINT);
        for (byte[] request :
                List.of(
                        table.attach(ENDPOINT, DOMAIN),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, TABLES, 4),
                        GuestTable.invalidate(DOMAIN),
                        GuestTable.respond(ENDPOINT, -1, 0, 0))) {
            Answer answer = plain.ask(request, TAIL_SIZE);
            assertThat(answer.written()).isZero();
            assertThat(answer.bytes()).containsOnly(0xee);
        }
        assertThat(plain.iommu.domainCount()).isZero();
    }

    @Test
    @Tag("H-02")
    void aDriverThatDoesNotAcceptThemHasUnsuppAndNothingIsChanged() {
        d.start(VirtioIommuDevice.FEATURES);
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_UNSUPP);
        assertThat(d.status(GuestTable.invalidate(DOMAIN))).isEqualTo(S_UNSUPP);
        assertThat(d.status(GuestTable.respond(ENDPOINT, -1, 0, 0))).isEqualTo(S_UNSUPP);
        assertThat(d.iommu.domainCount()).isZero();
    }

    // PROBE
    // -----------------------------------------------------------------------------------------------------------

    private byte[] properties(int endpoint) {
        Answer answer = d.ask(Driver.probe(endpoint), 516);
        assertThat(answer.status()).isEqualTo(S_OK);
        return Arrays.copyOf(answer.bytes(), 512);
    }

    @Test
    @Tag("H-03")
    void probeTellsTheFormatItsSizesAndWhatOfItThereIs() {
        start();
        byte[] expected = new byte[512];
        byte[] list =
                Driver.request(
                        0x000c_0002,
                        0,
                        0x4020_1000L,
                        0x0014_0003,
                        0,
                        0L,
                        -1L,
                        0x0004_0004,
                        52,
                        0x0004_0005,
                        20,
                        0x0014_0006,
                        4,
                        1L << 56 | 1L << 60,
                        1L << 29 | 1L << 34 | 1L << 40 | 1L << 47);
        System.arraycopy(list, 0, expected, 0, list.length);

        assertThat(properties(ENDPOINT)).isEqualTo(expected);
    }

    @Test
    @Tag("H-03")
    void anEndpointThatCanHaveNoTablesIsNotToldOfAnyAndIsRefused() {
        d.plug(
                5,
                new EndpointProperties(
                        0, 0x1000, 0xffff_ffffL, endpoint().properties().reserved()));
        d.plug(
                6,
                EndpointProperties.reserving(
                        List.of(new ReservedRegion(0x1000, 0x1fff, Kind.IDENTITY))));
        d.plug(7, new EndpointProperties(0x20_0000, 0, -1L, endpoint().properties().reserved()));
        start();
        for (int endpoint : new int[] {5, 6, 7}) {
            assertThat(types(properties(endpoint))).doesNotContain(6, 2);
            assertThat(d.status(table.attach(endpoint, DOMAIN))).isEqualTo(S_UNSUPP);
        }
        assertThat(types(properties(ENDPOINT))).containsExactly(2, 3, 4, 5, 6);
        assertThat(d.iommu.domainCount()).isZero();
    }

    private static List<Integer> types(byte[] properties) {
        List<Integer> types = new ArrayList<>();
        for (int at = 0; at < 508 && properties[at] != 0; at += 4 + properties[at + 2]) {
            types.add((int) properties[at]);
        }
        return types;
    }

    @Test
    @Tag("H-03")
    void asManyRegionsAsThereIsRoomForBesideTheFormatAreToldOneByOne() {
        List<ReservedRegion> regions = new ArrayList<>();
        for (int i = 0; i < 18; i++) {
            regions.add(new ReservedRegion(0x10000L * i, 0x10000L * i + 0xfff, Kind.RESERVED));
        }
        d.plug(5, EndpointProperties.reserving(regions.subList(0, 17)));
        d.plug(6, EndpointProperties.reserving(regions));
        start();
        assertThat(types(properties(5))).hasSize(17 + 5).endsWith(1, 2, 3, 4, 5, 6);
        assertThat(types(properties(6))).as("two of them show as one").hasSize(17 + 5);
    }

    // ATTACH_TABLE
    // ----------------------------------------------------------------------------------------------------

    private void attached() {
        start();
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
    }

    @Test
    @Tag("H-04")
    @Tag("S-06")
    void whatTheDriverWritesIntoItsTableIsWhatTheDeviceReaches() {
        table.map(IOVA, PAGES, READ_WRITE);
        attached();

        assertThat(words.write(dma, IOVA + 8, 77)).isEqualTo(Outcome.OK);
        assertThat(table.get(PAGES + 8)).isEqualTo(0x4d4d_4d4d_4d4d_4d4dL);
        assertThat(words.write(dma, IOVA + PAGE, 77)).isEqualTo(Outcome.FAULT);
        table.map(IOVA + PAGE, PAGES + PAGE, READ_WRITE);
        assertThat(words.write(dma, IOVA + PAGE, 78))
                .as("what is new needs no word")
                .isEqualTo(Outcome.OK);
        assertThat(endpoint().counts().bypassed()).isZero();
    }

    @Test
    @Tag("H-04")
    void accessesMarkThePageAsAccessedAndWritten() {
        table.map(IOVA, PAGES, READ_WRITE);
        attached();
        long leaf = table.entry(IOVA, 0);
        assertThat(words.read(dma, IOVA)).isNotEqualTo(-1);
        assertThat(table.get(leaf)).isEqualTo(PAGES | READ_WRITE | GuestTable.ACCESSED);
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
        assertThat(table.get(leaf) & GuestTable.DIRTY).isEqualTo(GuestTable.DIRTY);
    }

    @Test
    @Tag("H-05")
    void aPermissionThatAnyLevelLacksIsLacking() {
        for (int level = 0; level < GuestTable.LEVELS; level++) {
            long iova = (long) (level + 1) << 39;
            table.map(iova, PAGES, READ_WRITE);
            long entry = table.entry(iova, level);
            table.set(entry, (table.get(entry) & -4096) | READ_ONLY);
        }
        attached();
        for (int level = 0; level < GuestTable.LEVELS; level++) {
            long iova = (long) (level + 1) << 39;
            assertThat(words.read(dma, iova)).as("level %d", level).isNotEqualTo(-1);
            assertThat(words.write(dma, iova, 1)).as("level %d", level).isEqualTo(Outcome.FAULT);
            // Not a user's: then it is not the device's either.
            long entry = table.entry(iova, level);
            table.set(entry, (table.get(entry) & -4096) | 3);
            assertThat(d.status(GuestTable.invalidate(DOMAIN))).isEqualTo(S_OK);
            assertThat(words.read(dma, iova)).as("level %d", level).isEqualTo(-1);
        }
    }

    /** A request whose bytes at {@code at} are {@code value}. */
    private static byte[] with(byte[] request, int at, int value) {
        byte[] changed = request.clone();
        for (int i = 0; i < 4; i++) {
            changed[at + i] = (byte) (value >>> (8 * i));
        }
        return changed;
    }

    @Test
    @Tag("H-06")
    void theOrderOfChecksOfAnAttachIsFixed() {
        start();
        assertThat(d.status(Driver.attach(ENDPOINT, 4, 0))).isEqualTo(S_OK);
        byte[] good = table.attach(ENDPOINT, DOMAIN);
        byte[] wrong = good;
        // Each has the faults of all before it taken back, and all behind it still there.
        wrong = with(wrong, VirtioIommuTables.ATTACH_DOMAIN, 4); // of another kind
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        wrong = with(wrong, VirtioIommuTables.ATTACH_ENDPOINT, 99);
        assertThat(d.status(wrong)).isEqualTo(S_NOENT);
        wrong = with(wrong, VirtioIommuTables.ATTACH_PASID, 1 << 20);
        wrong = with(wrong, VirtioIommuTables.ATTACH_FLAGS, 1);
        assertThat(d.status(wrong)).isEqualTo(S_RANGE);
        wrong = with(wrong, VirtioIommuTables.ATTACH_ROOT, 0x801);
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        wrong = with(wrong, VirtioIommuTables.ATTACH_FORMAT, 1);
        assertThat(d.status(wrong)).isEqualTo(S_UNSUPP);
        wrong = with(wrong, VirtioIommuTables.ATTACH_FLAGS, 3);
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        wrong = with(wrong, VirtioIommuTables.ATTACH_FORMAT, 1 | 1 << 16);
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        assertThat(d.iommu.domainCount()).isEqualTo(1);
        assertThat(endpoint().pasidCount()).isZero();
        assertThat(endpoint().domainId()).isEqualTo(4);
        assertThat(d.status(good)).as("and the first is none of them").isEqualTo(S_OK);
    }

    @Test
    @Tag("H-06")
    void aTableThatCannotBeIsInvalAndReservedBytesAreLookedAt() {
        start();
        long root = table.root();
        for (byte[] request :
                List.of(
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, root, 0, 39),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, root, 0, 0),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, root, 1, 48),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, root, 8, 48),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, root | 8, 0, 48),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, 1L << 52, 0, 48),
                        GuestTable.attach(ENDPOINT, DOMAIN, -1, 1L << 63, 0, 48))) {
            assertThat(d.status(request)).isEqualTo(S_INVAL);
        }
        for (int at = VirtioIommuTables.ATTACH_RESERVED;
                at < VirtioIommuTables.ATTACH_TAIL;
                at += 4) {
            assertThat(d.status(with(table.attach(ENDPOINT, DOMAIN), at, 1 << 24)))
                    .as("byte %d", at + 3)
                    .isEqualTo(S_INVAL);
        }
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(d.status(GuestTable.attach(ENDPOINT, DOMAIN, -1, root, 6, 57))).isEqualTo(S_OK);
    }

    @Test
    @Tag("H-06")
    void whatIsShorterThanARequestIsGivenBack() {
        start();
        byte[] attach = table.attach(ENDPOINT, DOMAIN);
        byte[] invalidate = GuestTable.invalidate(DOMAIN);
        byte[] respond = GuestTable.respond(ENDPOINT, -1, 0, 0);
        for (byte[] whole : List.of(attach, invalidate, respond)) {
            byte[] cut = Arrays.copyOf(whole, whole.length - 1);
            assertThat(d.ask(cut, TAIL_SIZE).written()).isZero();
            assertThat(d.ask(whole, TAIL_SIZE - 1).written()).isZero();
        }
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(d.status(attach)).isEqualTo(S_OK);
    }

    @Test
    @Tag("H-07")
    void aDomainHasOneTableWhoeverNamesIt() {
        d.plug(2);
        attached();
        assertThat(d.status(table.attach(2, DOMAIN))).isEqualTo(S_OK);
        byte[] other = GuestTable.attach(2, DOMAIN, -1, table.root(), 0, 57);
        assertThat(d.status(other)).isEqualTo(S_INVAL);
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).as("once more").isEqualTo(S_OK);
        assertThat(d.iommu.domainCount()).isEqualTo(1);
        for (byte[] request :
                List.of(
                        Driver.attach(2, DOMAIN, 0),
                        Driver.attach(2, DOMAIN, ATTACH_F_BYPASS),
                        Driver.map(DOMAIN, 0x1000, 0x1fff, 0, MAP_F_READ),
                        Driver.unmap(DOMAIN, 0x1000, 0x1fff))) {
            assertThat(d.status(request)).isEqualTo(S_INVAL);
        }
        assertThat(d.iommu.mappingCount()).isZero();
    }

    @Test
    @Tag("H-07")
    void atTheLimitOfDomainsATableIsNomemAndChangesNothing() {
        start();
        for (int i = 0; i < Driver.OPTIONS.domainLimit(); i++) {
            d.plug(100 + i);
            assertThat(d.status(table.attach(100 + i, i))).isEqualTo(S_OK);
        }
        assertThat(d.status(table.attach(ENDPOINT, 50))).isEqualTo(S_NOMEM);
        assertThat(d.status(table.attach(ENDPOINT, 50, 5))).isEqualTo(S_NOMEM);
        assertThat(d.iommu.refusedByLimit()).isEqualTo(2);
        assertThat(endpoint().pasidCount()).isZero();
        assertThat(d.status(table.attach(ENDPOINT, 0))).as("one that is there").isEqualTo(S_OK);
    }

    // PASIDs
    // -----------------------------------------------------------------------------------------------------------

    @Test
    @Tag("H-08")
    void eachPasidGoesThroughItsOwnTable() {
        Dma five = d.iommu.dma(requireNonNull(endpoint().open(5)), d.memory, d.guard);
        GuestTable other = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, TABLES + 0x10000);
        table.map(IOVA, PAGES, READ_WRITE);
        other.map(IOVA, PAGES + PAGE, READ_WRITE);
        start();
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(words.write(five, IOVA, 1)).as("attached to nothing").isEqualTo(Outcome.FAULT);
        assertThat(d.status(other.attach(ENDPOINT, 4, 5))).isEqualTo(S_OK);
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
        assertThat(words.write(five, IOVA, 2)).isEqualTo(Outcome.OK);
        assertThat(table.get(PAGES)).isEqualTo(0x0101_0101_0101_0101L);
        assertThat(table.get(PAGES + PAGE)).isEqualTo(0x0202_0202_0202_0202L);

        assertThat(d.status(Driver.detach(ENDPOINT, 4))).isEqualTo(S_OK);
        assertThat(words.write(five, IOVA, 1)).isEqualTo(Outcome.FAULT);
        assertThat(words.write(dma, IOVA, 3)).as("of the other domain").isEqualTo(Outcome.OK);
        assertThat(d.iommu.domainCount()).isEqualTo(1);
    }

    @Test
    @Tag("H-08")
    void aDetachTakesAllThatAnEndpointHasInTheDomain() {
        attached();
        for (int pasid = 0; pasid < 3; pasid++) {
            assertThat(d.status(table.attach(ENDPOINT, DOMAIN, pasid))).isEqualTo(S_OK);
        }
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_INVAL);
    }

    @Test
    @Tag("H-08")
    void atTheLimitOfPasidsOneMoreIsNomemUntilOneIsNotNeeded() {
        start();
        for (int pasid = 0; pasid < Endpoint.PASID_LIMIT; pasid++) {
            assertThat(d.status(table.attach(ENDPOINT, 1 + pasid % 2, pasid))).isEqualTo(S_OK);
        }
        assertThat(d.status(table.attach(ENDPOINT, 1, 0xf_ffff))).isEqualTo(S_NOMEM);
        assertThat(d.iommu.refusedByLimit()).isEqualTo(1);
        assertThat(endpoint().pasidCount()).isEqualTo(Endpoint.PASID_LIMIT);
        assertThat(d.status(Driver.detach(ENDPOINT, 2))).isEqualTo(S_OK);
        assertThat(d.status(table.attach(ENDPOINT, 1, 0xf_ffff))).isEqualTo(S_OK);
        assertThat(endpoint().pasidCount()).isEqualTo(Endpoint.PASID_LIMIT / 2 + 1);
    }

    // INVALIDATE
    // ------------------------------------------------------------------------------------------------------

    @Test
    @Tag("H-09")
    void afterAnInvalidateIsAnsweredNothingStaleIsFoundAndTheRestStays() {
        for (int i = 0; i < 4; i++) {
            table.map(IOVA + i * PAGE, PAGES + i * PAGE, READ_WRITE);
        }
        attached();
        for (int i = 0; i < 4; i++) {
            assertThat(words.write(dma, IOVA + i * PAGE, 1)).isEqualTo(Outcome.OK);
        }
        assertThat(cached().size()).isEqualTo(4);
        table.map(IOVA + PAGE, 0, 0);
        table.map(IOVA + 2 * PAGE, 0, 0);
        assertThat(words.write(dma, IOVA + PAGE, 2))
                .as("kept: nothing was said")
                .isEqualTo(Outcome.OK);
        assertThat(d.status(GuestTable.invalidate(DOMAIN, IOVA + PAGE, 2))).isEqualTo(S_OK);
        assertThat(words.write(dma, IOVA + PAGE, 3)).isEqualTo(Outcome.FAULT);
        assertThat(words.write(dma, IOVA + 2 * PAGE, 3)).isEqualTo(Outcome.FAULT);
        assertThat(cached().size()).as("of the neighbours").isEqualTo(2);
    }

    @Test
    @Tag("H-09")
    void everyScopeTakesAwayWhatItNames() {
        int iotlb = VirtioIommuTables.TYPE_IOTLB << 16;
        int everything = 7 << 16;
        List<byte[]> scopes =
                List.of(
                        GuestTable.invalidate(DOMAIN),
                        GuestTable.invalidate(DOMAIN, IOVA, 1),
                        GuestTable.invalidate(DOMAIN, 0, 1L << 52),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, 0, 1, 63),
                        GuestTable.invalidate(iotlb | 2, 1, DOMAIN, 7, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 4, 5, DOMAIN, 7, IOVA, 1, 12),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA & -(1L << 30), 1, 30),
                        GuestTable.invalidate(everything | 1, 0, DOMAIN, 0, 0, 0, 0));
        attached();
        for (byte[] scope : scopes) {
            table.map(IOVA, PAGES, READ_WRITE);
            assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
            table.map(IOVA, 0, 0);
            assertThat(d.status(scope)).as(Arrays.toString(scope)).isEqualTo(S_OK);
            assertThat(words.write(dma, IOVA, 1))
                    .as(Arrays.toString(scope))
                    .isEqualTo(Outcome.FAULT);
        }
    }

    @Test
    @Tag("H-09")
    void anInvalidateIsAnsweredWhenTheAccessesBeforeItHaveEnded() {
        table.map(IOVA, PAGES, READ_WRITE);
        Endpoint second = d.iommu.plug(2, EndpointProperties.UNLIMITED);
        Dma elsewhere = d.iommu.dma(second, d.memory, d.guards.open());
        attached();
        assertThat(d.status(table.attach(2, DOMAIN))).isEqualTo(S_OK);
        elsewhere.enter();
        assertThat(elsewhere.resolve(IOVA, 1, Access.WRITE)).isEqualTo(Outcome.OK);
        table.map(IOVA, 0, 0);
        d.send(GuestTable.invalidate(DOMAIN, IOVA, 1), TAIL_SIZE);
        d.kick();
        assertThat(d.answer()).as("somebody is still in the page").isNull();
        elsewhere.leave();
        d.guards.poll();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        elsewhere.enter();
        assertThat(elsewhere.resolve(IOVA, 1, Access.WRITE)).isEqualTo(Outcome.FAULT);
        elsewhere.leave();
    }

    @Test
    @Tag("H-10")
    void whatAnInvalidateNamesMustMakeSense() {
        attached();
        int iotlb = VirtioIommuTables.TYPE_IOTLB << 16;
        assertThat(d.status(GuestTable.invalidate(4))).isEqualTo(S_NOENT);
        assertThat(d.status(GuestTable.invalidate(4, IOVA, 1))).isEqualTo(S_NOENT);
        d.plug(2);
        assertThat(d.status(Driver.attach(2, 4, 0))).isEqualTo(S_OK);
        assertThat(d.status(GuestTable.invalidate(4))).as("has no table").isEqualTo(S_INVAL);
        byte[] tail = GuestTable.invalidate(DOMAIN);
        tail[VirtioIommuTables.INVALIDATE_TAIL - 1] = 1;
        List<byte[]> nonsense =
                List.of(
                        tail,
                        GuestTable.invalidate(1, 0, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(8 << 16 | 1, 0, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(iotlb, 0, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 3, 0, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 2, 0, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 1, 8, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 1, 1, DOMAIN, 1 << 20, 0, 0, 0),
                        GuestTable.invalidate(iotlb | 1, 1 << 16, DOMAIN, 0, 0, 0, 0),
                        GuestTable.invalidate(4 << 16 | 4, 0, DOMAIN, 0, IOVA, 1, 12),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA, 0, 12),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA, 1, 11),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA, 1, 64),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA, 1, 0x10c),
                        GuestTable.invalidate(iotlb | 4, 0, DOMAIN, 0, IOVA + 1, 1, 12));
        for (byte[] request : nonsense) {
            assertThat(d.status(request)).as(Arrays.toString(request)).isEqualTo(S_INVAL);
        }
        assertThat(d.status(GuestTable.invalidate(DOMAIN, PAGE, 1L << 52))).isEqualTo(S_RANGE);
        assertThat(d.status(GuestTable.invalidate(DOMAIN, -PAGE, 2))).isEqualTo(S_RANGE);
        assertThat(d.status(GuestTable.invalidate(DOMAIN, -PAGE, 1))).isEqualTo(S_OK);
        assertThat(d.status(GuestTable.invalidate(DOMAIN, PAGE, (1L << 52) - 1))).isEqualTo(S_OK);
    }

    // A hostile driver
    // ------------------------------------------------------------------------------------------------

    @Test
    @Tag("H-11")
    void aTableThatLeadsIntoItselfIsWalkedAsFarAsThereAreLevels() {
        for (int i = 0; i < 512; i++) {
            table.set(table.root() + i * 8L, table.root() | READ_WRITE);
        }
        attached();
        // The last level takes what it finds for a page: the table itself.
        assertThat(words.read(dma, IOVA)).isNotEqualTo(-1);
        assertThat(cached().filled()).isEqualTo(1);
    }

    @Test
    @Tag("H-11")
    void tablesInAbsentMemoryAreNoFaultAndTablesBeyondMemoryReachNothing() {
        attached();
        table.set(table.entry(IOVA, 2), 0x5000_0000_0000L | READ_WRITE);
        dma.enter();
        assertThat(dma.resolve(IOVA, 1, Access.READ)).isEqualTo(Outcome.ABSENT);
        dma.leave();
        table.set(table.entry(IOVA, 2), 0);
        d.take(Driver.DMA);
        dma.enter();
        assertThat(dma.resolve(IOVA, 1, Access.READ))
                .as("its table is gone")
                .isEqualTo(Outcome.ABSENT);
        dma.leave();
        assertThat(d.faults.reported()).isZero();
        d.giveBack(Driver.DMA);
        table.map(IOVA + PAGE, PAGES, READ_WRITE);
        assertThat(words.write(dma, IOVA + PAGE, 1)).isEqualTo(Outcome.OK);
    }

    @Test
    @Tag("H-11")
    void whatNoEntryCanBeIsAFaultWithItsPlace() {
        table.map(IOVA, PAGES, READ_WRITE);
        attached();
        long middle = table.entry(IOVA, 2);
        long good = table.get(middle);
        // A page of 512 GiB, and one of 1 GiB that begins where none can.
        table.set(table.entry(IOVA, 3), good | 1 << 7);
        assertThat(words.read(dma, IOVA)).isEqualTo(-1);
        Fault fault = requireNonNull(d.faults.poll());
        assertThat(requireNonNull(fault.table()).level()).isEqualTo(3);
        assertThat(fault.explanation()).contains("domain 0x3");
        assertThat(words.read(dma, 0x0000_8000_0000_0000L)).as("no such address").isEqualTo(-1);
        assertThat(words.read(dma, -1L)).isEqualTo(-1);
    }

    @Test
    @Tag("H-11")
    void whateverStandsInTheTableNothingOutsideOfMemoryIsReachedAndAllEnds() {
        Random random = new Random(5);
        attached();
        int reached = 0;
        for (int i = 0; i < 20_000; i++) {
            long entry = TABLES + random.nextInt(0x2000 / 8) * 8L;
            long target =
                    switch (random.nextInt(4)) {
                        case 0 -> random.nextLong() & 0x000f_ffff_ffff_f000L;
                        case 1 -> PAGES + random.nextInt(8) * PAGE;
                        default -> TABLES + random.nextInt(2) * PAGE;
                    };
            table.set(entry, target | (random.nextLong() & 0x8000_0000_0000_0fffL) | 5);
            if (i % 16 == 0) {
                assertThat(d.status(GuestTable.invalidate(DOMAIN))).isEqualTo(S_OK);
            }
            dma.enter();
            Outcome outcome = dma.resolve(random.nextLong() >> 16, 1, Access.READ);
            if (outcome == Outcome.OK) {
                reached++;
                assertThat(dma.segment().byteSize()).isPositive();
                assertThat(dma.offset()).isBetween(0L, dma.segment().byteSize() - 1);
            }
            dma.leave();
        }
        assertThat(reached).isPositive();
        assertThat(cached().size()).isLessThanOrEqualTo(cached().capacity());
    }

    // Detach and reset
    // ------------------------------------------------------------------------------------------------

    @Test
    @Tag("H-12")
    void aNewTableUnderAnOldNumberHasNothingOfTheOldOne() {
        table.map(IOVA, PAGES, READ_WRITE);
        attached();
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(cached().size()).isZero();
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.FAULT);
        GuestTable other = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, TABLES + 0x10000);
        assertThat(d.status(other.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("H-12")
    void aResetLeavesNothingOfTablesAndPasids() {
        table.map(IOVA, PAGES, READ_WRITE);
        attached();
        assertThat(d.status(table.attach(ENDPOINT, 4, 5))).isEqualTo(S_OK);
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
        d.device.writeStatus(0);
        d.turn();
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(endpoint().pasidCount()).isZero();
        assertThat(cached().size()).isZero();
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void aDeviceWithTablesIsNotSaved() {
        attached();
        assertThatThrownBy(() -> SavedDevice.save(d.device, d.type))
                .isInstanceOf(UnsupportedOperationException.class)
                .hasMessageContaining("TABLES_2023");
    }

    @Test
    void aRefusalIsExplained() {
        IommuOptions few = Driver.OPTIONS.toBuilder().domainLimit(1).build();
        Driver small = Driver.of(few, Profile.TABLES_2023);
        small.plug(ENDPOINT);
        small.plug(2);
        StringBuilder said = new StringBuilder();
        small.type.onLimit(() -> said.append(small.type.limit()));
        small.start(small.type.features());
        assertThat(small.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(small.status(table.attach(2, 4, 9))).isEqualTo(S_NOMEM);
        assertThat(said)
                .hasToString(
                        "ATTACH_TABLE endpoint=0x2 pasid=0x9 domain=0x4 table=0xc00000 of 48 bits"
                                + " -> NOMEM: limit of 1 domains is reached");
    }

    @Test
    void anInvalidateAllocatesNothing() {
        attached();
        List<byte[]> requests =
                List.of(GuestTable.invalidate(DOMAIN, IOVA, 1), GuestTable.invalidate(DOMAIN));
        assertThat(d.leastAllocation(requests, TAIL_SIZE)).isZero();
    }
}
