// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.GuestArmTable.GLOBAL;
import static org.ioasis.virtio.iommu.GuestArmTable.LOW_ONLY;
import static org.ioasis.virtio.iommu.GuestArmTable.PAGE;
import static org.ioasis.virtio.iommu.GuestArmTable.READ_ONLY;
import static org.ioasis.virtio.iommu.GuestArmTable.READ_WRITE;
import static org.ioasis.virtio.iommu.GuestArmTable.TCR;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** ARM's page tables of the driver's own, on the wire of the profile that hands them over. */
class ArmTablesTest {
    private static final int ENDPOINT = 1;
    private static final int DOMAIN = 3;
    private static final int ASID = 0xbeef;
    private static final long IOVA = 0x7f00_0000_0000L;
    private static final long HIGH = 0xffff_8000_1234_5000L;

    // Guest memory: tables, and behind them pages.
    private static final long TABLES = Driver.DMA;
    private static final long OTHERS = Driver.DMA + 0x10000;
    private static final long PAGES = Driver.DMA + 0x20000;

    private final Driver d = Driver.of(Driver.OPTIONS, Profile.TABLES_2021);
    private final Dma dma = d.plug(ENDPOINT);
    private final GuestArmTable table = new GuestArmTable(d.bytes(Driver.DMA), Driver.DMA, TABLES);
    private final WordAccess words = new WordAccess();

    private void start() {
        d.start(d.type.features());
    }

    private void attached(byte[] request) {
        start();
        assertThat(d.status(request)).isEqualTo(S_OK);
    }

    private GuestArmTable other() {
        return new GuestArmTable(d.bytes(Driver.DMA), Driver.DMA, OTHERS);
    }

    private Iotlb cached() {
        return requireNonNull(d.type.cached());
    }

    private Endpoint endpoint() {
        return requireNonNull(d.iommu.endpoint(ENDPOINT));
    }

    private WalkFault lastFault() {
        return requireNonNull(requireNonNull(d.faults.poll()).table()).fault();
    }

    /** Pages hold their own number. */
    private void number(int pages) {
        for (int i = 0; i < pages; i++) {
            table.set(PAGES + i * PAGE, i);
        }
    }

    // PROBE
    // -----------------------------------------------------------------------------------------------------------

    private byte[] properties(int endpoint) {
        Answer answer = d.ask(Driver.probe(endpoint), 516);
        assertThat(answer.status()).isEqualTo(S_OK);
        return Arrays.copyOf(answer.bytes(), 512);
    }

    @Test
    @Tag("H-19")
    void probeTellsOfTablesOfOneSpaceAndOfContexts() {
        start();
        byte[] list =
                Driver.request(
                        0x000c_0002,
                        0,
                        0x6221_5000L,
                        0x0014_0003,
                        0,
                        0L,
                        -1L,
                        0x0004_0004,
                        48,
                        0x0004_0005,
                        20,
                        0x0004_0006,
                        1,
                        0x0004_0007,
                        2);

        assertThat(properties(ENDPOINT)).isEqualTo(Arrays.copyOf(list, 512));
    }

    @Test
    @Tag("H-19")
    void whoIsWalkedForElsewhereHasNoTablesOfThese() {
        d.plug(
                5,
                new EndpointProperties(
                        0, 0x1000, 0xffff_ffffL, endpoint().properties().reserved()));
        Endpoint heard = d.iommu.plug(6, EndpointProperties.UNLIMITED);
        d.iommu.listen(heard.attachment(), new ListenedTablesTest.Walks());
        start();
        for (int endpoint : new int[] {5, 6}) {
            assertThat(properties(endpoint)).as("%d", endpoint).doesNotContain(6);
            assertThat(d.status(table.attach(endpoint, DOMAIN, ASID))).isEqualTo(S_UNSUPP);
            assertThat(d.status(GuestArmTable.contexts(endpoint, DOMAIN, 0, 0, OTHERS, 4)))
                    .isEqualTo(S_UNSUPP);
        }
        assertThat(d.iommu.domainCount()).isZero();
    }

    // Tables of one space
    // ----------------------------------------------------------------------------------------------

    @Test
    @Tag("H-20")
    void lowAddressesGoByTtbr0AndHighOnesByTtbr1() {
        GuestArmTable high = other();
        number(2);
        table.map(IOVA, PAGES, READ_WRITE);
        high.map(HIGH, PAGES + PAGE, READ_WRITE);
        // The same part of the address selects in both.
        long twin = HIGH & 0xffff_ffff_ffffL;
        attached(GuestArmTable.lpae(ENDPOINT, DOMAIN, ASID, TCR, table.root(), high.root()));

        for (int round = 0; round < 2; round++) {
            assertThat(words.read(dma, IOVA)).isZero();
            assertThat(words.read(dma, HIGH)).isEqualTo(1);
            assertThat(words.read(dma, twin)).as("low").isEqualTo(-1);
            assertThat(words.read(dma, IOVA | -1L << 48)).as("high").isEqualTo(-1);
            assertThat(words.read(dma, IOVA | 1L << 48)).as("of neither").isEqualTo(-1);
            assertThat(words.read(dma, HIGH & ~(1L << 63))).as("of neither").isEqualTo(-1);
        }
        assertThat(cached().size()).isEqualTo(2);
    }

    @Test
    @Tag("H-20")
    void aHalfThatIsDisabledReachesNothingWhateverItsRegisterSays() {
        table.map(IOVA, PAGES, READ_WRITE);
        table.map(HIGH, PAGES, READ_WRITE);
        long onlyHigh = TCR | 1 << 7;
        attached(GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY, table.root(), table.root()));
        assertThat(words.read(dma, IOVA)).isZero();
        assertThat(words.read(dma, HIGH)).isEqualTo(-1);
        Fault fault = requireNonNull(d.faults.poll());
        assertThat(requireNonNull(fault.table()).fault()).isEqualTo(WalkFault.TRANSLATION);

        assertThat(
                        d.status(
                                GuestArmTable.lpae(
                                        ENDPOINT, 4, 1, onlyHigh, 8 | -1L << 56, table.root())))
                .isEqualTo(S_OK);
        assertThat(words.read(dma, IOVA)).isEqualTo(-1);
        assertThat(words.read(dma, HIGH)).isZero();
    }

    @ParameterizedTest
    @CsvSource({"12, 48, 0, 2", "14, 36, 2, 1", "16, 30, 1, 3"})
    @Tag("H-20")
    void everyGranuleIsWalkedInBothHalves(int granuleLg2, int bits, long tg0, long tg1) {
        GuestArmTable low =
                new GuestArmTable(d.bytes(Driver.DMA), Driver.DMA, TABLES, granuleLg2, bits);
        long iova = 5L << granuleLg2;
        low.map(iova, PAGES, READ_WRITE);
        low.set(PAGES + 8, 0x0707);
        long size = 64L - bits;
        long tcr = size | tg0 << 14 | size << 16 | tg1 << 30 | 5L << 32;
        attached(GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, tcr, low.root(), low.root()));

        assertThat(words.read(dma, iova + 8)).isEqualTo(7);
        assertThat(words.read(dma, (-1L << bits) + iova + 8)).isEqualTo(7);
        assertThat(words.read(dma, iova + (1L << granuleLg2))).isEqualTo(-1);
    }

    @Test
    @Tag("H-20")
    void aTopByteIsIgnoredWhereTheHalfSaysSo() {
        number(1);
        table.map(IOVA, PAGES, READ_WRITE);
        long tagged = IOVA | 0x5aL << 56;
        attached(table.attach(ENDPOINT, DOMAIN, 1));
        assertThat(words.read(dma, tagged)).isEqualTo(-1);
        assertThat(
                        d.status(
                                GuestArmTable.lpae(
                                        ENDPOINT, 4, 1, LOW_ONLY | 1L << 37, table.root(), 0)))
                .isEqualTo(S_OK);
        assertThat(words.read(dma, tagged)).isZero();
        assertThat(words.read(dma, IOVA)).isZero();
    }

    @Test
    @Tag("H-20")
    void accessAndDirtyAreMarkedWhereTheRegistersSaySo() {
        long unmarked =
                (READ_ONLY & ~(1L << 10)) | (1L << 51); // writable and clean, if that is known
        table.map(IOVA, PAGES, unmarked);
        long leaf = table.entry(IOVA, 0);
        attached(table.attach(ENDPOINT, DOMAIN, 1));
        assertThat(words.read(dma, IOVA)).as("not accessed").isEqualTo(-1);
        assertThat(lastFault()).isEqualTo(WalkFault.ACCESS_FLAG);

        assertThat(
                        d.status(
                                GuestArmTable.lpae(
                                        ENDPOINT, 4, 1, LOW_ONLY | 1L << 39, table.root(), 0)))
                .isEqualTo(S_OK);
        assertThat(words.read(dma, IOVA)).isNotEqualTo(-1);
        assertThat(table.get(leaf)).isEqualTo(PAGES | unmarked | 1 << 10);
        assertThat(words.write(dma, IOVA, 1)).as("read only").isEqualTo(Outcome.FAULT);

        assertThat(
                        d.status(
                                GuestArmTable.lpae(
                                        ENDPOINT, 5, 1, LOW_ONLY | 3L << 39, table.root(), 0)))
                .isEqualTo(S_OK);
        assertThat(words.write(dma, IOVA, 1)).isEqualTo(Outcome.OK);
        assertThat(table.get(leaf) & 1 << 7).as("read only").isZero();
    }

    @Test
    @Tag("H-20")
    void whatIsNoUsersIsNotTheDevicesEither() {
        table.map(IOVA, PAGES, READ_WRITE & ~(1L << 6));
        table.map(IOVA + PAGE, PAGES, READ_ONLY);
        attached(table.attach(ENDPOINT, DOMAIN, 1));
        assertThat(words.read(dma, IOVA)).isEqualTo(-1);
        assertThat(lastFault()).isEqualTo(WalkFault.PERMISSION);
        assertThat(words.read(dma, IOVA + PAGE)).isNotEqualTo(-1);
        assertThat(words.write(dma, IOVA + PAGE, 1)).isEqualTo(Outcome.FAULT);
    }

    @Test
    @Tag("H-20")
    void anAccessWithAPasidGoesThroughNoTableOfOneSpace() {
        table.map(IOVA, PAGES, READ_WRITE);
        Dma five = pasid(5);
        attached(table.attach(ENDPOINT, DOMAIN, 1));
        assertThat(words.read(dma, IOVA)).isNotEqualTo(-1);
        assertThat(words.read(five, IOVA)).isEqualTo(-1);
    }

    // ATTACH_TABLE
    // -----------------------------------------------------------------------------------------------------

    /** A request whose bytes at {@code at} are {@code value}. */
    private static byte[] with(byte[] request, int at, int value) {
        byte[] changed = request.clone();
        for (int i = 0; i < 4; i++) {
            changed[at + i] = (byte) (value >>> (8 * i));
        }
        return changed;
    }

    @Test
    @Tag("H-21")
    void theOrderOfChecksIsFixed() {
        start();
        assertThat(d.status(Driver.attach(ENDPOINT, 4, 0))).isEqualTo(S_OK);
        byte[] good = table.attach(ENDPOINT, DOMAIN, 1);
        // Each has the faults of all before it, too.
        byte[] wrong = with(good, VirtioIommuTables.ATTACH_DOMAIN, 4); // of another kind
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        wrong = with(wrong, VirtioIommuTables.ATTACH_ENDPOINT, 99);
        assertThat(d.status(wrong)).isEqualTo(S_NOENT);
        wrong = with(wrong, VirtioIommuTables.ARM_TTBR0, 8);
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        for (int format : new int[] {0, 3, 4, 0xffff}) {
            wrong = with(wrong, VirtioIommuTables.ARM_FORMAT, format);
            assertThat(d.status(wrong)).isEqualTo(S_UNSUPP);
        }
        wrong = with(wrong, VirtioIommuTables.ATTACH_TAIL - 4, 1 << 31);
        assertThat(d.status(wrong)).isEqualTo(S_INVAL);
        assertThat(d.iommu.domainCount()).isEqualTo(1);
        assertThat(endpoint().domainId()).isEqualTo(4);
        assertThat(d.status(good)).isEqualTo(S_OK);
    }

    @Test
    @Tag("H-21")
    void registersThatNoTableCanHaveAreInval() {
        start();
        long root = table.root();
        List<byte[]> impossible =
                List.of(
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, (LOW_ONLY & ~0x3fL) | 15, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, (LOW_ONLY & ~0x3fL) | 40, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY | 3 << 14, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY | 1 << 6, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY | 1L << 35, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY | 1L << 41, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY | 1L << 63, root, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY, root | 1, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY, root | 0x800, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY, root | 1L << 48, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, LOW_ONLY ^ 5L << 32, 1L << 32, 0),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, TCR, root, root | 8),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, TCR ^ 2L << 30, root, root),
                        GuestArmTable.lpae(ENDPOINT, DOMAIN, 1, TCR | 1 << 21, root, root));
        for (byte[] request : impossible) {
            assertThat(d.status(request)).as(Arrays.toString(request)).isEqualTo(S_INVAL);
        }
        assertThat(d.iommu.domainCount()).isZero();
    }

    @Test
    @Tag("H-21")
    void contextsThatThereCannotBeAreInval() {
        start();
        List<byte[]> impossible =
                List.of(
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 3, 0, OTHERS, 4),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 3, OTHERS, 4),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, OTHERS | 0x20, 4),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, 1L << 48, 4),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, -64, 4),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, OTHERS, 21),
                        GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, OTHERS, -1),
                        with(
                                GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, OTHERS, 4),
                                VirtioIommuTables.ARM_CONTEXTS_RESERVED,
                                1),
                        with(
                                GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, OTHERS, 4),
                                VirtioIommuTables.ARM_RESERVED - 4,
                                1));
        for (byte[] request : impossible) {
            assertThat(d.status(request)).as(Arrays.toString(request)).isEqualTo(S_INVAL);
        }
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, DOMAIN, 2, 2, OTHERS, 20)))
                .isEqualTo(S_OK);
    }

    @Test
    @Tag("H-21")
    void aDomainHasOneTableWhoeverNamesIt() {
        d.plug(2);
        attached(table.attach(ENDPOINT, DOMAIN, 1));
        assertThat(d.status(table.attach(2, DOMAIN, 2))).as("another space").isEqualTo(S_INVAL);
        assertThat(d.status(GuestArmTable.contexts(2, DOMAIN, 0, 0, OTHERS, 4))).isEqualTo(S_INVAL);
        assertThat(d.status(table.attach(2, DOMAIN, 1))).isEqualTo(S_OK);
        assertThat(d.status(Driver.map(DOMAIN, 0, 0xfff, 0, 1))).isEqualTo(S_INVAL);
    }

    @Test
    @Tag("H-21")
    void requestsOfTheOtherProfileAreOfNoKnownFormat() {
        start();
        GuestTable vtd = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, OTHERS);
        assertThat(d.status(vtd.attach(ENDPOINT, DOMAIN))).isEqualTo(S_UNSUPP);
        Driver later = Driver.of(Driver.OPTIONS, Profile.TABLES_2023);
        later.plug(ENDPOINT);
        later.start(later.type.features());
        assertThat(later.status(table.attach(ENDPOINT, DOMAIN, 0)))
                .as("what is a format here is a flag there")
                .isNotEqualTo(S_OK);
        assertThat(later.iommu.domainCount()).isZero();
    }

    @Test
    void aRefusalSaysWhatWasHandedOver() {
        StringBuilder said = new StringBuilder();
        d.type.onLimit(() -> said.append(d.type.limit()));
        start();
        for (int i = 0; i < Driver.OPTIONS.domainLimit(); i++) {
            d.plug(100 + i);
            assertThat(d.status(table.attach(100 + i, i, 1))).isEqualTo(S_OK);
        }
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 50, 0, 0, OTHERS, 4)))
                .isEqualTo(S_NOMEM);
        assertThat(said)
                .hasToString(
                        "ATTACH_TABLE endpoint=0x1 domain=0x32 contexts=0xc10000 of 4 bits"
                                + " -> NOMEM: limit of 8 domains is reached");
    }

    // Contexts
    // -------------------------------------------------------------------------------------------------------

    private static final long CONTEXTS = Driver.DMA + 0x1_8000;

    private Dma pasid(int pasid) {
        return d.iommu.dma(requireNonNull(endpoint().open(pasid)), d.memory, d.guard);
    }

    private void clearContexts() {
        d.bytes(Driver.DMA).asSlice(CONTEXTS - Driver.DMA, 0x8000).fill((byte) 0);
    }

    @Test
    @Tag("H-22")
    void eachPasidGoesByItsContextAndOthersByNothing() {
        clearContexts();
        number(3);
        GuestArmTable second = other();
        table.map(IOVA, PAGES + PAGE, READ_WRITE);
        second.map(IOVA, PAGES + 2 * PAGE, READ_WRITE);
        table.describe(CONTEXTS, 5, 1);
        second.describe(CONTEXTS, 6, 2);
        Dma five = pasid(5);
        Dma six = pasid(6);
        Dma seven = pasid(7);
        Dma beyond = pasid(16);
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, CONTEXTS, 4));
        Dma late = pasid(0xf); // whatever is opened once the endpoint is attached

        for (int round = 0; round < 2; round++) {
            assertThat(words.read(five, IOVA)).isEqualTo(1);
            assertThat(words.read(six, IOVA)).isEqualTo(2);
            assertThat(words.read(seven, IOVA)).as("no context").isEqualTo(-1);
            assertThat(words.read(beyond, IOVA)).as("beyond the table").isEqualTo(-1);
            assertThat(words.read(late, IOVA)).isEqualTo(-1);
            assertThat(words.read(dma, IOVA)).as("without a PASID").isEqualTo(-1);
        }
        second.describe(CONTEXTS, 0xf, 2);
        assertThat(words.read(late, IOVA)).as("what is new needs no word").isEqualTo(2);
        assertThat(endpoint().pasidCount()).isEqualTo(5);
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        for (Dma each : List.of(five, six, late)) {
            assertThat(words.read(each, IOVA)).isEqualTo(-1);
        }
        assertThat(cached().size()).isZero();
        assertThat(d.iommu.domainCount()).isZero();
    }

    @Test
    @Tag("H-22")
    void withoutAPasidS1dssDecides() {
        clearContexts();
        number(2);
        table.map(IOVA, PAGES + PAGE, READ_WRITE);
        table.describe(CONTEXTS, 0, 1);
        Dma zero = pasid(0);
        start();
        int[] found = new int[3];
        int[] asItIs = new int[3];
        int[] withZero = new int[3];
        for (int s1dss = 0; s1dss < 3; s1dss++) {
            byte[] request = GuestArmTable.contexts(ENDPOINT, 3 + s1dss, 0, s1dss, CONTEXTS, 4);
            assertThat(d.status(request)).isEqualTo(S_OK);
            found[s1dss] = words.read(dma, IOVA);
            asItIs[s1dss] = words.read(dma, PAGES + PAGE);
            withZero[s1dss] = words.read(zero, IOVA);
        }
        assertThat(found).as("terminate, bypass, PASID 0").containsExactly(-1, -1, 1);
        assertThat(asItIs).containsExactly(-1, 1, -1);
        assertThat(withZero).as("PASID 0 is taken by who has none").containsExactly(1, 1, -1);

        // One context and no PASIDs: then nothing is to be decided.
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 6, 0, 0, CONTEXTS, 0)))
                .isEqualTo(S_OK);
        assertThat(words.read(dma, IOVA)).isEqualTo(1);
        assertThat(words.read(zero, IOVA)).isEqualTo(-1);
    }

    @Test
    @Tag("H-22")
    void contextsOfTwoLevelsAreFound() {
        clearContexts();
        number(2);
        table.map(IOVA, PAGES + PAGE, READ_WRITE);
        Dma high = pasid(0x45);
        // 64 descriptors in a second level of 4 KiB; 1,024 in one of 64 KiB.
        table.set(CONTEXTS + 8, CONTEXTS + 0x1000 | 1);
        table.describe(CONTEXTS + 0x1000, 5, 1);
        table.set(CONTEXTS + 0x4000, CONTEXTS | 1);
        table.describe(CONTEXTS, 0x45, 1);
        start();
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 3, 1, 0, CONTEXTS, 8)))
                .isEqualTo(S_OK);
        assertThat(words.read(high, IOVA)).isEqualTo(1);
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 4, 2, 0, CONTEXTS + 0x4000, 12)))
                .isEqualTo(S_OK);
        assertThat(words.read(high, IOVA)).isEqualTo(1);
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 5, 1, 0, CONTEXTS, 6)))
                .isEqualTo(S_OK);
        assertThat(words.read(high, IOVA)).as("beyond the table").isEqualTo(-1);
    }

    @Test
    @Tag("H-23")
    void aContextThatIsAnotherCountsWhenItIsSaidSo() {
        clearContexts();
        number(3);
        GuestArmTable second = other();
        table.map(IOVA, PAGES + PAGE, READ_WRITE);
        second.map(IOVA, PAGES + 2 * PAGE, READ_WRITE);
        table.describe(CONTEXTS, 5, 1);
        Dma five = pasid(5);
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, CONTEXTS, 4));
        assertThat(words.read(five, IOVA)).isEqualTo(1);
        // The same space, so that what is kept of the old table could be found by the new.
        second.describe(CONTEXTS, 5, 1);
        assertThat(words.read(five, IOVA)).as("nothing was said").isEqualTo(1);
        assertThat(d.status(GuestArmTable.invalidateSpace(DOMAIN, 1))).isEqualTo(S_OK);
        assertThat(words.read(five, IOVA)).as("of translations, not of contexts").isEqualTo(1);
        assertThat(d.status(GuestArmTable.invalidateContext(DOMAIN, 5))).isEqualTo(S_OK);
        assertThat(words.read(five, IOVA)).isEqualTo(2);

        table.describe(CONTEXTS, 5, 0, 0);
        byte[] all = GuestTable.invalidate(4 << 16 | 1, 0, DOMAIN, 0, 0, 0, 0);
        assertThat(d.status(all)).isEqualTo(S_OK);
        assertThat(words.read(five, IOVA)).as("no context any more").isEqualTo(-1);
        table.describe(CONTEXTS, 5, 1);
        assertThat(words.read(five, IOVA)).isEqualTo(1);
        second.describe(CONTEXTS, 5, 1);
        // A context's and a space's in one.
        byte[] both = GuestArmTable.invalidate(5 << 16 | 2, 3, DOMAIN, 5, 1, 0, 0, 0);
        assertThat(d.status(both)).isEqualTo(S_OK);
        assertThat(words.read(five, IOVA)).isEqualTo(2);
    }

    // INVALIDATE
    // -------------------------------------------------------------------------------------------------------

    /** PASIDs 5 and 6 in spaces 1 and 2, with a page of their own and a global one each. */
    private List<Dma> twoSpaces() {
        clearContexts();
        GuestArmTable second = other();
        table.map(IOVA, PAGES, READ_WRITE);
        table.map(IOVA + PAGE, PAGES, READ_WRITE);
        second.map(IOVA, PAGES, READ_WRITE);
        table.map(IOVA + 2 * PAGE, PAGES, GLOBAL);
        table.describe(CONTEXTS, 5, 1);
        second.describe(CONTEXTS, 6, 2);
        List<Dma> ways = List.of(pasid(5), pasid(6));
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, CONTEXTS, 4));
        assertThat(words.read(ways.get(0), IOVA)).isNotEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + PAGE)).isNotEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + 2 * PAGE)).isNotEqualTo(-1);
        assertThat(words.read(ways.get(1), IOVA)).isNotEqualTo(-1);
        assertThat(cached().size()).isEqualTo(4);
        // All of it goes from the tables, and what is kept is still found.
        for (long iova = IOVA; iova < IOVA + 3 * PAGE; iova += PAGE) {
            table.map(iova, 0, 0);
        }
        second.set(second.entry(IOVA, 0), 0);
        assertThat(words.read(ways.get(0), IOVA)).isNotEqualTo(-1);
        return ways;
    }

    @Test
    @Tag("H-24")
    void anInvalidationOfASpaceTakesThatSpaceAndLeavesTheOthersAndWhatIsGlobal() {
        List<Dma> ways = twoSpaces();
        assertThat(d.status(GuestArmTable.invalidateSpace(DOMAIN, 3))).isEqualTo(S_OK);
        assertThat(cached().size()).as("of a space that nobody has").isEqualTo(4);
        assertThat(d.status(GuestArmTable.invalidateSpace(DOMAIN, 1))).isEqualTo(S_OK);
        assertThat(words.read(ways.get(0), IOVA)).isEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + PAGE)).isEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + 2 * PAGE)).as("global").isNotEqualTo(-1);
        assertThat(words.read(ways.get(1), IOVA)).as("of the other").isNotEqualTo(-1);
    }

    @Test
    @Tag("H-24")
    void aRangeOfASpaceIsThatRangeThereAndWhatIsGlobalInIt() {
        List<Dma> ways = twoSpaces();
        assertThat(d.status(GuestArmTable.invalidate(DOMAIN, 1, IOVA, 1))).isEqualTo(S_OK);
        assertThat(words.read(ways.get(0), IOVA)).isEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + PAGE)).as("of the neighbour").isNotEqualTo(-1);
        assertThat(words.read(ways.get(1), IOVA)).as("of the other").isNotEqualTo(-1);
        assertThat(d.status(GuestArmTable.invalidate(DOMAIN, 2, IOVA + 2 * PAGE, 1)))
                .isEqualTo(S_OK);
        assertThat(words.read(ways.get(0), IOVA + 2 * PAGE)).as("global").isEqualTo(-1);
        assertThat(d.status(GuestArmTable.invalidate(DOMAIN, 2, 0, 1L << 52))).isEqualTo(S_OK);
        assertThat(words.read(ways.get(1), IOVA)).isEqualTo(-1);
        assertThat(words.read(ways.get(0), IOVA + PAGE)).isNotEqualTo(-1);
    }

    @Test
    @Tag("H-24")
    void whatNamesNoSpaceIsOfAll() {
        for (byte[] request :
                List.of(
                        GuestTable.invalidate(DOMAIN),
                        GuestTable.invalidate(DOMAIN, IOVA, 3),
                        GuestArmTable.invalidate(1 << 16 | 2, 1, DOMAIN, 5, 0, 0, 0, 0),
                        GuestArmTable.invalidate(1 << 16 | 4, 1, DOMAIN, 5, 0, IOVA, 3, 12))) {
            ArmTablesTest each = new ArmTablesTest();
            List<Dma> ways = each.twoSpaces();
            assertThat(each.d.status(request)).isEqualTo(S_OK);
            assertThat(each.cached().size()).as(Arrays.toString(request)).isZero();
            assertThat(each.words.read(ways.get(0), IOVA)).isEqualTo(-1);
            assertThat(each.words.read(ways.get(1), IOVA)).isEqualTo(-1);
        }
    }

    @Test
    @Tag("H-24")
    void aSpaceHasSixteenBits() {
        attached(table.attach(ENDPOINT, DOMAIN, 0xffff));
        table.map(IOVA, PAGES, READ_WRITE);
        assertThat(words.read(dma, IOVA)).isNotEqualTo(-1);
        for (long asid : new long[] {1 << 16, 1L << 32 | 0xffff, -1}) {
            assertThat(d.status(GuestArmTable.invalidateSpace(DOMAIN, asid))).isEqualTo(S_INVAL);
            assertThat(d.status(GuestArmTable.invalidate(DOMAIN, asid, IOVA, 1)))
                    .isEqualTo(S_INVAL);
        }
        assertThat(cached().size()).isEqualTo(1);
        assertThat(d.status(GuestArmTable.invalidateSpace(DOMAIN, 0xffff))).isEqualTo(S_OK);
        assertThat(cached().size()).isZero();
    }

    @Test
    @Tag("H-24")
    void anInvalidateIsAnsweredWhenTheAccessesOfAnyPasidHaveEnded() {
        clearContexts();
        table.map(IOVA, PAGES, READ_WRITE);
        table.describe(CONTEXTS, 5, 1);
        Dma elsewhere = d.iommu.dma(requireNonNull(endpoint().open(5)), d.memory, d.guards.open());
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, CONTEXTS, 4));
        for (byte[] request :
                List.of(
                        GuestArmTable.invalidateContext(DOMAIN, 5),
                        GuestArmTable.invalidateSpace(DOMAIN, 1),
                        GuestArmTable.invalidate(DOMAIN, 1, IOVA, 1),
                        Driver.detach(ENDPOINT, DOMAIN))) {
            elsewhere.enter();
            assertThat(elsewhere.resolve(IOVA, 1, Access.WRITE)).isEqualTo(Outcome.OK);
            d.send(request, TAIL_SIZE);
            d.kick();
            assertThat(d.answer()).as("somebody is still in the page").isNull();
            elsewhere.leave();
            d.guards.poll();
            d.turn();
            assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        }
        elsewhere.enter();
        assertThat(elsewhere.resolve(IOVA, 1, Access.WRITE)).isEqualTo(Outcome.FAULT);
        elsewhere.leave();
    }

    @Test
    void anInvalidateAllocatesNothing() {
        clearContexts();
        table.describe(CONTEXTS, 5, 1);
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, CONTEXTS, 4));
        List<byte[]> requests =
                List.of(
                        GuestArmTable.invalidateSpace(DOMAIN, 1),
                        GuestArmTable.invalidate(DOMAIN, 1, IOVA, 1),
                        GuestArmTable.invalidateContext(DOMAIN, 5));
        assertThat(d.leastAllocation(requests, TAIL_SIZE)).isZero();
    }

    // A hostile driver
    // -------------------------------------------------------------------------------------------------

    @Test
    @Tag("H-25")
    void contextsInAbsentMemoryAreNoFaultAndComeBackWithIt() {
        clearContexts();
        table.map(IOVA, PAGES, READ_WRITE);
        table.describe(CONTEXTS, 5, 1);
        Dma five = pasid(5);
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, 0x5000_0000_0000L, 4));
        five.enter();
        assertThat(five.resolve(IOVA, 1, Access.READ)).isEqualTo(Outcome.ABSENT);
        five.leave();
        assertThat(d.status(GuestArmTable.contexts(ENDPOINT, 4, 0, 0, CONTEXTS, 4)))
                .isEqualTo(S_OK);
        d.take(Driver.DMA);
        five.enter();
        assertThat(five.resolve(IOVA, 1, Access.READ)).isEqualTo(Outcome.ABSENT);
        five.leave();
        assertThat(d.faults.reported()).isZero();
        d.giveBack(Driver.DMA);
        assertThat(words.read(five, IOVA)).isNotEqualTo(-1);
    }

    /** An address that selects few entries of each level. */
    private static long path(Random random) {
        long iova = random.nextInt(0x1000);
        for (int at = 12; at < 48; at += 9) {
            iova |= (long) random.nextInt(6) << at;
        }
        return iova;
    }

    @Test
    @Tag("H-25")
    void whateverStandsInContextsAndTablesNothingOutsideOfMemoryIsReachedAndAllEnds() {
        Random random = new Random(7);
        Dma five = pasid(5);
        attached(GuestArmTable.contexts(ENDPOINT, DOMAIN, 1, 2, TABLES, 8));
        int reached = 0;
        int none = 0;
        for (int i = 0; i < 20_000; i++) {
            // Few words, so that what is written is met: the first level, descriptors and tables.
            long at = TABLES + random.nextInt(2) * PAGE + random.nextInt(8) * 8L;
            long target =
                    switch (random.nextInt(8)) {
                        case 0 -> random.nextLong() & 0x0000_ffff_ffff_f000L;
                        case 1, 2, 3 -> PAGES + random.nextInt(8) * PAGE;
                        default -> TABLES + random.nextInt(2) * PAGE;
                    };
            long flags = random.nextInt(8) == 0 ? random.nextLong() & 0xffff_0000_0000_0fffL : 0;
            long word =
                    random.nextInt(6) == 0
                            ? 1L << 41 | (long) random.nextInt(8) << 32 | 1L << 31 | 16
                            : target | flags | 0x443;
            table.set(at, word);
            if (i % 16 == 0) {
                byte[] all = GuestTable.invalidate(7 << 16 | 1, 0, DOMAIN, 0, 0, 0, 0);
                assertThat(d.status(all)).isEqualTo(S_OK);
            }
            Dma way = random.nextBoolean() ? dma : five;
            long iova = random.nextInt(8) == 0 ? random.nextLong() : path(random);
            way.enter();
            if (way.resolve(iova, 1, Access.READ) == Outcome.OK) {
                reached++;
                assertThat(way.offset()).isBetween(0L, way.segment().byteSize() - 1);
            } else {
                none++;
            }
            way.leave();
        }
        assertThat(reached).isPositive();
        assertThat(none).isPositive();
        d.device.writeStatus(0);
        d.turn();
        assertThat(cached().size()).isZero();
        assertThat(d.iommu.domainCount()).isZero();
    }
}
